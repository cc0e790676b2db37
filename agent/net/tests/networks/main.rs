//! The laptop's network in network namespaces that each test makes, against the servers that hotels and offices use. Needs root and Debian's packages
//! (tests/install-needs).

mod dhcp;
mod laptop;
mod six;
mod space;
mod way;
mod web;
