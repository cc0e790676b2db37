//! What the matrix of media and firmwares does not ask: an owner's part that is hostile, the menu's letters, too little memory.

use crate::cell::{self, PROMPT};
use crate::media::{Kind, Media};
use anyhow::{Context, Result, bail, ensure};
use lab_laptop::{Firmware, Laptop};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No wait is longer.
const LIMIT: Duration = Duration::from_secs(240);

/// One question.
#[derive(Clone, Copy, Debug)]
pub enum Special {
    /// The hostile part on this medium: the image's own files must win.
    Hostile(Kind, Firmware),
    /// A machine with this many MiB: it works, or says in words that it can't.
    Memory(u32),
    /// The letter for power off, in the boot menu.
    PowerOff,
}

/// All of them.
pub const ALL: [Special; 9] = [
    Special::Hostile(Kind::Stick, Firmware::SecureBoot),
    Special::Hostile(Kind::Cd, Firmware::Bios),
    Special::Hostile(Kind::Pxe, Firmware::SecureBoot),
    Special::Hostile(Kind::Pxe, Firmware::Bios),
    Special::Memory(768),
    Special::Memory(512),
    Special::Memory(384),
    Special::Memory(256),
    Special::PowerOff,
];

impl Special {
    /// For the table.
    pub fn name(self) -> String {
        match self {
            Special::Hostile(kind, firmware) => format!("hostile owner's part, {kind:?} {firmware:?}"),
            Special::Memory(mib) => format!("{mib} MiB of memory, stick with Secure Boot"),
            Special::PowerOff => "power off by a letter in the menu".into(),
        }
    }

    /// Asks it. `hostile` are the media with the hostile part. Gives what was seen.
    pub fn run(self, media: &Media, hostile: &Media, tool: &Path, work: PathBuf) -> Result<String> {
        let machine = |firmware, mib| cell::Machine {
            firmware,
            chosen: true,
            mib,
        };
        let (media, kind, machine) = match self {
            Special::Hostile(kind, firmware) => (hostile, kind, machine(firmware, 1024)),
            Special::Memory(mib) => (media, Kind::Stick, machine(Firmware::SecureBoot, mib)),
            Special::PowerOff => (media, Kind::Cd, machine(Firmware::Bios, 1024)),
        };
        let (config, _server) = cell::config(media, tool, kind, &machine, work)?;
        let mut laptop = Laptop::start(config)?;
        let seen = match self {
            Special::Hostile(kind, firmware) => {
                hostile_is_data(&mut laptop, (kind, firmware) != (Kind::Pxe, Firmware::Bios))?
            }
            Special::Memory(_) => works_or_says(&mut laptop)?,
            Special::PowerOff => {
                laptop.wait_for("Power off", LIMIT)?;
                laptop.type_key('p')?;
                laptop.wait_for_power_off(LIMIT)?;
                "the machine is off".into()
            }
        };
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

/// The prompt, or an error in the three-part form. A hang, a panic or a restart is a failure.
fn works_or_says(laptop: &mut Laptop) -> Result<String> {
    let deadline = laptop.elapsed() + LIMIT;
    loop {
        let text = laptop.console_text();
        if text.contains(PROMPT) {
            ensure!(
                !text.contains("not whole"),
                "it asks for the passphrase although it is not whole"
            );
            return Ok(format!("prompt after {:.1} s", laptop.elapsed().as_secs_f64()));
        }
        for clear in [
            "what:  The image is not whole in memory",
            "what:  This machine has too little memory",
        ] {
            if text.contains(clear) {
                laptop
                    .wait_for("power off", Duration::from_secs(60))
                    .context("the way out")?;
                return Ok(format!("says \"{clear}\""));
            }
        }
        if laptop.elapsed() > deadline || text.contains("Kernel panic") {
            bail!(
                "no prompt and no clear message; last lines:\n{}",
                text.lines().rev().take(12).collect::<Vec<_>>().join("\n")
            );
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
