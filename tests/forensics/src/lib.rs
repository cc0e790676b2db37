//! RAM forensics, from outside: boots the image in QEMU, dumps the guest's whole memory at the moments that matter, and searches it for every secret,
//! in every form in which a program could have left it.
//!
//! [`Needles`] are what is searched for, [`search`] looks through one dump. A rehearsal uses both with its own secrets.

mod aes;
mod boot;
pub mod boots;
mod crash;
pub mod ending;
mod hardware;
pub mod keys;
mod needles;
pub mod owner;
mod search;
mod tls;

pub use needles::{FRAGMENT, Needles};
pub use search::{Findings, search};
