//! This process's own view of the machine: files it can't change, memory that stays in RAM.

use std::io;

/// Makes every mount that this process sees read-only, at once and for good. It must be alone in its mount namespace, or
/// it would do that to everybody.
pub fn make_mounts_read_only() -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string, the attributes are a complete structure of the size that is given; both live across the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Keeps all memory of this process, also what it gets later, out of swap. False when its limits are too small for that:
/// then nothing was changed, because allocations beyond a limit would fail.
pub fn keep_memory_in_ram() -> io::Result<bool> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a complete rlimit that lives across the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_max != libc::RLIM_INFINITY {
        return Ok(false);
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes plain numbers only. Pages are locked when they are first touched, not reserved.
    let done = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if done == 0 {
        Ok(true)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_locked_when_the_limit_allows_it_and_left_alone_when_not() {
        let locked = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("status");
            let line = status
                .lines()
                .find(|l| l.starts_with("VmLck:"))
                .expect("line")
                .to_owned();
            line.split_whitespace()
                .nth(1)
                .and_then(|n| n.parse::<u64>().ok())
                .expect("number")
        };
        match keep_memory_in_ram() {
            Ok(true) => assert!(locked() > 100, "{} kB", locked()),
            Ok(false) => assert!(locked() < 1000, "{} kB", locked()),
            // No privilege, although the limit is infinite: cannot be on Linux.
            Err(e) => panic!("{e}"),
        }
    }
}
