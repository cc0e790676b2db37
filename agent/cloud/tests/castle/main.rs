//! A castle's life at the laboratory's strict double of AWS, in process, with troubles that AWS really makes.
// The whole crate is a test; clippy knows it only of functions marked as such.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod keys;
mod life;
mod lost;
mod room;
mod stage;
