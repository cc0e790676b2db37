//! Which keys of a US keyboard give a character, by QEMU's names.

/// The keys to hold together; `None` for what such a keyboard can't give.
pub(crate) fn keys_for(character: char) -> Option<Vec<String>> {
    const PLAIN: &[(char, &str)] = &[
        (' ', "spc"),
        ('\n', "ret"),
        ('-', "minus"),
        (',', "comma"),
        ('.', "dot"),
        ('/', "slash"),
        (';', "semicolon"),
        ('=', "equal"),
        ('\'', "apostrophe"),
    ];
    const SHIFTED: &[(char, &str)] = &[
        (':', "semicolon"),
        ('?', "slash"),
        ('_', "minus"),
        ('!', "1"),
        ('@', "2"),
        ('$', "4"),
    ];
    let name = |table: &[(char, &str)]| {
        let found = table.iter().find(|(c, _)| *c == character);
        found.map(|(_, key)| (*key).to_owned())
    };
    let shift = "shift".to_owned();
    match character {
        'a'..='z' | '0'..='9' => Some(vec![character.to_string()]),
        'A'..='Z' => Some(vec![shift, character.to_ascii_lowercase().to_string()]),
        _ => name(PLAIN)
            .map(|key| vec![key])
            .or_else(|| name(SHIFTED).map(|key| vec![shift, key])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_and_signs_hold_shift() {
        assert_eq!(keys_for('a').unwrap(), ["a"]);
        assert_eq!(keys_for('Q').unwrap(), ["shift", "q"]);
        assert_eq!(keys_for(':').unwrap(), ["shift", "semicolon"]);
        assert_eq!(keys_for('é'), None);
    }
}
