//! The pages behind a [`LockedBuf`](crate::LockedBuf): three kinds, best first.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

/// Where the pages came from. Decides how they are given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `memfd_secret`: locked, and absent from the kernel's own mapping of RAM.
    Secret,
    /// Anonymous private mapping.
    Anonymous,
    /// Ordinary heap: only when no mapping could be had.
    Heap,
}

/// A run of zeroed pages, owned.
pub(crate) struct Pages {
    pub(crate) start: NonNull<u8>,
    pub(crate) bytes: usize,
    pub(crate) kind: Kind,
    pub(crate) locked: bool,
}

const PAGE: usize = 4096;

/// `len` rounded up to whole pages, at least one.
pub(crate) fn round_up(len: usize) -> usize {
    len.max(1)
        .checked_next_multiple_of(PAGE)
        .unwrap_or(usize::MAX & !(PAGE - 1))
}

impl Pages {
    /// The best pages the kernel gives for `len` bytes. Ends the program when there is no memory at all, as `Vec` does.
    pub(crate) fn new(len: usize) -> Self {
        let bytes = round_up(len);
        secret(bytes)
            .or_else(|| anonymous(bytes))
            .unwrap_or_else(|| heap(bytes))
    }

    /// Gives the pages back. The caller has wiped them, and uses `self.start` no more.
    pub(crate) fn release(&mut self) {
        match self.kind {
            Kind::Secret | Kind::Anonymous => {
                // SAFETY: start and bytes are exactly one mapping that mmap gave to this object, unmapped once, in Drop.
                unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
            }
            Kind::Heap => {
                if let Ok(layout) = Layout::from_size_align(self.bytes, PAGE) {
                    // SAFETY: the block was allocated in `heap` with this very layout, and is freed once, in Drop.
                    unsafe { dealloc(self.start.as_ptr(), layout) };
                }
            }
        }
    }
}

fn mapping(bytes: usize, flags: libc::c_int, fd: libc::c_int) -> Option<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory that exists.
    let at = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
    if at == libc::MAP_FAILED {
        None
    } else {
        NonNull::new(at.cast())
    }
}

fn advise(start: NonNull<u8>, bytes: usize, advice: libc::c_int) {
    // SAFETY: the range is one mapping of ours; the advices used (DONTDUMP, DONTFORK, WIPEONFORK) change no byte of it here.
    // The result is not needed: an old kernel that does not know an advice gives the plain mapping.
    unsafe { libc::madvise(start.as_ptr().cast(), bytes, advice) };
}

/// Pages of `memfd_secret(2)`. None on a kernel without it, or when they would exceed RLIMIT_MEMLOCK.
fn secret(bytes: usize) -> Option<Pages> {
    // SAFETY: memfd_secret takes one flag word and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let fd = libc::c_int::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    let size = libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
    // SAFETY: fd was just opened by us and is used by nobody else.
    let sized = unsafe { libc::ftruncate(fd, size) } == 0;
    let start = if sized {
        mapping(bytes, libc::MAP_SHARED, fd)
    } else {
        None
    };
    // SAFETY: fd is ours and closed once; the mapping keeps the pages alive.
    unsafe { libc::close(fd) };
    let start = start?;
    // A shared mapping cannot be wiped at fork, so a child does not get it at all.
    advise(start, bytes, libc::MADV_DONTFORK);
    advise(start, bytes, libc::MADV_DONTDUMP);
    // SAFETY: the mapping is `bytes` long and writable. Touching each page now makes a lack of memory show here, not at a secret's first use.
    unsafe { ptr::write_bytes(start.as_ptr(), 0, bytes) };
    Some(Pages {
        start,
        bytes,
        kind: Kind::Secret,
        locked: true,
    })
}

fn anonymous(bytes: usize) -> Option<Pages> {
    let start = mapping(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    advise(start, bytes, libc::MADV_DONTDUMP);
    advise(start, bytes, libc::MADV_WIPEONFORK);
    // SAFETY: mlock on a mapping of ours; when RLIMIT_MEMLOCK is too small it fails and changes nothing.
    let locked = unsafe { libc::mlock(start.as_ptr().cast(), bytes) } == 0;
    Some(Pages {
        start,
        bytes,
        kind: Kind::Anonymous,
        locked,
    })
}

fn heap(bytes: usize) -> Pages {
    let Ok(layout) = Layout::from_size_align(bytes, PAGE) else {
        handle_alloc_error(Layout::new::<[u8; PAGE]>());
    };
    // SAFETY: `bytes` is at least one page, so the layout is not empty.
    let block = unsafe { alloc_zeroed(layout) };
    let Some(start) = NonNull::new(block) else {
        handle_alloc_error(layout)
    };
    Pages {
        start,
        bytes,
        kind: Kind::Heap,
        locked: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writable_then_released(mut pages: Pages) {
        // SAFETY: the pages are ours, `bytes` long and writable.
        unsafe { ptr::write_bytes(pages.start.as_ptr(), 7, pages.bytes) };
        pages.release();
    }

    #[test]
    fn each_kind_of_page_can_be_written_and_given_back() {
        writable_then_released(heap(PAGE));
        writable_then_released(anonymous(3 * PAGE).expect("anonymous memory"));
        if let Some(pages) = secret(2 * PAGE) {
            assert!(pages.locked);
            writable_then_released(pages);
        }
    }

    #[test]
    fn lengths_are_rounded_to_whole_pages_and_never_to_nothing() {
        assert_eq!(
            (round_up(0), round_up(1), round_up(4096), round_up(4097)),
            (4096, 4096, 4096, 8192)
        );
    }

    #[test]
    fn a_length_no_machine_has_does_not_wrap_around() {
        assert!(round_up(usize::MAX) > usize::MAX - PAGE);
    }
}
