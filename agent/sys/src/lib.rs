//! What the agent must ask the kernel for by itself: memory that holds secrets, and a process that leaves no core dump.
//!
//! This is the only crate of the workspace with `unsafe` code. Two things are in it:
//!
//! * [`LockedBuf`]: bytes that are kept out of swap, core dumps and children, and wiped when dropped;
//! * [`harden_process`]: no core dump, no tracing by another process of the same user.

mod locked;
mod map;
mod process;

pub use locked::LockedBuf;
pub use process::harden_process;
