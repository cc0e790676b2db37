//! The vault: one small encrypted file that holds the castle's root and the few secrets that open everything else.
//!
//! Inputs: the file's bytes and a passphrase. Outputs: a [`Vault`] whose secrets lie in locked memory, or an error that
//! tells a wrong passphrase from a damaged file. The format is written down, byte by byte, in `docs/FORMATS.md`.
//! A passphrase is normalised to Unicode NFC before use, so that the same word typed on two keyboards is the same.

mod crypt;
pub mod derive;
mod error;
mod format;
pub mod gopass;
mod kdf;
pub mod newer;
mod open;
mod payload;
mod read;
pub mod recovery;
mod slot;
pub mod strength;
pub mod tazpod;
#[cfg(test)]
mod third_party_tests;
#[cfg(test)]
mod timing_tests;
mod vault;

pub use derive::{derive, derive_lasting};
pub use error::VaultError;
pub use format::MAX_FILE;
pub use kdf::KdfParams;
pub use open::{Outside, outside};
pub use slot::SlotKind;
pub use vault::{EntryInfo, SlotInfo, Vault};
