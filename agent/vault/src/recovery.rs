//! Recovery codes and generated passphrases: words of the BIP 39 English list, 2048 words that differ in their first
//! four letters (crate `bip39`). A recovery code is 128 random bits and their checksum, as 12 words.

use bip39::{Language, Mnemonic};
use skykeep_core::Secret;
use zeroize::Zeroizing;

use crate::{crypt, error::VaultError};

/// Words of a generated passphrase; each is worth 11 bits.
pub const PASSPHRASE_WORDS: usize = 7;
/// Words of a recovery code.
pub const RECOVERY_WORDS: usize = 12;
/// Longest word of the list, letters.
const LONGEST: usize = 8;

/// A passphrase of [`PASSPHRASE_WORDS`] random words: 77 bits.
pub fn generate_passphrase() -> Result<Secret, VaultError> {
    let random = Zeroizing::new(crypt::random::<{ 2 * PASSPHRASE_WORDS }>()?);
    let list = Language::English.word_list();
    // 2048 divides 65536, so every word is equally likely.
    let indices = random
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| usize::from(u16::from_be_bytes(*pair)) % list.len());
    Ok(join(indices.filter_map(|i| list.get(i).copied())))
}

/// A new recovery code in its canonical form: lower-case words, one space between them.
pub fn generate_recovery() -> Result<Secret, VaultError> {
    let random = Zeroizing::new(crypt::random::<16>()?);
    let code =
        Mnemonic::from_entropy_in(Language::English, &*random).map_err(|e| VaultError::Machine(e.to_string()))?;
    Ok(join(code.words()))
}

fn join(words: impl Iterator<Item = &'static str>) -> Secret {
    // Room from the start: the text never moves and leaves no copy behind.
    let mut text = String::with_capacity((LONGEST + 1) * RECOVERY_WORDS);
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    Secret::from_string(text)
}

/// What was typed, seen as a recovery code.
pub(crate) enum Typed {
    /// A whole code, in canonical form.
    Code(Secret),
    /// Twelve words of the list whose checksum does not fit: one is wrong, or two changed places.
    Misspelt,
    /// Not a recovery code.
    Other,
}

/// Reads a typed text as a recovery code: any case, spaces or hyphens between the words, four letters of each enough.
pub(crate) fn read(typed: &str) -> Typed {
    let list = Language::English.word_list();
    let mut words = Vec::with_capacity(RECOVERY_WORDS);
    let parts = typed
        .split(|c: char| c.is_whitespace() || c == '-')
        .filter(|p| !p.is_empty());
    for part in parts {
        let same = |word: &&&str| {
            let begins = word.get(..part.len()).is_some_and(|w| w.eq_ignore_ascii_case(part));
            begins && (word.len() == part.len() || part.len() >= 4)
        };
        match list.iter().find(same) {
            Some(word) if words.len() < RECOVERY_WORDS => words.push(*word),
            _ => return Typed::Other,
        }
    }
    if words.len() != RECOVERY_WORDS {
        return Typed::Other;
    }
    let code = join(words.into_iter());
    match code
        .expose_str()
        .map(|c| Mnemonic::parse_in_normalized(Language::English, c))
    {
        Some(Ok(_)) => Typed::Code(code),
        _ => Typed::Misspelt,
    }
}

/// The canonical form of a recovery code that was typed.
pub fn canonical(typed: &Secret) -> Result<Secret, VaultError> {
    match typed.expose_str().map_or(Typed::Other, read) {
        Typed::Code(code) => Ok(code),
        Typed::Misspelt => Err(VaultError::Recovery),
        Typed::Other => Err(VaultError::Passphrase("it is no recovery code of 12 words")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The first vector of BIP 39 itself.
    const ZERO: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    fn text(typed: Typed) -> Option<String> {
        match typed {
            Typed::Code(code) => code.expose_str().map(str::to_owned),
            _ => None,
        }
    }

    #[test]
    fn a_code_is_read_however_it_was_written_down() {
        assert_eq!(text(read(ZERO)).as_deref(), Some(ZERO));
        let shouted = ZERO.to_uppercase().replace(' ', "  ");
        assert_eq!(text(read(&format!(" {shouted}\t"))).as_deref(), Some(ZERO));
        let short = "aban-aban-aban-aban-aban-aban-aban-aban-aban-aban-aban-abou";
        assert_eq!(text(read(short)).as_deref(), Some(ZERO));
    }

    #[test]
    fn a_wrong_word_is_noticed_before_any_work_is_done() {
        assert!(matches!(read(&ZERO.replace("about", "above")), Typed::Misspelt));
        assert!(matches!(read(&ZERO.replace("about", "abouts")), Typed::Other));
        assert!(matches!(read("abandon about"), Typed::Other));
        assert!(matches!(read(&format!("{ZERO} about")), Typed::Other));
        assert!(matches!(read("perch\u{e9} no"), Typed::Other));
        assert!(matches!(read(""), Typed::Other));
    }

    #[test]
    fn what_is_generated_is_long_enough_and_never_the_same() {
        let (one, two) = (generate_passphrase().unwrap(), generate_passphrase().unwrap());
        assert_eq!(one.expose_str().unwrap().split(' ').count(), PASSPHRASE_WORDS);
        assert_ne!(one.expose(), two.expose());
        crate::strength::check(&one).unwrap();
        let code = generate_recovery().unwrap();
        assert_eq!(canonical(&code).unwrap().expose(), code.expose());
    }
}
