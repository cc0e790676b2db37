//! A Longhorn backup on S3, brought back without Longhorn.
//!
//! [`cfg`] reads what the backup target says of a volume; the volume's blocks are fetched when they are needed and checked
//! against their names; `ext4` reads the files out of them; what is written is read back and compared.
//! Nothing is ever written to the backup target: no lock either, because a castle that is being reborn has nobody who deletes there.

mod acl;
mod blocks;
pub mod cfg;
mod ext4;
mod fault;
mod inspect;
pub mod job;
mod older;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub use fault::Fault;
pub use inspect::{Seen, inspect};
