//! The laptop's network in network namespaces that each test makes, against the servers that hotels and offices use. Needs root and Debian's packages
//! (tests/install-needs).

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dhcp;
mod laptop;
mod six;
mod space;
mod way;
mod web;
