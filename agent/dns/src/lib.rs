//! DNS: moves the castle's names to the reborn castle, in one transaction, with a way back, and watches it arrive.
//!
//! Inputs: the zone's token, the names, the entry's addresses. Outputs: the zone as it was, a [`Change`] that can be
//! read before it is made, an [`Undo`] record to keep before making it, and the proof that the world sees it.
//!
//! A supplier is a folder behind [`Zone`]: `cloudflare`, `rfc2136`.
//!
//! Order of use: [`Cloudflare::connect`] or [`Rfc2136::connect`], [`Zone::records`], [`Undo::of`] (keep it!), [`lower_ttl`], later [`plan`], renew the
//! lease, [`Zone::apply`], [`verify`].

mod change;
mod cloudflare;
mod error;
mod old;
mod over_https;
pub mod rfc2136;
mod undo;
mod verify;
mod zone;

pub use change::{Change, Patch, Post, Record, lower_ttl, plan};
pub use cloudflare::{Cloudflare, Token, Tokens};
pub use error::DnsError;
pub use old::addresses;
pub use over_https::verify_by_https;
pub use rfc2136::Rfc2136;
pub use undo::{Undo, also_there};
pub use verify::{Expected, verify};
pub use zone::Zone;
