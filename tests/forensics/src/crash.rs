//! A fault in the agent, made from outside: one function of the program is overwritten, in the guest's RAM, with an instruction that does not exist.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use lab_laptop::{Laptop, physical_address};

/// `ud2`, which every x86 processor refuses.
const UD2: [u8; 2] = [0x0f, 0x0b];
/// How much of the function is compared; no two functions begin so alike.
const ENOUGH: usize = 64;

/// Overwrites the function whose symbol contains `name`. `program` is the binary that the image was built from; `dump` a dump of this guest.
///
/// # Errors
/// When the function is not in the program, or not once in RAM.
pub fn plant(laptop: &mut Laptop, program: &Path, name: &str, dump: &Path) -> Result<()> {
    let code = code_of(program, name)?;
    let memory = std::fs::read(dump)?;
    let finder = aho_corasick::AhoCorasick::new([&code])?;
    let places: Vec<usize> = finder.find_iter(&memory).map(|found| found.start()).collect();
    ensure!(places.len() == 1, "{name} lies {} times in RAM", places.len());
    let at = places.first().context("no place")?;
    laptop.write_memory(physical_address(dump, *at as u64)?, &UD2)
}

/// The first bytes of a function, as they stand in the program's file.
fn code_of(program: &Path, name: &str) -> Result<Vec<u8>> {
    let output = Command::new("nm")
        .arg("--defined-only")
        .arg(program)
        .output()
        .context("nm")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let symbol = text.lines().find(|line| line.contains(name));
    let address = symbol.and_then(|line| line.split(' ').next());
    let address = address.with_context(|| format!("{} has no function {name}", program.display()))?;
    let address = u64::from_str_radix(address, 16)?;
    let file = std::fs::read(program)?;
    let number = |at: usize, bytes: usize| -> u64 {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(&file[at..at + bytes]);
        u64::from_le_bytes(word)
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    for entry in (0..count).map(|n| (table + n * size) as usize) {
        let (offset, begin, length) = (number(entry + 8, 8), number(entry + 16, 8), number(entry + 32, 8));
        if number(entry, 4) == 1 && (begin..begin + length).contains(&address) {
            let at = (address - begin + offset) as usize;
            return Ok(file[at..at + ENOUGH].to_vec());
        }
    }
    anyhow::bail!("{name} is in no segment of the program")
}
