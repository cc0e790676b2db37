//! The kernel's own table of what the keys of a screen's keyboard give.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Of the kernel's `linux/kd.h`; the crate `libc` has none of it.
const KDGKBTYPE: libc::Ioctl = 0x4B33;
const KDSKBENT: libc::Ioctl = 0x4B47;

/// What one key gives: `struct kbentry` of the kernel.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Which modifiers are held: 0 none, 1 Shift, 2 AltGr.
    pub table: u8,
    /// The key's number.
    pub code: u8,
    /// What it gives, as the kernel writes it.
    pub value: u16,
}

/// Whether a terminal is a screen with a keyboard, whose keys the kernel translates. A serial line or a window is none.
pub fn has_keyboard(terminal: BorrowedFd<'_>) -> bool {
    let mut kind: libc::c_char = 0;
    // SAFETY: KDGKBTYPE writes one byte to the pointer, which is valid across the call.
    unsafe { libc::ioctl(terminal.as_raw_fd(), KDGKBTYPE, &raw mut kind) == 0 }
}

/// Changes what keys give, on all screens of this machine.
///
/// # Errors
/// When this is no screen, or the kernel does not allow it (it asks for CAP_SYS_TTY_CONFIG); the keys before that are changed.
pub fn set_keys(terminal: BorrowedFd<'_>, keys: impl IntoIterator<Item = Key>) -> io::Result<()> {
    for key in keys {
        // SAFETY: KDSKBENT reads one `struct kbentry` from the pointer, which is valid across the call.
        let done = unsafe { libc::ioctl(terminal.as_raw_fd(), KDSKBENT, &raw const key) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_no_screen_has_no_keyboard_and_is_refused() {
        let file = std::fs::File::open("/dev/null").expect("/dev/null");
        assert!(!has_keyboard(file.as_fd()));
        let key = Key {
            table: 0,
            code: 30,
            value: 0x0b61,
        };
        assert!(set_keys(file.as_fd(), [key]).is_err());
    }

    #[test]
    fn a_key_is_laid_out_as_the_kernel_reads_it() {
        assert_eq!((size_of::<Key>(), std::mem::offset_of!(Key, value)), (4, 2));
    }
}
