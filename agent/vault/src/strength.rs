//! Whether a passphrase may lock a file that everybody may have.
//!
//! The rule: by the estimate of zxcvbn (dictionaries, names, dates, keyboard walks, repetitions) an attacker needs at
//! least 2^50 guesses. With the default Argon2id a guess costs 256 MiB and the better part of a second of a core, so
//! that is some millions of core-years. The estimate looks at the first 100 characters.

use skykeep_core::Secret;

use crate::error::VaultError;

/// Least strength of a passphrase that a person chose, bits.
pub const LEAST_BITS: u32 = 50;

/// Refuses a passphrase below [`LEAST_BITS`]. The estimator keeps copies that are not wiped: use this where a vault is
/// made or changed, on its owner's computer, and never where one is opened.
pub fn check(passphrase: &Secret) -> Result<(), VaultError> {
    let text = passphrase
        .expose_str()
        .ok_or(VaultError::Passphrase("it is not UTF-8 text"))?;
    let bits = zxcvbn::zxcvbn(text, &["skykeep", "vault", "castle"]).guesses_log10() * std::f64::consts::LOG2_10;
    if bits < f64::from(LEAST_BITS) {
        return Err(VaultError::Weak { bits: bits.floor() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_first_is_refused() {
        for weak in [
            "Password123!",
            "correct horse",
            "qwertyuiopasdfghjkl",
            "skykeep castle",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "12/03/1987 12/03/1987",
        ] {
            let secret = Secret::from_string(weak.to_owned());
            assert!(matches!(check(&secret), Err(VaultError::Weak { .. })), "{weak}");
        }
    }

    #[test]
    fn several_unrelated_words_are_enough() {
        for strong in [
            "seven lanterns over the quiet harbour",
            "perch\u{e9} no, cavallo batteria",
        ] {
            check(&Secret::from_string(strong.to_owned())).unwrap();
        }
    }
}
