//! The short codes that a person compares: which image runs, and whose castle it brings back.
//!
//! They show a stick that was swapped or mixed up, and a castle file of last year. They do not unmask a forged image: what lies can also show a wrong code.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The files of an owner's part, in the order in which they are packed and counted.
pub use skykeep_core::owner::FILES as OWNER_FILES;
/// Where the image keeps its number: 64 hex digits.
const NUMBER: &str = "/etc/skykeep-image";
/// 32 signs that nobody mistakes for each other: no I, O, 0, 1.
const SIGNS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Eight signs from the first 40 bits of a SHA-256, for example `K7QM-2FXA`.
pub fn short(digest: &[u8]) -> String {
    let bits = digest
        .iter()
        .take(5)
        .fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    let mut text = String::new();
    for place in (0..8).rev() {
        let index = usize::try_from(bits >> (5 * place) & 31).unwrap_or(0);
        text.push(char::from(SIGNS.get(index).copied().unwrap_or(b'?')));
        if place == 4 {
            text.push('-');
        }
    }
    text
}

/// The code of an owner's part: every file with its name and length, in the order of [`OWNER_FILES`].
pub fn of_owner<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    for (name, content) in files {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    }
    short(&hash.finalize())
}

/// The code of an image's number, when it is one.
pub fn of_image(number: &str) -> Option<String> {
    let number = number.trim();
    let digits = number.get(..10).filter(|_| number.len() == 64)?;
    let value = u64::from_str_radix(digits, 16).ok()?.to_be_bytes();
    value.get(3..).map(short)
}

/// What the boot screen says: the image that runs, and the owner's part in `owner`.
pub fn running(owner: &Path) -> String {
    let image = fs::read_to_string(NUMBER).ok().and_then(|number| of_image(&number));
    let files: Vec<(&str, Vec<u8>)> = OWNER_FILES
        .iter()
        .filter_map(|name| Some((*name, fs::read(owner.join(name)).ok()?)))
        .collect();
    let part = if files.is_empty() {
        "none".to_owned()
    } else {
        of_owner(files.iter().map(|(name, content)| (*name, content.as_slice())))
    };
    let image = image.unwrap_or_else(|| "without a number".into());
    format!(
        "Image {image}, owner's part {part}. Other codes than you know? Then it is another stick: do not type the passphrase."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_eight_signs_that_nobody_mistakes() {
        assert_eq!(short(&[0; 32]), "AAAA-AAAA");
        assert_eq!(short(&[0xff; 32]), "9999-9999");
        assert_eq!(short(&[0x08, 0x86, 0x42, 0x98, 0xe8]), "BCDE-FGHJ");
    }

    #[test]
    fn the_code_of_an_image_is_that_of_its_hex_number() {
        let number = "08864298e8".to_owned() + &"0".repeat(54);
        assert_eq!(of_image(&format!("{number}\n")).as_deref(), Some("BCDE-FGHJ"));
        assert_eq!(of_image("08864298e8"), None);
        assert_eq!(of_image(&"x".repeat(64)), None);
    }

    #[test]
    fn moving_a_byte_from_one_file_to_the_next_gives_another_code() {
        let code = |a: &[u8], b: &[u8]| of_owner([("castle.yaml", a), ("castle.lock", b)]);
        assert_ne!(code(b"ab", b"c"), code(b"a", b"bc"));
    }
}
