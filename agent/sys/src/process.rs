//! Hardening of the whole process.

use std::io;

/// No core dump and no tracing: a crash or a debugger of the same user must not bring secrets to a disk.
///
/// Call it first in `main`. It is inherited by children until they `exec` (the core limit beyond that).
pub fn harden_process() -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a complete rlimit that lives across the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: PR_SET_DUMPABLE takes plain numbers only.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// True when the kernel would still write a core dump of this process, or let another process of the same user trace it.
pub fn can_be_dumped() -> bool {
    // SAFETY: PR_GET_DUMPABLE takes no pointer.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_hardening_the_kernel_reports_no_core_size_and_no_dumping() {
        harden_process().expect("hardening");
        let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .expect("core limit");
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        // SAFETY: PR_GET_DUMPABLE takes no pointer.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }, 0);
    }
}
