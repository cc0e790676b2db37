//! What the kernel keeps of a terminal's input.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The kernel's line buffer of one terminal (N_TTY_BUF_SIZE), bytes.
const LINE_BUFFER: usize = 4096;
/// How much is pushed before it is read back: less than the place where the kernel stops taking more.
const PIECE: usize = 1024;

/// Overwrites the kernel's line buffer of a terminal, where typed bytes stay after they were read or thrown away. Input that waits is lost.
///
/// The bytes are put in by `TIOCSTI` (which the kernel allows a process with CAP_SYS_ADMIN) as if they had been typed, and read back.
///
/// # Errors
/// When this is no terminal, or the kernel does not allow it: then the buffer stays as it is.
pub fn overwrite_terminal_input(terminal: BorrowedFd<'_>) -> io::Result<()> {
    let before = attributes(terminal)?;
    let mut raw = before;
    // Byte by byte, shown nowhere, meaning nothing; a read never waits.
    raw.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ECHONL | libc::ISIG | libc::IEXTEN);
    raw.c_iflag &= !(libc::ISTRIP | libc::INLCR | libc::ICRNL | libc::IGNCR | libc::IXON | libc::IUCLC);
    for index in [libc::VMIN, libc::VTIME] {
        if let Some(slot) = raw.c_cc.get_mut(index) {
            *slot = 0;
        }
    }
    set_attributes(terminal, &raw)?;
    let outcome = push_and_read_back(terminal);
    set_attributes(terminal, &before)?;
    outcome
}

fn push_and_read_back(terminal: BorrowedFd<'_>) -> io::Result<()> {
    drain(terminal)?;
    // Once around and a little more, wherever in the ring it begins.
    for _ in 0..LINE_BUFFER / PIECE + 1 {
        for _ in 0..PIECE {
            push(terminal, b' ')?;
        }
        drain(terminal)?;
    }
    Ok(())
}

fn push(terminal: BorrowedFd<'_>, byte: u8) -> io::Result<()> {
    // SAFETY: TIOCSTI reads one byte from the pointer, which is valid across the call.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSTI, &raw const byte) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Reads until nothing waits.
fn drain(terminal: BorrowedFd<'_>) -> io::Result<()> {
    let mut bytes = [0u8; PIECE];
    // Bounded: somebody who leans on the keyboard must not keep the machine from going off.
    for _ in 0..64 {
        // SAFETY: the pointer and the length are one array that lives across the call.
        let n = unsafe { libc::read(terminal.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
        zeroize::Zeroize::zeroize(&mut bytes);
        match n {
            0 => return Ok(()),
            1.. => {}
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return if error.kind() == io::ErrorKind::WouldBlock {
                        Ok(())
                    } else {
                        Err(error)
                    };
                }
            }
        }
    }
    Ok(())
}

fn attributes(terminal: BorrowedFd<'_>) -> io::Result<libc::termios> {
    let mut found = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: tcgetattr fills the whole struct when it returns 0.
    unsafe {
        if libc::tcgetattr(terminal.as_raw_fd(), found.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(found.assume_init())
    }
}

fn set_attributes(terminal: BorrowedFd<'_>, to: &libc::termios) -> io::Result<()> {
    // SAFETY: the pointer is to a complete termios.
    if unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, to) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_no_terminal_is_refused() {
        let file = std::fs::File::open("/dev/null").expect("/dev/null");
        assert!(overwrite_terminal_input(file.as_fd()).is_err());
    }

    /// As root TIOCSTI is allowed and waiting input is swallowed; else the refusal is an error. Either way the terminal is as before.
    #[test]
    fn a_terminal_is_as_before_afterwards() {
        let (mut master, mut slave) = (0, 0);
        let none = std::ptr::null_mut();
        // SAFETY: openpty writes two descriptors; the other pointers may be null.
        let made = unsafe { libc::openpty(&mut master, &mut slave, none, none.cast(), none.cast()) };
        assert_eq!(made, 0, "a pseudo-terminal");
        // SAFETY: both descriptors were just made and belong to nobody else.
        let slave = unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(slave) };
        // SAFETY: as above.
        let master = unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(master) };
        let before = attributes(slave.as_fd()).expect("attributes");
        let typed = std::io::Write::write(
            &mut std::fs::File::from(master.try_clone().expect("clone")),
            b"half a pass",
        );
        assert_eq!(typed.expect("typing"), 11);
        let outcome = overwrite_terminal_input(slave.as_fd());
        let after = attributes(slave.as_fd()).expect("attributes");
        assert_eq!(before.c_lflag, after.c_lflag);
        assert_eq!(before.c_cc, after.c_cc);
        // SAFETY: geteuid has no conditions.
        if unsafe { libc::geteuid() } == 0 {
            outcome.expect("root may push");
            let mut waiting: libc::c_int = -1;
            // SAFETY: FIONREAD writes one int.
            unsafe { libc::ioctl(slave.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
            assert_eq!(waiting, 0, "nothing waits");
        }
    }
}
