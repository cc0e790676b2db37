//! DNS: moves the castle's names to the reborn castle, in one transaction, with a way back, and watches it arrive.
//!
//! Inputs: the zone's token, the names, the entry's addresses. Outputs: the zone as it was, a [`Change`] that can be
//! read before it is made, an [`Undo`] record to keep before making it, and the proof that the world sees it.
//!
//! Order of use: [`Cloudflare::connect`], [`Zone::records`], [`Undo::of`] (keep it!), [`lower_ttl`], later [`plan`], renew the
//! lease, [`Zone::apply`], [`verify`].

mod change;
mod cloudflare;
mod error;
mod old;
mod undo;
mod verify;

pub use change::{Change, Patch, Post, Record, lower_ttl, plan};
pub use cloudflare::{Cloudflare, Zone};
pub use error::DnsError;
pub use old::addresses;
pub use undo::{Undo, also_there};
pub use verify::{Expected, verify};
