//! The image's network, on machines and wires that are not ordinary: until the castle's hosts told the time over TLS.

use crate::cell::Machine;
use crate::cell::{self, PROMPT};
use crate::media::{Kind, Media};
use crate::outside::{Gives, Outside, TAG};
use anyhow::{Context, Result, ensure};
use lab_laptop::{Firmware, Laptop, Network};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(240);
const PASSPHRASE: &str = "seven quiet herons crossed the frozen harbour";

/// What is not ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The machine's clock is at the beginning of this year.
    Year(u16),
    /// The network has no IPv4.
    SixAlone,
    /// The only card is on USB, as a phone that shares its connection is.
    Usb,
    /// The cable gives nothing but a VLAN, and the castle file says its tag.
    Tagged,
    /// The same, and a person types the tag.
    TagTyped,
}

/// All of them.
pub const WAYS: [Way; 6] = [
    Way::Year(1970),
    Way::Year(2099),
    Way::SixAlone,
    Way::Usb,
    Way::Tagged,
    Way::TagTyped,
];

impl Way {
    /// For the table.
    pub fn name(self) -> String {
        match self {
            Way::Year(year) => format!("network with the clock in {year}"),
            Way::SixAlone => "network with IPv6 alone".into(),
            Way::Usb => "network over USB alone".into(),
            Way::Tagged => "network behind a VLAN tag of the castle file".into(),
            Way::TagTyped => "network behind a VLAN tag that a person types".into(),
        }
    }

    /// What this way needs in the owner's part, beside what is there.
    pub fn prepare(self, files: &Path, skykeep: &Path) -> Result<()> {
        let castle = files.join("castle.yaml");
        match self {
            Way::Tagged => {
                let text = fs::read_to_string(&castle)?;
                fs::write(castle, format!("{text}\nlaptop: {{vlan: {TAG}}}\n"))?;
            }
            Way::TagTyped => {
                fs::remove_file(files.join("vault.skv"))?;
                let mut child = Command::new(skykeep)
                    .args(["vault", "init", "--memory-mib", "64"])
                    .arg(files.join("vault.skv"))
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()?;
                let mut input = child.stdin.take().context("its standard input")?;
                input.write_all(format!("{PASSPHRASE}\n").as_bytes())?;
                drop(input);
                ensure!(child.wait()?.success(), "the vault was not made");
            }
            Way::Year(_) | Way::SixAlone | Way::Usb => {}
        }
        Ok(())
    }

    /// Boots `media` there. Gives what the agent said. `switch` is tests/boot/switch.
    pub fn run(self, media: &Media, tool: &Path, switch: &Path, certificates: &Path, work: PathBuf) -> Result<String> {
        let gives = if self == Way::SixAlone {
            Gives::SixAlone
        } else {
            Gives::Dhcp
        };
        let servers = work.join("outside");
        let mut outside = Outside::start(gives, certificates, &servers)?;
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
            Way::Tagged | Way::TagTyped => {
                config.network = Network::None;
                config.more.extend(outside.tagged_cable(switch, &servers)?);
            }
            Way::SixAlone => {}
        }
        let mut laptop = Laptop::start(config)?;
        laptop.wait_for(PROMPT, LIMIT)?;
        if self == Way::TagTyped {
            laptop.type_line(PASSPHRASE)?;
            laptop.wait_for("Nobody gave this machine a network address", LIMIT)?;
            laptop.wait_for("[p] power off", LIMIT)?;
            laptop.type_key('t')?;
            laptop.wait_for("VLAN tag, 1 to 4094", LIMIT)?;
            laptop.type_line(&TAG.to_string())?;
        }
        let tagged = format!("eth0.{TAG} has 10.9.0.");
        laptop.wait_for(
            match self {
                Way::SixAlone => "has 2001:db8:9:",
                Way::Tagged | Way::TagTyped => &tagged,
                Way::Year(_) | Way::Usb => "has 10.9.0.",
            },
            LIMIT,
        )?;
        laptop.wait_for("the clock ", LIMIT)?;
        let said = laptop.wait_for(" hosts agree)", LIMIT)?;
        let expected = match self {
            Way::Year(1970) => "slow, set",
            Way::Year(_) => "fast, set",
            // QEMU's clock is this machine's.
            Way::SixAlone | Way::Usb | Way::Tagged | Way::TagTyped => "",
        };
        ensure!(said.contains(expected), "the clock {said}");
        laptop.finish()?.untouched_after_handover()?;
        Ok(format!("the agent says: the clock {said} hosts agree"))
    }
}
