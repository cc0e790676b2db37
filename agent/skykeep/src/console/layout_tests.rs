//! The keyboards, judged by those of X.Org (`xkb-data`), which everybody's desktop uses.

use std::{collections::BTreeMap, process::Command};

use super::*;

const ALL: [(&str, Keyboard); 6] = [
    ("us", Keyboard::Us),
    ("gb", Keyboard::Gb),
    ("it", Keyboard::It),
    ("de", Keyboard::De),
    ("fr", Keyboard::Fr),
    ("es", Keyboard::Es),
];

/// X.Org's names of the keys, in the order of KEYS.
const NAMES: &str = "TLDE AE01 AE02 AE03 AE04 AE05 AE06 AE07 AE08 AE09 AE10 AE11 AE12 \
    AD01 AD02 AD03 AD04 AD05 AD06 AD07 AD08 AD09 AD10 AD11 AD12 AC01 AC02 AC03 AC04 AC05 AC06 AC07 AC08 AC09 AC10 AC11 BKSL \
    LSGT AB01 AB02 AB03 AB04 AB05 AB06 AB07 AB08 AB09 AB10";

/// X.Org's names of what is neither letter nor digit.
const SIGNS: &str = "space exclam ! quotedbl \" numbersign # dollar $ percent % ampersand & apostrophe ' parenleft ( parenright ) asterisk * plus + \
    comma , minus - period . slash / colon : semicolon ; less < equal = greater > question ? at @ bracketleft [ backslash \\ bracketright ] \
    asciicircum ^ underscore _ grave ` braceleft { bar | braceright } asciitilde ~ exclamdown ¡ sterling £ section § ordfeminine ª notsign ¬ \
    degree ° twosuperior ² mu µ periodcentered · masculine º questiondown ¿ ssharp ß agrave à ccedilla ç Ccedilla Ç egrave è eacute é \
    igrave ì ntilde ñ Ntilde Ñ ograve ò odiaeresis ö Odiaeresis Ö ugrave ù udiaeresis ü Udiaeresis Ü adiaeresis ä Adiaeresis Ä EuroSign € \
    dead_grave \u{300} dead_acute \u{301} dead_circumflex \u{302} dead_tilde \u{303} dead_diaeresis \u{308}";

/// What X.Org's keyboard gives: key name to what is on its levels.
fn xorg(layout: &str) -> BTreeMap<String, Vec<String>> {
    let made = Command::new("xkbcli")
        .args(["compile-keymap", "--model", "pc105", "--layout", layout])
        .output()
        .expect("xkbcli of libxkbcommon-tools is installed by tests/install-needs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = String::from_utf8(made.stdout).unwrap();
    let (_, symbols) = text.split_once("xkb_symbols").unwrap();
    let keys = symbols.split("key <").skip(1).filter_map(|key| {
        let (name, rest) = key.split_once('>')?;
        // Either `{ [ a, A ] }`, or with the list behind a field of its own.
        let rest = rest.split_once("symbols[Group1]=").map_or(rest, |(_, rest)| rest);
        let (list, _) = rest.split_once('[')?.1.split_once(']')?;
        Some((
            name.to_owned(),
            list.split(',').map(|sign| sign.trim().to_owned()).collect(),
        ))
    });
    keys.collect()
}

#[test]
fn each_key_gives_what_xorgs_keyboard_of_that_country_gives() {
    let words: Vec<&str> = SIGNS.split(' ').filter(|word| !word.is_empty()).skip(1).collect();
    let signs: BTreeMap<&str, char> = words
        .chunks(2)
        .map(|pair| (pair[0], pair[1].chars().next().unwrap()))
        .collect();
    for (layout, keyboard) in ALL {
        let theirs = xorg(layout);
        let mut compared = 0;
        for (place, name) in NAMES.split_whitespace().enumerate() {
            for (level, ours) in levels(keyboard).iter().enumerate() {
                let ours = ours.chars().nth(place).unwrap();
                let sign = theirs[name].get(level).map_or("", String::as_str);
                let sign = signs
                    .get(sign)
                    .copied()
                    .or_else(|| sign.chars().next().filter(|_| sign.len() == 1));
                if level < 2 {
                    assert_eq!(Some(ours), sign, "{layout} {name} level {level}");
                    compared += 1;
                } else if ours != ' ' {
                    assert_eq!(Some(ours), sign, "{layout} {name} with AltGr");
                    compared += 1;
                }
            }
        }
        assert!(compared >= 96, "{layout}: only {compared} compared");
    }
}

#[test]
fn every_sign_of_ascii_can_be_typed_on_every_keyboard() {
    for (layout, keyboard) in ALL {
        let all: String = levels(keyboard).concat();
        // An accent and then the space bar give the sign itself.
        let accents = [('`', '\u{300}'), ('^', '\u{302}'), ('~', '\u{303}')];
        for sign in '!'..='~' {
            let waits = accents
                .iter()
                .any(|(alone, accent)| *alone == sign && all.contains(*accent));
            assert!(all.contains(sign) || waits, "{layout} has no {sign}");
        }
    }
}

#[test]
fn keys_are_written_as_the_kernel_wants_them() {
    let german = keys(Keyboard::De);
    let of = |code, table| {
        german
            .iter()
            .find(|k| (k.code, k.table) == (code, table))
            .unwrap()
            .value
    };
    assert_eq!(of(21, 0), 0x0b7a, "z, which Caps Lock turns");
    assert_eq!(of(12, 0), 0x00df, "sharp s");
    assert_eq!(of(13, 0), 0x0501, "an acute accent waits");
    assert_eq!(of(18, 2), 0x20ac ^ 0xf000, "the euro sign");
    assert_eq!(of(30, 2), 0x0200, "nothing");
    assert_eq!(german.len(), 3 * 48);
}

#[test]
fn going_on_leads_through_all_of_them_and_back() {
    let mut keyboard = Keyboard::Us;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..ALL.len() {
        names.insert(name(keyboard));
        keyboard = after(keyboard);
    }
    assert_eq!((names.len(), keyboard), (ALL.len(), Keyboard::Us));
}
