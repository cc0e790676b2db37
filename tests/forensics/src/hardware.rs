//! The laptop of a boot: its stick, its keyboard, its lid.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use lab_laptop::{Config, Laptop, Network};

use crate::{
    boots::Places,
    ending::Ending,
    owner::{self, Owner},
};

/// Where the lid's table looks whether it is closed, and what it finds there then (`lid.asl`).
pub(crate) const LID_PORT: u16 = 0x378;
/// See [`LID_PORT`].
pub(crate) const LID_CLOSED: u8 = 0x5a;

/// Switches on a laptop with a stick of its own.
///
/// # Errors
/// When the stick can't be made, or QEMU does not start.
pub(crate) fn power_on(places: &Places, work: &Path, owner: &Owner, ending: Ending) -> Result<Laptop> {
    let stick = work.join("stick.img");
    owner::stick(&places.tree, &places.image, &owner.folder, &stick)?;
    if ending == Ending::FailedOnScreen {
        // The last one is where the agent talks.
        let (serial, screen) = (
            "console=tty0 console=ttyS0,115200 ",
            "console=ttyS0,115200 console=tty0 ",
        );
        owner::change_boot_options(&stick, serial, screen)?;
    }
    let mut config = laptop(work, stick);
    // With a cable that leads nowhere the agent waits for an address after unlocking. Without a card it fails at once.
    config.network = match ending {
        Ending::FailedOnScreen => Network::None,
        _ => Network::Silent,
    };
    if ending == Ending::Lid {
        config.more = lid(&places.tree, work)?;
    }
    let mut laptop = Laptop::start(config)?;
    if ending != Ending::FailedOnScreen {
        // The network's deadlines begin when the cable is put in: after the passphrase.
        laptop.plug_cable(false)?;
    }
    Ok(laptop)
}

/// A lid, as firmware describes one, for a machine that QEMU gives none: compiled from `lid.asl`.
fn lid(tree: &Path, work: &Path) -> Result<Vec<String>> {
    let table = work.join("lid");
    let output = Command::new("iasl")
        .arg("-p")
        .arg(&table)
        .arg(tree.join("tests/forensics/src/lid.asl"))
        .output()
        .context("iasl of acpica-tools")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let words = [
        "-acpitable",
        &format!("file={}.aml", table.display()),
        "-chardev",
        "null,id=lid",
        "-device",
        "isa-parallel,chardev=lid",
    ];
    Ok(words.map(str::to_owned).into())
}

/// The characters of an American keyboard whose keys give this text on a French one.
pub(crate) fn on_a_french_keyboard(text: &str) -> String {
    let key = |character| match character {
        'a' => 'q',
        'q' => 'a',
        'w' => 'z',
        'z' => 'w',
        'm' => ';',
        ',' => 'm',
        ':' => '.',
        '-' => '6',
        '2' => '@',
        '4' => '$',
        other => other,
    };
    text.chars().map(key).collect()
}

/// A small laptop.
pub(crate) fn laptop(work: &Path, stick: PathBuf) -> Config {
    let mut config = Config::new(stick, work.to_owned());
    config.memory_mib = 1024;
    config.host_disk_mib = 1;
    config
}
