//! Matching a device's modalias against the patterns of `modules.alias`. Pure.

/// Whether `text` fits `pattern`, where `*` is any run, `?` any one character, `[a-f0]` one of a set.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go back to when a later part does not fit: the last star, and the text position it may swallow next.
    let mut back: Option<(usize, usize)> = None;
    let (mut p, mut t) = (0, 0);
    while t < text.len() {
        if let Some(b'*') = pattern.get(p) {
            back = Some((p + 1, t));
            p += 1;
        } else if let Some(after) = one(pattern, p, text.get(t).copied()) {
            p = after;
            t += 1;
        } else if let Some((star, swallowed)) = back {
            back = Some((star, swallowed + 1));
            (p, t) = (star, swallowed + 1);
        } else {
            return false;
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// If the single pattern element at `p` fits `byte`: where the next element begins.
fn one(pattern: &[u8], p: usize, byte: Option<u8>) -> Option<usize> {
    let byte = byte?;
    match pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => {
            let set = pattern.get(p + 1..)?;
            let end = set.iter().position(|b| *b == b']')?;
            let set = set.get(..end)?;
            let mut rest = set;
            loop {
                rest = match rest {
                    [from, b'-', to, tail @ ..] if (*from..=*to).contains(&byte) => break Some(tail),
                    [_, b'-', _, tail @ ..] => tail,
                    [single, tail @ ..] if *single == byte => break Some(tail),
                    [_, tail @ ..] => tail,
                    [] => break None,
                };
            }
            .map(|_| p + end + 2)
        }
        plain if *plain == byte => Some(p + 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtio_card_and_a_usb_keyboard_find_their_drivers() {
        assert!(matches("virtio:d00000001v*", "virtio:d00000001v00001AF4"));
        assert!(matches(
            "usb:v*p*d*dc*dsc*dp*ic03isc*ip*in*",
            "usb:v0627p0001d0000dc00dsc00dp00ic03isc01ip01in00"
        ));
        assert!(matches(
            "pci:v*d*sv*sd*bc0Csc03i30*",
            "pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30"
        ));
    }

    #[test]
    fn another_device_does_not_match() {
        assert!(!matches("virtio:d00000001v*", "virtio:d00000004v00001AF4"));
        assert!(!matches("usb:v0BDAp8152*", "usb:v0BDAp8153d3000"));
        assert!(!matches("abc", "abcd"));
        assert!(!matches("abcd", "abc"));
    }

    #[test]
    fn sets_ranges_and_single_wildcards_match_as_the_kernel_writes_them() {
        assert!(matches("of:N*T*Cfoo[0-9a]?", "of:NxTyCfooa7"));
        assert!(!matches("x[0-3]", "x4"));
        assert!(matches("*", ""));
        assert!(!matches("?", ""));
        assert!(!matches("x[0-3", "x1"));
    }

    #[test]
    fn a_hostile_text_ends_in_good_time() {
        let text = "a".repeat(5000);
        assert!(!matches(&format!("{}b", "*a".repeat(20)), &text));
    }
}
