//! Which copy of a vault counts: the highest version that proves itself, and never an older one than the one at hand.

use crate::{error::VaultError, vault::Vault};

/// What became of another copy.
#[derive(Debug)]
pub enum Found {
    /// It is newer and is used from here on; the version of the copy that was at hand.
    Newer {
        /// Version of the copy at hand.
        had: u64,
    },
    /// It has the same version.
    Same,
    /// It is older: the other place lags behind, or somebody put an old copy there.
    Older {
        /// Its version.
        theirs: u64,
    },
    /// It does not prove itself.
    Refused(VaultError),
}

/// Decides between the open vault at hand and another copy's bytes. The root of trust is the data key of the open
/// one: only who opened this vault before can have sealed a copy that is taken.
pub fn choose(at_hand: Vault, other: &[u8]) -> (Vault, Found) {
    match at_hand.open_copy(other) {
        Ok(copy) if copy.counter() > at_hand.counter() => {
            let had = at_hand.counter();
            (copy, Found::Newer { had })
        }
        Ok(copy) if copy.counter() == at_hand.counter() => (at_hand, Found::Same),
        Ok(copy) => (at_hand, Found::Older { theirs: copy.counter() }),
        Err(error) => (at_hand, Found::Refused(error)),
    }
}
