//! Bytes into a file, and no bytes where there are only zeros.

use std::{fs::File, io, os::unix::fs::FileExt};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
};

/// Whether a part is left out is asked for each of these, aligned. Smaller holes cost more than they save.
const BLOCK: usize = 64 << 10;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes a piece. Blocks of zeros are left out, for a backup does not tell where a file had its holes; where `old` bytes may be, they are
/// taken away.
pub(super) fn fill(file: &File, start: u64, bytes: &[u8], old: bool) -> io::Result<()> {
    let (mut rest, mut at) = (bytes, start);
    while !rest.is_empty() {
        let hole = run(rest, at, true);
        let (zeros, after) = rest.split_at(hole);
        if old && hole > 0 {
            clear(file, at, zeros)?;
        }
        at += hole as u64;
        let (data, after) = after.split_at(run(after, at, false));
        file.write_all_at(data, at)?;
        at += data.len() as u64;
        rest = after;
    }
    Ok(())
}

/// How many bytes from here on are blocks of zeros, or are none. What is no whole block is no hole.
fn run(bytes: &[u8], at: u64, zeros: bool) -> usize {
    let mut length = 0;
    while let Some(rest) = bytes.get(length..).filter(|rest| !rest.is_empty()) {
        let into = usize::try_from((at + length as u64) % BLOCK as u64).unwrap_or(0);
        let block = rest.get(..(BLOCK - into).min(rest.len())).unwrap_or(rest);
        let hole = block == &ZEROS[..];
        if hole != zeros {
            break;
        }
        length += block.len();
    }
    length
}

fn clear(file: &File, at: u64, zeros: &[u8]) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let too_far = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let (from, length) = (
        i64::try_from(at).map_err(too_far)?,
        i64::try_from(zeros.len()).map_err(too_far)?,
    );
    match fallocate(file, flags, from, length) {
        // Not every file system knows holes.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => file.write_all_at(zeros, at),
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use super::*;

    #[test]
    fn zeros_take_no_room_and_old_bytes_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0; 10 * BLOCK + 77];
        bytes[3 * BLOCK + 5] = 1;
        let last = bytes.len() - 1;
        bytes[last] = 2;
        for old in [false, true] {
            let path = folder.path().join(old.to_string());
            if old {
                fs::write(&path, vec![0xff; 11 * BLOCK + 77]).unwrap();
            }
            let file = fs::OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(false)
                .open(&path)
                .unwrap();
            // Not aligned, and in two pieces that meet within a block.
            let (one, two) = bytes.split_at(5 * BLOCK + 100);
            fill(&file, BLOCK as u64, one, old).unwrap();
            fill(&file, (BLOCK + one.len()) as u64, two, old).unwrap();
            let written = fs::read(&path).unwrap();
            assert_eq!(&written[BLOCK..], bytes);
            assert!(written[..BLOCK].iter().all(|b| *b == if old { 0xff } else { 0 }));
            let room = file.metadata().unwrap().blocks() * 512;
            assert!(room <= 5 * BLOCK as u64, "{room} bytes lie on the disk");
        }
    }
}
