//! From a bare kernel to a trustworthy connection: link, address, route, name servers, clock.
//!
//! Inputs: the cards the kernel has, a Wi-Fi network and its password, a DHCP server, IPv6 routers or typed addresses, the castle's own hosts and the trusted roots.
//! Outputs: a [`Link`] that keeps its lease by itself, and a clock that was set from authenticated answers; or a [`Diagnosis`] that says which step fails. Used by the rescue image only: as a command on somebody's Linux, the network and the clock are the host's.

mod card;
pub mod clock;
mod connect;
mod dhcp;
mod diagnosis;
mod disguise;
mod error;
mod find;
mod fixed;
mod kernel;
mod lease;
mod names;
mod portal;
mod resolv;
mod six;
mod up;
mod vlan;
pub mod wifi;

pub use card::typed_mac;
pub use connect::{Need, connect, reach};
pub use diagnosis::{Diagnosis, Facts};
pub use disguise::Disguise;
pub use error::NetError;
pub use fixed::{Fixed, typed_addresses};
pub use names::Names;
pub use portal::Verdict;
pub use up::{Half, Link, Options, signals, up};
pub use vlan::typed_tag;
