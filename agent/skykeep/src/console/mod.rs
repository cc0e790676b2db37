//! What a person sees and types: 80 columns, letters only, the same on a screen and on a serial line.

pub mod board;
pub mod keys;
pub mod lines;
pub mod prompt;
pub mod rail;
pub mod words;
