//! What the matrix of media and firmwares does not ask: an owner's part that is hostile, the menu's letters, too little memory.

use crate::cell::{self, Flavour, PROMPT};
use crate::http::Server;
use crate::media::{Kind, Media};
use anyhow::{Context, Result, bail, ensure};
use lab_laptop::{Firmware, Laptop};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No wait is longer.
const LIMIT: Duration = Duration::from_secs(240);

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// The hostile part on this medium: the image's own files must win.
    Hostile(Kind, Firmware),
    /// A machine with this many MiB works.
    Memory(Flavour, u32),
    /// The first machine, in steps of 16 MiB below this, that does not work says so in words. Below some size not even our own program fits: then the
    /// kernel stops with its own words and restarts; that is not asked here.
    TooLittleMemory(u32),
    /// The ISO lies as a file on a stick whose own GRUB looks into it, as sticks with many systems do.
    FileOnStick(Firmware),
    /// The letter for power off, in the boot menu.
    PowerOff,
    /// The sealed flavour's kernel, asked by the menu's check, has nothing that could see a disk.
    NoBlockLayer,
    /// With Secure Boot on, the loader refuses the sealed flavour's kernel, and no other is started in its place.
    Unsigned,
    /// A machine whose disks are written: the counters and hashes that all other answers rest on must show it.
    Control,
}

/// Those of the sealed flavour.
pub const SEALED: [Special; 5] = [
    Special::NoBlockLayer,
    Special::Unsigned,
    Special::Memory(Flavour::Sealed, 256),
    Special::Memory(Flavour::Sealed, 2048),
    Special::Memory(Flavour::Sealed, 4096),
];

/// All others.
pub const ALL: [Special; 12] = [
    Special::Hostile(Kind::Stick, Firmware::SecureBoot),
    Special::Hostile(Kind::Cd, Firmware::Bios),
    Special::Hostile(Kind::Pxe, Firmware::SecureBoot),
    Special::Hostile(Kind::Pxe, Firmware::Bios),
    Special::Memory(Flavour::Laptop, 512),
    Special::Memory(Flavour::Laptop, 2048),
    Special::Memory(Flavour::Laptop, 4096),
    Special::FileOnStick(Firmware::SecureBoot),
    Special::FileOnStick(Firmware::Uefi),
    Special::TooLittleMemory(320),
    Special::PowerOff,
    Special::Control,
];

impl Special {
    /// For the table.
    pub fn name(self) -> String {
        match self {
            Special::Hostile(kind, firmware) => format!("hostile owner's part, {kind:?} {firmware:?}"),
            Special::Memory(Flavour::Laptop, mib) => format!("{mib} MiB of memory, stick with Secure Boot"),
            Special::Memory(Flavour::Sealed, mib) => format!("sealed: {mib} MiB of memory, stick"),
            Special::FileOnStick(firmware) => {
                format!("the ISO as a file, read by another GRUB's loopback, {firmware:?}")
            }
            Special::TooLittleMemory(_) => "too little memory, stick with Secure Boot".into(),
            Special::Control => "control: disks that are touched".into(),
            Special::PowerOff => "power off by a letter in the menu".into(),
            Special::NoBlockLayer => "sealed: no block layer, CD Bios".into(),
            Special::Unsigned => "sealed: refused under Secure Boot".into(),
        }
    }

    /// Asks it. `hostile` are the media with the hostile part. Gives what was seen.
    pub fn run(self, media: &Media, hostile: &Media, tool: &Path, work: PathBuf) -> Result<String> {
        let start = |media, kind, firmware, mib| -> Result<(Laptop, Option<Server>)> {
            let machine = cell::Machine {
                firmware,
                chosen: true,
                mib,
            };
            let (config, server) = cell::config(media, tool, kind, &machine, work.clone())?;
            Ok((Laptop::start(config)?, server))
        };
        let (mut laptop, seen);
        let mut _server;
        match self {
            Special::Hostile(kind, firmware) => {
                (laptop, _server) = start(hostile, kind, firmware, 1024)?;
                seen = hostile_is_data(&mut laptop, (kind, firmware) != (Kind::Pxe, Firmware::Bios))?;
            }
            Special::Memory(flavour, mib) => {
                let firmware = match flavour {
                    Flavour::Laptop => Firmware::SecureBoot,
                    Flavour::Sealed => Firmware::Uefi,
                };
                (laptop, _server) = start(media, Kind::Stick, firmware, mib)?;
                laptop.wait_for(PROMPT, LIMIT)?;
                seen = format!("prompt after {:.1} s", laptop.elapsed().as_secs_f64());
            }
            Special::FileOnStick(firmware) => {
                (laptop, _server) = start(media, Kind::FileOnStick, firmware, 1024)?;
                laptop.wait_for(&media.codes, LIMIT)?;
                laptop.wait_for(PROMPT, LIMIT)?;
                seen = format!("prompt after {:.1} s", laptop.elapsed().as_secs_f64());
            }
            Special::TooLittleMemory(from) => {
                let mut mib = from;
                seen = loop {
                    (laptop, _server) = start(media, Kind::Stick, Firmware::SecureBoot, mib)?;
                    if let Some(words) = works_or_says(&mut laptop)? {
                        break format!("{mib} MiB: says \"{words}\"");
                    }
                    laptop.finish()?.untouched_after_handover()?;
                    mib -= 16;
                };
            }
            Special::PowerOff => {
                (laptop, _server) = start(media, Kind::Cd, Firmware::Bios, 1024)?;
                laptop.wait_for("Power off", LIMIT)?;
                laptop.type_key('p')?;
                laptop.wait_for_power_off(LIMIT)?;
                seen = "the machine is off".into();
            }
            Special::NoBlockLayer => {
                (laptop, _server) = start(media, Kind::Cd, Firmware::Bios, 1024)?;
                laptop.wait_for("Power off", LIMIT)?;
                laptop.type_key('k')?;
                laptop.wait_for(
                    "Disks that this system can see: 0. Its kernel has no block layer",
                    LIMIT,
                )?;
                laptop.wait_for(PROMPT, LIMIT)?;
                seen = format!(
                    "the check says so; prompt after {:.1} s, CPU {:.1} s",
                    laptop.elapsed().as_secs_f64(),
                    laptop.cpu_time()?.as_secs_f64()
                );
            }
            Special::Unsigned => {
                (laptop, _server) = start(media, Kind::Stick, Firmware::SecureBoot, 1024)?;
                laptop.wait_for("bad shim signature", LIMIT)?;
                ensure!(!laptop.console_text().contains(PROMPT), "it was started all the same");
                seen = "the loader says `bad shim signature`".into();
            }
            Special::Control => {
                let proofs = lab_laptop::control::disks_that_are_touched(work)?;
                ensure!(
                    proofs.untouched_after_handover().is_err(),
                    "disks were written and nothing showed: {proofs:#?}"
                );
                return Ok("the counters and the hashes show it".into());
            }
        }
        laptop.finish()?.untouched_after_handover()?;
        Ok(seen)
    }
}

/// The image's check runs (where its menu is on the serial line), and every file of the image is its own.
fn hostile_is_data(laptop: &mut Laptop, menu: bool) -> Result<String> {
    if menu {
        laptop.wait_for("Power off", LIMIT)?;
        laptop.type_key('k')?;
    }
    laptop.wait_for("vault.skv in the owner's part is not a plain file: taken away", LIMIT)?;
    laptop.wait_for("owner's part none", LIMIT)?;
    if menu {
        laptop.wait_for("Checked: all ", LIMIT)?;
        let files = laptop.wait_for(
            " files of the image are as they were built. Disks that this system can see: 0.",
            LIMIT,
        )?;
        return Ok(format!(
            "all {files} files of the image are its own; links taken away; 0 disks seen"
        ));
    }
    Ok("the image's own program started; links taken away".into())
}

/// None at the prompt; the words of an error that says what, why and what to do. A hang, a panic or a restart is a failure.
fn works_or_says(laptop: &mut Laptop) -> Result<Option<String>> {
    const WORDS: &str = "what:  The image is not whole in memory";
    let deadline = laptop.elapsed() + LIMIT;
    loop {
        let text = laptop.console_text();
        if text.contains(PROMPT) {
            ensure!(
                !text.contains(WORDS),
                "it asks for the passphrase although it is not whole"
            );
            return Ok(None);
        }
        if text.contains(WORDS) {
            laptop
                .wait_for("power off", Duration::from_secs(60))
                .context("the way out")?;
            return Ok(Some(WORDS.into()));
        }
        if laptop.elapsed() > deadline || text.contains("Kernel panic") {
            let last: Vec<&str> = text.lines().rev().take(12).collect();
            bail!(
                "no prompt and no clear message; last lines, the last first:\n{}",
                last.join("\n")
            );
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
