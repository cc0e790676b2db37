//! From a bare kernel to a trustworthy connection: link, address, route, name servers, clock.
//!
//! Inputs: the cards the kernel has, a DHCPv4 server, the castle's own hosts and the trusted roots. Outputs: a [`Link`] that keeps its lease by itself, and
//! a clock that was set from authenticated answers. Used by the rescue image only: as a command on somebody's Linux, the network and the clock are the host's.

mod card;
pub mod clock;
mod dhcp;
mod error;
mod kernel;
mod lease;
mod resolv;
mod up;

pub use error::NetError;
pub use up::{Link, Options, up};
