//! Reading and writing a medium past the kernel's cache.

use super::error::StickError;
use super::iso::{self, Place};
use nix::fcntl::OFlag;
use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Bytes per step: what is written, read and compared at once.
pub const CHUNK: u64 = 4 << 20;
/// What memory and places must be multiples of to pass the cache by.
const ALIGN: usize = 4096;

/// A stick or a file, open for reading past the cache.
pub struct Medium {
    file: File,
    name: String,
    /// False when the file system can't read past its cache (a tmpfs): what is read may then be what was just written.
    pub past_cache: bool,
}

impl Medium {
    /// Opens a disk or a file for reading.
    pub fn open(path: &Path) -> Result<Self, StickError> {
        // Before it is opened: a pipe would wait for ever, a tape would move.
        if let Ok(metadata) = std::fs::metadata(path) {
            disk_or_file(path, metadata.file_type())?;
        }
        let direct = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_DIRECT.bits())
            .open(path);
        let (file, past_cache) = match direct {
            Ok(file) => (Ok(file), true),
            // EINVAL: this file system has no such reading.
            Err(e) if e.raw_os_error() == Some(nix::errno::Errno::EINVAL as i32) => (File::open(path), false),
            Err(e) => (Err(e), true),
        };
        let name = path.display().to_string();
        let file = file.map_err(|source| StickError::Io {
            doing: "opening",
            path: name.clone(),
            source,
        })?;
        Ok(Medium { file, name, past_cache })
    }

    /// The bytes at a place. Fewer come back only at the end of the medium.
    pub fn read(&self, place: Place) -> Result<Vec<u8>, StickError> {
        let problem = |source: io::Error| StickError::Io {
            doing: "reading",
            path: self.name.clone(),
            source,
        };
        let align = ALIGN as u64;
        let from = place.at / align * align;
        let ahead = usize::try_from(place.at - from).unwrap_or(0);
        let wanted = usize::try_from(place.length).map_err(|_| problem(io::ErrorKind::OutOfMemory.into()))?;
        let whole = (ahead + wanted).next_multiple_of(ALIGN);
        let mut room = vec![0; whole + ALIGN];
        let first = room.as_ptr().align_offset(ALIGN);
        let buffer = room.get_mut(first..first + whole).unwrap_or_default();
        let mut have = 0;
        while have < whole {
            let part = buffer.get_mut(have..).unwrap_or_default();
            match self.file.read_at(part, from + have as u64) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(problem(e)),
            }
            // A piece that is no multiple ends at the end of a file: the next direct read would be refused.
            if have % ALIGN != 0 {
                break;
            }
        }
        let end = have.min(ahead + wanted);
        Ok(buffer.get(ahead..end).unwrap_or_default().to_vec())
    }

    /// The whole volume's length and the root folder.
    pub fn volume(&self) -> Result<(u64, Place), StickError> {
        iso::volume(&self.read(iso::DESCRIPTOR)?).map_err(|why| self.no_medium(why))
    }

    /// A file's place.
    pub fn find(&self, path: &str) -> Result<Place, StickError> {
        let (length, root) = self.volume()?;
        iso::find(root, path, |place| self.read(place))?
            .filter(|place| place.at.saturating_add(place.length) <= length)
            .ok_or_else(|| self.no_medium(format!("there is no {path} on it")))
    }

    /// The error for a medium that is none.
    pub fn no_medium(&self, why: impl Into<String>) -> StickError {
        StickError::NoMedium {
            name: self.name.clone(),
            why: why.into(),
        }
    }
}

/// Refuses what can hold no medium.
pub fn disk_or_file(path: &Path, kind: FileType) -> Result<(), StickError> {
    let is = if kind.is_file() || kind.is_block_device() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_char_device() {
        "a device without blocks, such as a terminal"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a socket"
    };
    let name = path.display().to_string();
    Err(StickError::NoDisk { name, is })
}

/// Something to write: the bytes of a file, and one place in them that holds other bytes.
pub struct Source {
    file: File,
    /// Bytes in all.
    pub length: u64,
    other: Option<(u64, Vec<u8>)>,
}

impl Source {
    /// The file at `path`, with `other` = (first byte, bytes).
    pub fn new(path: &Path, other: Option<(u64, Vec<u8>)>) -> Result<Self, StickError> {
        let problem = |source| StickError::Io {
            doing: "reading",
            path: path.display().to_string(),
            source,
        };
        let file = File::open(path).map_err(problem)?;
        let length = file.metadata().map_err(problem)?.len();
        Ok(Source { file, length, other })
    }

    /// The bytes of one chunk.
    pub fn chunk(&self, at: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(CHUNK.min(self.length - at)).unwrap_or(0);
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at)?;
        if let Some((from, other)) = &self.other {
            overlay(&mut bytes, at, *from, other);
        }
        Ok(bytes)
    }
}

/// Puts `other`, which begins at `from`, over `bytes`, which begin at `at`, where they meet.
fn overlay(bytes: &mut [u8], at: u64, from: u64, other: &[u8]) {
    let begin = at.max(from);
    let end = (at + bytes.len() as u64).min(from + other.len() as u64);
    if begin >= end {
        return;
    }
    let place = |base: u64| -> Option<std::ops::Range<usize>> {
        Some(usize::try_from(begin - base).ok()?..usize::try_from(end - base).ok()?)
    };
    if let (Some(to), Some(of)) = (place(at), place(from))
        && let (Some(to), Some(of)) = (bytes.get_mut(to), other.get(of))
    {
        to.copy_from_slice(of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_laid_over_exactly_where_they_belong() {
        for (at, expected) in [
            (0, "aaaaXX"),
            (4, "XXXXaa"),
            (2, "aaXXXX"),
            (8, "aaaaaa"),
            (5, "XXXaaa"),
        ] {
            let mut bytes = *b"aaaaaa";
            overlay(&mut bytes, at, 4, b"XXXX");
            assert_eq!(std::str::from_utf8(&bytes), Ok(expected), "{at}");
        }
    }

    #[test]
    fn any_place_of_a_file_is_read_past_the_cache_also_its_odd_end() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..20_001u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &content).expect("write");
        let medium = Medium::open(&path).expect("open");
        for (at, length) in [(0, 10), (4095, 2), (1, 20_000), (19_999, 2), (19_999, 500), (30_000, 5)] {
            let read = medium.read(Place { at, length }).expect("read");
            let end = content.len().min((at + length) as usize);
            assert_eq!(read, content.get(at as usize..end).unwrap_or_default(), "{at} {length}");
        }
    }
}
