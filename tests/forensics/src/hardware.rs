//! The laptop of a boot: its stick and its keyboard.

use std::path::{Path, PathBuf};

use anyhow::Result;
use lab_laptop::{Config, Laptop, Network};

use crate::{
    boots::Places,
    ending::Ending,
    owner::{self, Owner},
};

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
    let mut laptop = Laptop::start(config)?;
    if ending != Ending::FailedOnScreen {
        // The network's deadlines begin when the cable is put in: after the passphrase.
        laptop.plug_cable(false)?;
    }
    Ok(laptop)
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
