//! The image's network, on machines and wires that are not ordinary: until the castle's hosts told the time over TLS.

use crate::cell::Machine;
use crate::cell::{self, PROMPT};
use crate::media::{Kind, Media};
use crate::outside::{Gives, Outside};
use anyhow::{Result, ensure};
use lab_laptop::{Firmware, Laptop};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(240);

/// What is not ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The machine's clock is at the beginning of this year.
    Year(u16),
    /// The network has no IPv4.
    SixAlone,
    /// The only card is on USB, as a phone that shares its connection is.
    Usb,
}

/// All of them.
pub const WAYS: [Way; 4] = [Way::Year(1970), Way::Year(2099), Way::SixAlone, Way::Usb];

impl Way {
    /// For the table.
    pub fn name(self) -> String {
        match self {
            Way::Year(year) => format!("network with the clock in {year}"),
            Way::SixAlone => "network with IPv6 alone".into(),
            Way::Usb => "network over USB alone".into(),
        }
    }

    /// Boots `media` there. Gives what the agent said.
    pub fn run(self, media: &Media, tool: &Path, certificates: &Path, work: PathBuf) -> Result<String> {
        let gives = if self == Way::SixAlone {
            Gives::SixAlone
        } else {
            Gives::Dhcp
        };
        let outside = Outside::start(gives, certificates, &work.join("outside"))?;
        let machine = Machine {
            firmware: Firmware::Bios,
            chosen: true,
            mib: 1024,
        };
        let (mut config, _) = cell::config(media, tool, Kind::Cd, &machine, work)?;
        config.network = outside.cable();
        match self {
            Way::Year(year) => config
                .more
                .extend(["-rtc".into(), format!("base={year}-01-02T03:04:05")]),
            Way::Usb => config.usb_card = true,
            Way::SixAlone => {}
        }
        let mut laptop = Laptop::start(config)?;
        laptop.wait_for(PROMPT, LIMIT)?;
        let address = if self == Way::SixAlone {
            "has 2001:db8:9:"
        } else {
            "has 10.9.0."
        };
        laptop.wait_for(address, LIMIT)?;
        laptop.wait_for("the clock ", LIMIT)?;
        let said = laptop.wait_for(" hosts agree)", LIMIT)?;
        let expected = match self {
            Way::Year(1970) => "slow, set",
            Way::Year(_) => "fast, set",
            // QEMU's clock is this machine's.
            Way::SixAlone | Way::Usb => "",
        };
        ensure!(said.contains(expected), "the clock {said}");
        laptop.finish()?.untouched_after_handover()?;
        Ok(format!("the agent says: the clock {said} hosts agree"))
    }
}
