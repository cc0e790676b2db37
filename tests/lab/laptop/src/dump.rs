//! Looking for a secret in a memory dump.

use crate::console::find;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::Read;
use std::path::Path;

const CHUNK: usize = 8 << 20;

/// How often `needle` occurs in a file of any size. Look also for something that must be there, or a zero proves nothing.
pub fn count_in_file(file: &Path, needle: &[u8]) -> Result<u64> {
    ensure!(
        needle.len() >= 8 && needle.len() < CHUNK,
        "a needle has 8 bytes or more: shorter ones are found by chance"
    );
    let mut input = File::open(file).with_context(|| file.display().to_string())?;
    let mut window: Vec<u8> = Vec::with_capacity(CHUNK * 2);
    let mut chunk = vec![0; CHUNK];
    let mut count = 0;
    loop {
        let n = input.read(&mut chunk)?;
        if n == 0 {
            return Ok(count);
        }
        window.extend_from_slice(chunk.get(..n).unwrap_or_default());
        let mut from = 0;
        while let Some(at) = find_fast(window.get(from..).unwrap_or_default(), needle) {
            count += 1;
            from += at + 1;
        }
        // One that lies across two chunks begins in the last needle.len() - 1 bytes; one that begins before `from` was counted.
        let keep = (window.len() + 1).saturating_sub(needle.len()).max(from);
        window.drain(..keep.min(window.len()));
    }
}

/// The physical address of a place in a dump (an ELF core: its program headers say which part of the file is which part of RAM).
pub fn physical_address(dump: &Path, offset: u64) -> Result<u64> {
    let mut head = vec![0; 64 * 1024];
    let n = File::open(dump)?.read(&mut head)?;
    head.truncate(n);
    let number = |at: usize, bytes: usize| -> Result<u64> {
        let mut word = [0; 8];
        let field = head.get(at..at + bytes).context("the dump is no ELF core")?;
        word.get_mut(..bytes)
            .context("a field is too long")?
            .copy_from_slice(field);
        Ok(u64::from_le_bytes(word))
    };
    let table = usize::try_from(number(32, 8)?)?;
    let (size, count) = (usize::try_from(number(54, 2)?)?, usize::try_from(number(56, 2)?)?);
    for entry in (0..count).map(|n| table + n * size) {
        let (begin, physical, length) = (number(entry + 8, 8)?, number(entry + 24, 8)?, number(entry + 32, 8)?);
        if number(entry, 4)? == 1 && (begin..begin + length).contains(&offset) {
            return Ok(physical + offset - begin);
        }
    }
    anyhow::bail!("no RAM lies at {offset} of the dump")
}

/// Skips quickly over memory that is all zeroes, which most of a dump is.
fn find_fast(hay: &[u8], needle: &[u8]) -> Option<usize> {
    const STEP: usize = 4096;
    let mut at = 0;
    while at < hay.len() {
        let end = (at + STEP + needle.len() - 1).min(hay.len());
        let piece = hay.get(at..end)?;
        let all_zero = piece.iter().fold(0u8, |sum, byte| sum | byte) == 0;
        if (!all_zero || needle.iter().all(|byte| *byte == 0))
            && let Some(found) = find(piece, needle)
        {
            return Some(at + found);
        }
        at += STEP;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_counted_also_where_two_chunks_meet() {
        let path = std::env::temp_dir().join(format!("lab-laptop-dump-{}", std::process::id()));
        let needle = b"correct horse battery";
        let mut bytes = vec![0; 2 * CHUNK + 5000];
        for at in [10, 4090, CHUNK - 10, 2 * CHUNK + 100] {
            bytes[at..at + needle.len()].copy_from_slice(needle);
        }
        std::fs::write(&path, &bytes).expect("write");
        assert_eq!(count_in_file(&path, needle).expect("count"), 4);
        assert_eq!(count_in_file(&path, b"incorrect horse").expect("count"), 0);
        assert!(count_in_file(&path, b"short").is_err());
        std::fs::remove_file(path).expect("clean up");
    }

    #[test]
    fn a_place_in_a_dump_is_told_as_an_address_of_ram() {
        let path = std::env::temp_dir().join(format!("lab-laptop-elf-{}", std::process::id()));
        let mut file = vec![0u8; 64 + 2 * 56];
        file[32] = 64; // the table of program headers
        file[54] = 56;
        file[56] = 2;
        file[64] = 4; // a note
        let load = 64 + 56;
        file[load] = 1;
        file[load + 8..load + 16].copy_from_slice(&0x1000u64.to_le_bytes());
        file[load + 24..load + 32].copy_from_slice(&0x10_0000u64.to_le_bytes());
        file[load + 32..load + 40].copy_from_slice(&0x2000u64.to_le_bytes());
        std::fs::write(&path, &file).expect("write");
        assert_eq!(physical_address(&path, 0x1010).expect("address"), 0x10_0010);
        assert!(physical_address(&path, 0x3000).is_err());
        std::fs::remove_file(path).expect("clean up");
    }
}
