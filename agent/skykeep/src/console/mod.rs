//! What a person sees and types: 80 columns, letters only, the same on a screen and on a serial line.

pub mod board;
pub mod hold;
pub mod keyboard;
pub mod keys;
mod layout;
pub mod lines;
pub mod prompt;
pub mod rail;
pub mod words;
