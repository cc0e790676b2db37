//! What the agent must ask the kernel for by itself: memory that holds secrets, and a process that leaves no core dump.
//!
//! This is the only crate of the workspace with `unsafe` code. In it:
//!
//! * [`LockedBuf`]: bytes that are kept out of swap, core dumps and children, and wiped when dropped;
//! * [`harden_process`]: no core dump, no tracing by another process of the same user; [`can_be_dumped`] asks whether it holds;
//! * [`wipe_stack`]: what a computation left on the stack;
//! * [`overwrite_terminal_input`]: what the kernel keeps of typed lines;
//! * [`set_keys`]: the layout of the keyboard at a screen;
//! * [`make_mounts_read_only`], [`keep_memory_in_ram`]: what protects a host that Skykeep works on.

mod keyboard;
mod locked;
mod map;
mod private;
mod process;
mod stack;
mod terminal;

pub use keyboard::{Key, has_keyboard, set_keys};
pub use locked::LockedBuf;
pub use private::{keep_memory_in_ram, make_mounts_read_only};
pub use process::{can_be_dumped, harden_process};
pub use stack::wipe_stack;
pub use terminal::overwrite_terminal_input;
