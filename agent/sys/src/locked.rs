//! [`LockedBuf`]: bytes that hold a secret.

use crate::map::{Kind, Pages};
use zeroize::Zeroize;

/// A fixed number of bytes for a secret. Wiped when dropped.
///
/// The pages are the best the kernel gives: `memfd_secret` (outside the kernel's own mapping of RAM), else locked
/// anonymous memory, else (RLIMIT_MEMLOCK too small) unlocked memory; [`locked`](Self::locked) tells. They are never in a core
/// dump. A child made by `fork` finds zeroes or no page at all, so use none of these between `fork` and `exec`.
///
/// It has no `Debug` and no `Clone` on purpose: a secret is neither printed nor copied by accident.
pub struct LockedBuf {
    pages: Pages,
    len: usize,
}

// SAFETY: the object owns its pages alone, like a Box<[u8]>; nothing in it belongs to one thread.
unsafe impl Send for LockedBuf {}
// SAFETY: shared access gives only &[u8]; writing needs &mut self.
unsafe impl Sync for LockedBuf {}

impl LockedBuf {
    /// `len` zero bytes.
    pub fn with_len(len: usize) -> Self {
        Self {
            pages: Pages::new(len),
            len,
        }
    }

    /// Moves the bytes of `source` in: `source` is all zeroes afterwards.
    pub fn from_slice_wiping(source: &mut [u8]) -> Self {
        let mut buf = Self::with_len(source.len());
        buf.as_mut_slice().copy_from_slice(source);
        source.zeroize();
        buf
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the pages are at least `len` long, initialised (zeroed by their allocator), and live as long as self.
        unsafe { std::slice::from_raw_parts(self.pages.start.as_ptr(), self.len) }
    }

    /// The bytes, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in as_slice; &mut self makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.pages.start.as_ptr(), self.len) }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when the kernel promised never to write the pages to swap.
    pub fn locked(&self) -> bool {
        self.pages.locked
    }

    /// True when the pages are outside the kernel's own mapping of RAM (`memfd_secret`).
    pub fn hidden_from_kernel(&self) -> bool {
        self.pages.kind == Kind::Secret
    }
}

impl std::ops::Deref for LockedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl std::ops::DerefMut for LockedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl Zeroize for LockedBuf {
    fn zeroize(&mut self) {
        self.as_mut_slice().zeroize();
    }
}

impl Drop for LockedBuf {
    fn drop(&mut self) {
        self.zeroize();
        self.pages.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own view of one address of this process: its flags line in smaps.
    fn vm_flags(at: *const u8) -> String {
        let at = at as usize;
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("smaps of this process");
        let mut inside = false;
        for line in smaps.lines() {
            let range = line.split_whitespace().next().and_then(|word| word.split_once('-'));
            if let Some((from, to)) = range
                && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                inside = (from..to).contains(&at);
            }
            if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
                return flags.to_string();
            }
        }
        panic!("no mapping at {at:x}");
    }

    #[test]
    fn moving_a_secret_in_wipes_its_source() {
        let mut source = *b"correct horse battery staple";
        let buf = LockedBuf::from_slice_wiping(&mut source);
        assert_eq!(buf.as_slice(), b"correct horse battery staple");
        assert_eq!(source, [0; 28]);
    }

    #[test]
    fn zeroize_leaves_only_zeroes() {
        let mut buf = LockedBuf::from_slice_wiping(&mut [9; 5000]);
        buf.zeroize();
        assert!(buf.iter().all(|byte| *byte == 0));
        assert_eq!(buf.len(), 5000);
    }

    #[test]
    fn an_empty_buffer_is_allowed() {
        let buf = LockedBuf::with_len(0);
        assert!(buf.is_empty() && buf.as_slice().is_empty());
    }

    #[test]
    fn the_kernel_keeps_the_pages_out_of_core_dumps_and_children() {
        let buf = LockedBuf::with_len(64);
        let flags = vm_flags(buf.as_slice().as_ptr());
        assert!(flags.contains(" dd"), "dumped: {flags}");
        assert!(flags.contains(" dc") || flags.contains(" wf"), "inherited: {flags}");
        assert_eq!(flags.contains(" lo"), buf.locked(), "locked: {flags}");
    }

    /// The RLIMIT_MEMLOCK of one process cannot be changed for one test only, so this one runs itself again as a child with none.
    #[test]
    fn without_leave_to_lock_memory_it_still_works_and_says_so() {
        if std::env::var_os("SKYKEEP_TEST_NO_MEMLOCK").is_none() {
            let me = std::env::current_exe().expect("path of the test program");
            let name = "locked::tests::without_leave_to_lock_memory_it_still_works_and_says_so";
            // CAP_IPC_LOCK would defeat the limit, so the child drops it (setpriv does nothing for an ordinary user).
            let script = "ulimit -l 0 && exec setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock \"$0\" \"$@\"";
            let root = std::fs::read_to_string("/proc/self/status")
                .expect("status")
                .contains("Uid:\t0\t");
            let script = if root {
                script
            } else {
                "ulimit -l 0 && exec \"$0\" \"$@\""
            };
            let status = std::process::Command::new("sh")
                .args(["-c", script])
                .arg(me)
                .args(["--exact", name])
                .env("SKYKEEP_TEST_NO_MEMLOCK", "1")
                .status()
                .expect("child");
            assert!(status.success());
            return;
        }
        let buf = LockedBuf::from_slice_wiping(&mut [3; 100]);
        assert!(!buf.locked() && !buf.hidden_from_kernel());
        assert!(buf.iter().all(|byte| *byte == 3));
    }
}
