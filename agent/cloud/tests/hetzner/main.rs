//! A castle's machines at the laboratory's double of Hetzner Cloud, which Hetzner's own Python client judges.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod life;
mod lost;
mod room;
mod stage;
