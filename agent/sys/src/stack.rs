//! What a computation with secrets leaves on the stack.

use zeroize::Zeroize;

/// How much is overwritten, bytes. Argon2, AES and HKDF in an unoptimised build stay below a quarter of it.
const DEEP: usize = 128 * 1024;

/// Overwrites the stack below the caller with zeroes: frames of functions that have returned, where copies of keys and passphrases stay until
/// somebody else happens to use the same place. Call it where a computation with secrets has just ended, on the same thread.
#[inline(never)]
pub fn wipe_stack() {
    let mut frames = [0u8; DEEP];
    // zeroize is a volatile write, and black_box keeps the array: neither may be optimised away.
    frames.zeroize();
    std::hint::black_box(&frames);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom};

    #[inline(never)]
    fn leave_a_mark() -> usize {
        let mut frame = [0u8; 4096];
        frame.fill(0xA5);
        std::hint::black_box(&mut frame).as_ptr() as usize
    }

    /// The memory at an address that belongs to no object any more, as somebody else would read it.
    fn read_at(address: usize) -> Vec<u8> {
        let mut memory = std::fs::File::open("/proc/self/mem").expect("own memory");
        memory.seek(SeekFrom::Start(address as u64)).expect("seek");
        let mut bytes = vec![0; 4096];
        memory.read_exact(&mut bytes).expect("read");
        bytes
    }

    #[test]
    fn what_a_returned_function_left_on_the_stack_is_gone() {
        let run = || {
            let at = leave_a_mark();
            let before = read_at(at).iter().filter(|byte| **byte == 0xA5).count();
            let at = leave_a_mark();
            wipe_stack();
            let after = read_at(at).iter().filter(|byte| **byte == 0xA5).count();
            (before, after)
        };
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let (before, after) = thread.spawn(run).expect("thread").join().expect("run");
        assert!(before > 1000, "the mark itself must be seen: {before}");
        // A handful by chance: reading uses the stack too.
        assert!(after < 64, "{after} bytes of the mark are left");
    }
}
