//! Faults in the program, made from outside: one of its functions is overwritten in the guest's RAM. The agent and PID 1 are one file, so both run what is
//! written there.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use lab_laptop::{Laptop, physical_address};

/// How much of a function is compared (no two begin so alike), and may be overwritten.
const ENOUGH: usize = 64;

/// What a function does from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An instruction that does not exist (`ud2`).
    Crash,
    /// A jump to Rust's own panic for places that can't unwind.
    Panic,
    /// Memory is asked for and filled without end: `mmap` of 16 MiB, populated, again and again.
    EatMemory,
    /// A jump to itself.
    Hang,
}

/// Rust's panic that takes no argument.
const PANIC: &str = "core9panicking19panic_cannot_unwind";

impl Fault {
    fn code(self, from: u64, program: &Program) -> Result<Vec<u8>> {
        Ok(match self {
            Fault::Crash => vec![0x0f, 0x0b],
            Fault::Hang => vec![0xeb, 0xfe],
            Fault::Panic => {
                let to = program.address_of(PANIC)?;
                // jmp: relative to what stands behind these five bytes.
                let distance = i32::try_from(to.cast_signed() - (from + 5).cast_signed())?;
                [&[0xe9][..], &distance.to_le_bytes()].concat()
            }
            Fault::EatMemory => [
                &[0x31, 0xff][..],               // edi = 0: anywhere
                &[0xbe, 0, 0, 0, 1],             // esi = 16 MiB
                &[0xba, 3, 0, 0, 0],             // edx = read and write
                &[0x41, 0xba, 0x22, 0x80, 0, 0], // r10d = private, anonymous, populate
                &[0x49, 0x83, 0xc8, 0xff],       // r8 = -1: no file
                &[0x45, 0x31, 0xc9],             // r9d = 0
                &[0xb8, 9, 0, 0, 0],             // eax = mmap
                &[0x0f, 0x05],                   // syscall
                &[0xeb, 0xde],                   // again from the beginning
            ]
            .concat(),
        })
    }
}

/// Overwrites the function whose symbol contains `name`. `program` is the binary that the image was built from; `dump` a dump of this guest.
///
/// # Errors
/// When the function is not in the program, or not once in RAM.
pub fn plant(laptop: &mut Laptop, program: &Path, name: &str, fault: Fault, dump: &Path) -> Result<()> {
    let program = Program::read(program)?;
    let address = program.address_of(name)?;
    let code = fault.code(address, &program)?;
    ensure!(code.len() <= ENOUGH, "{fault:?} is longer than what was compared");
    let memory = std::fs::read(dump)?;
    let finder = aho_corasick::AhoCorasick::new([program.code_at(address)?])?;
    let places: Vec<usize> = finder.find_iter(&memory).map(|found| found.start()).collect();
    ensure!(places.len() == 1, "{name} lies {} times in RAM", places.len());
    let at = places.first().context("no place")?;
    laptop.write_memory(physical_address(dump, *at as u64)?, &code)
}

struct Program {
    file: Vec<u8>,
    /// What `nm` says: address, kind and name on each line.
    symbols: String,
}

impl Program {
    fn read(path: &Path) -> Result<Self> {
        let output = Command::new("nm").arg("--defined-only").arg(path).output();
        let symbols = String::from_utf8_lossy(&output.context("nm")?.stdout).into_owned();
        let file = std::fs::read(path)?;
        Ok(Program { file, symbols })
    }

    fn address_of(&self, name: &str) -> Result<u64> {
        let symbol = self.symbols.lines().find(|line| line.contains(name));
        let address = symbol.and_then(|line| line.split(' ').next());
        let address = address.with_context(|| format!("the program has no function {name}"))?;
        Ok(u64::from_str_radix(address, 16)?)
    }

    /// The first bytes of a function, as they stand in the file.
    fn code_at(&self, address: u64) -> Result<&[u8]> {
        let number = |at: usize, bytes: usize| -> u64 {
            let mut word = [0; 8];
            word[..bytes].copy_from_slice(&self.file[at..at + bytes]);
            u64::from_le_bytes(word)
        };
        let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        for entry in (0..count).map(|n| (table + n * size) as usize) {
            let (offset, begin, length) = (number(entry + 8, 8), number(entry + 16, 8), number(entry + 32, 8));
            if number(entry, 4) == 1 && (begin..begin + length).contains(&address) {
                let at = (address - begin + offset) as usize;
                return Ok(&self.file[at..at + ENOUGH]);
            }
        }
        anyhow::bail!("{address:#x} is in no segment of the program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_machine_code_that_fits_into_what_is_overwritten() {
        let program = Program {
            file: Vec::new(),
            symbols: format!("0000000000001000 t {PANIC}\n"),
        };
        let of = |fault: Fault| fault.code(0x2000, &program).unwrap();
        assert_eq!(of(Fault::Panic), [&[0xe9][..], &(-0x1005_i32).to_le_bytes()].concat());
        let eater = of(Fault::EatMemory);
        let back = i8::from_le_bytes([*eater.last().unwrap()]);
        assert_eq!(
            eater.len(),
            usize::from(back.unsigned_abs()),
            "the jump leads to the beginning"
        );
        assert!(eater.len() <= ENOUGH);
    }
}
