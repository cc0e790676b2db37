//! What the keys give on the keyboards that are common where a castle may be reborn, as the kernel's keymap wants it. Pure.

use skykeep_core::castle::Keyboard;
use skykeep_sys::Key;

/// The keys that differ from country to country, by the kernel's numbers: the row of digits, then the three of letters.
const KEYS: [u8; 48] = [
    41, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 30, 31, 32, 33, 34, 35,
    36, 37, 38, 39, 40, 43, 86, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53,
];

/// Accents that wait for the next key, as the tables below write them, and the kernel's numbers of them.
const ACCENTS: [(char, u16); 5] = [
    ('\u{300}', 0),
    ('\u{301}', 1),
    ('\u{302}', 2),
    ('\u{303}', 3),
    ('\u{308}', 4),
];

/// Kinds of the kernel's key values.
const LATIN: u16 = 0x0000;
const DEAD: u16 = 0x0500;
const LETTER: u16 = 0x0b00;
const NOTHING: u16 = 0x0200;
/// What is no Latin letter is written as its Unicode number with these bits turned.
const UNICODE: u16 = 0xf000;

// Alone, with Shift, with AltGr, in the order of KEYS; a space where a key gives nothing. Ctrl stays as on the American one: its letters are at the same places
// but a, q, w, y and z.
const US: [&str; 3] = [
    concat!("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", "<zxcvbnm,./"),
    concat!("~!@#$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:\"|", ">ZXCVBNM<>?"),
    concat!("             ", "            ", "            ", "|          "),
];
const GB: [&str; 3] = [
    concat!("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'#", "\\zxcvbnm,./"),
    concat!("¬!\"£$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:@~", "|ZXCVBNM<>?"),
    concat!("|   €  {[]}\\ ", "@           ", "            ", "|          "),
];
const IT: [&str; 3] = [
    concat!("\\1234567890'ì", "qwertyuiopè+", "asdfghjklòàù", "<zxcvbnm,.-"),
    concat!("|!\"£$%&/()=?^", "QWERTYUIOPé*", "ASDFGHJKLç°§", ">ZXCVBNM;:_"),
    concat!("       {[]}`~", "@ €       []", "         @# ", "           "),
];
const DE: [&str; 3] = [
    concat!(
        "\u{302}1234567890ß\u{301}",
        "qwertzuiopü+",
        "asdfghjklöä#",
        "<yxcvbnm,.-"
    ),
    concat!("°!\"§$%&/()=?\u{300}", "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ'", ">YXCVBNM;:_"),
    concat!("       {[]}\\ ", "@ €        ~", "            ", "|          "),
];
const FR: [&str; 3] = [
    concat!("²&é\"'(-è_çà)=", "azertyuiop\u{302}$", "qsdfghjklmù*", "<wxcvbn,;:!"),
    concat!("~1234567890°+", "AZERTYUIOP\u{308}£", "QSDFGHJKLM%µ", ">WXCVBN?./§"),
    concat!("  ~#{[|`\\^@]}", "  €         ", "@           ", "|          "),
];
const ES: [&str; 3] = [
    concat!(
        "º1234567890'¡",
        "qwertyuiop\u{300}+",
        "asdfghjklñ\u{301}ç",
        "<zxcvbnm,.-"
    ),
    concat!(
        "ª!\"·$%&/()=?¿",
        "QWERTYUIOP\u{302}*",
        "ASDFGHJKLÑ\u{308}Ç",
        ">ZXCVBNM;:_"
    ),
    concat!("\\|@#~  {[]}\\ ", "@ €       []", "          {}", "|          "),
];

fn levels(keyboard: Keyboard) -> [&'static str; 3] {
    match keyboard {
        Keyboard::Us => US,
        Keyboard::Gb => GB,
        Keyboard::It => IT,
        Keyboard::De => DE,
        Keyboard::Fr => FR,
        Keyboard::Es => ES,
    }
}

/// What a person calls it.
pub fn name(keyboard: Keyboard) -> &'static str {
    match keyboard {
        Keyboard::Us => "American (us)",
        Keyboard::Gb => "British (gb)",
        Keyboard::It => "Italian (it)",
        Keyboard::De => "German (de)",
        Keyboard::Fr => "French (fr)",
        Keyboard::Es => "Spanish (es)",
    }
}

/// The one after it, around and around.
pub fn after(keyboard: Keyboard) -> Keyboard {
    match keyboard {
        Keyboard::Us => Keyboard::Gb,
        Keyboard::Gb => Keyboard::It,
        Keyboard::It => Keyboard::De,
        Keyboard::De => Keyboard::Fr,
        Keyboard::Fr => Keyboard::Es,
        Keyboard::Es => Keyboard::Us,
    }
}

/// All keys of a keyboard. Those that give nothing are told too: they may have given something before.
pub fn keys(keyboard: Keyboard) -> Vec<Key> {
    let [plain, shifted, third] = levels(keyboard);
    let columns = KEYS
        .into_iter()
        .zip(plain.chars())
        .zip(shifted.chars())
        .zip(third.chars());
    let mut keys = Vec::with_capacity(3 * KEYS.len());
    for (((code, plain), shifted), third) in columns {
        // Only such a pair is turned round by Caps Lock.
        let letter = plain.is_lowercase() && plain.to_uppercase().eq([shifted]);
        for (table, character, letter) in [(0, plain, letter), (1, shifted, letter), (2, third, false)] {
            let value = value(character, letter);
            keys.push(Key { table, code, value });
        }
    }
    keys
}

fn value(character: char, letter: bool) -> u16 {
    if character == ' ' {
        return NOTHING;
    }
    if let Some((_, accent)) = ACCENTS.iter().find(|(c, _)| *c == character) {
        return DEAD | accent;
    }
    match u8::try_from(character) {
        Ok(latin) if letter => LETTER | u16::from(latin),
        Ok(latin) => LATIN | u16::from(latin),
        Err(_) => u16::try_from(u32::from(character)).map_or(NOTHING, |number| number ^ UNICODE),
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
