//! The inside of the file: the castle's root and the entries, padded. See `docs/FORMATS.md`.

use std::collections::BTreeMap;

use skykeep_core::Secret;
use zeroize::Zeroizing;

use crate::{error::VaultError, read::Reader, vault::Entry};

/// Most bytes of the padded payload.
const MAX_PAYLOAD: usize = 3 * 1024 * 1024;
const MIN_PAYLOAD: usize = 1024;
/// Flag of an entry: it was in a vault that was declared compromised and has not been replaced since.
const ROLL: u8 = 1;

/// Whether a path may name an entry.
pub(crate) fn check_path(path: &str) -> Result<(), VaultError> {
    if path.is_empty() || path.len() > 255 {
        return Err(VaultError::Path("its path has not 1 to 255 bytes"));
    }
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) {
        return Err(VaultError::Path("its path has a character that is not allowed"));
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(VaultError::Path(
            "its path has an empty part, or one that is `.` or `..`",
        ));
    }
    Ok(())
}

/// The smallest of 1, 1.5, 2, 3, 4, 6 KiB ... that holds `n` bytes: the file's size tells little about its content.
fn bucket(n: usize) -> usize {
    let mut size = MIN_PAYLOAD;
    loop {
        if n <= size {
            return size;
        }
        if n <= size / 2 * 3 {
            return size / 2 * 3;
        }
        size *= 2;
    }
}

/// Lays root and entries out and pads them.
pub(crate) fn encode(root: &Secret, entries: &BTreeMap<String, Entry>) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let content: usize = 32
        + 4
        + entries
            .iter()
            .map(|(p, e)| 9 + p.len() + e.note.len() + e.value.len())
            .sum::<usize>();
    let size = bucket(content + 4);
    if size > MAX_PAYLOAD {
        return Err(VaultError::TooLarge(format!(
            "its content would have {content} bytes; {MAX_PAYLOAD} are the limit"
        )));
    }
    let number = |n: usize| u32::try_from(n).map_err(|_| VaultError::TooLarge("a length does not fit".into()));
    let short = |n: usize| u16::try_from(n).map_err(|_| VaultError::TooLarge("a note is longer than 64 KiB".into()));
    // The whole size from the start: the buffer never moves and leaves no copy behind.
    let mut out = Zeroizing::new(Vec::with_capacity(size));
    out.extend_from_slice(&number(content)?.to_be_bytes());
    out.extend_from_slice(root.expose());
    out.extend_from_slice(&number(entries.len())?.to_be_bytes());
    for (path, entry) in entries {
        out.extend_from_slice(&short(path.len())?.to_be_bytes());
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(&short(entry.note.len())?.to_be_bytes());
        out.extend_from_slice(entry.note.as_bytes());
        out.push(if entry.roll { ROLL } else { 0 });
        out.extend_from_slice(&number(entry.value.len())?.to_be_bytes());
        out.extend_from_slice(entry.value.expose());
    }
    out.resize(size, 0);
    Ok(out)
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(padded: &[u8]) -> Result<(Secret, BTreeMap<String, Entry>), VaultError> {
    let mut outer = Reader(padded);
    let length = usize::try_from(outer.u32()?).map_err(|_| VaultError::Damaged("a length does not fit"))?;
    let mut reader = Reader(outer.take(length)?);
    if outer.0.iter().any(|b| *b != 0) {
        return Err(VaultError::Damaged("its padding is not empty"));
    }
    let root = Secret::new(reader.take(32)?.to_vec());
    let count = reader.u32()?;
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let path = text(reader.short()?)?;
        check_path(&path).map_err(|_| VaultError::Damaged("an entry has a path that can't be"))?;
        let note = text(reader.short()?)?;
        let roll = match reader.u8()? {
            0 => false,
            ROLL => true,
            _ => return Err(VaultError::Damaged("an entry has a flag that is not known")),
        };
        let size = usize::try_from(reader.u32()?).map_err(|_| VaultError::Damaged("a length does not fit"))?;
        let value = Secret::new(reader.take(size)?.to_vec());
        if entries.insert(path, Entry { value, note, roll }).is_some() {
            return Err(VaultError::Damaged("two entries have the same path"));
        }
    }
    reader.end()?;
    Ok((root, entries))
}

fn text(bytes: &[u8]) -> Result<String, VaultError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| VaultError::Damaged("a text in it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_few_steps() {
        for (n, size) in [
            (1, 1024),
            (1024, 1024),
            (1025, 1536),
            (1537, 2048),
            (4096, 4096),
            (4097, 6144),
            (6145, 8192),
            (8193, 12288),
            (20000, 24576),
        ] {
            assert_eq!(bucket(n), size, "{n}");
        }
    }

    #[test]
    fn paths_that_could_escape_or_confuse_are_refused() {
        for path in ["", "/a", "a/", "a//b", "../x", "a/./b", "a b", "a\n", "à"] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in ["a", "infisical/client-id", "tls/blog.crt", "A_b-1"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_note_too_long_is_refused_and_not_cut() {
        let entry = Entry {
            value: Secret::new(vec![1]),
            note: "n".repeat(70_000),
            roll: false,
        };
        let result = encode(&Secret::new(vec![0; 32]), &BTreeMap::from([("a".to_owned(), entry)]));
        assert!(matches!(result, Err(VaultError::TooLarge(_))));
    }
}
