//! One cell of the matrix: one medium on one machine, booted to the passphrase prompt.

use crate::http::{self, Server};
use crate::media::{Kind, Media};
use anyhow::{Context, Result, ensure};
use lab_laptop::{Config, Firmware, HostDisks, Laptop, Medium, Network, TEMPTED};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the agent asks.
pub const PROMPT: &str = "Passphrase: ";
/// No wait is longer: the slowest cell took a quarter of it on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);

/// A machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What starts it.
    pub firmware: Firmware,
    /// The medium is chosen in the firmware's boot menu. If not, the firmware looks at every disk before it finds the medium.
    pub chosen: bool,
    /// RAM.
    pub mib: u32,
}

/// What one cell showed.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Power-on to prompt.
    pub to_prompt: Duration,
    /// CPU time of the whole machine until then.
    pub cpu: Duration,
    /// Most operations that the firmware itself did on one of the disks before it handed over.
    pub before_handover: u64,
    /// How many disks were watched.
    pub disks: usize,
}

/// What of the image is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Debian's signed kernel without storage drivers.
    Laptop,
    /// Our own kernel without a block layer.
    Sealed,
}

/// Why a cell can't be, if it can't.
pub fn impossible(flavour: Flavour, kind: Kind, firmware: Firmware) -> Option<&'static str> {
    match (flavour, kind, firmware) {
        (Flavour::Sealed, _, Firmware::SecureBoot) => Some("the kernel is our own, and nobody signed it"),
        (_, Kind::FatStick, Firmware::Bios) => Some(
            "a BIOS runs code from the first sector, which copying files does not write: write the ISO byte for byte",
        ),
        _ => None,
    }
}

/// The machine for a cell, and the HTTP server it needs (to be kept while it runs).
pub fn config(
    media: &Media,
    tool: &Path,
    kind: Kind,
    machine: &Machine,
    work: PathBuf,
) -> Result<(Config, Option<Server>)> {
    std::fs::create_dir_all(&work)?;
    let mut config = Config::new(media.iso.clone(), work.clone());
    config.firmware = machine.firmware;
    config.boot_stick_first = machine.chosen;
    config.memory_mib = machine.mib;
    config.cpus = 1;
    config.host_disks = HostDisks::Tempting;
    config.all_kinds_of_disks = true;
    let bios = machine.firmware == Firmware::Bios;
    let mut server = None;
    match kind {
        Kind::Stick => {}
        Kind::FatStick => config.stick = Some(media.fat.clone()),
        Kind::FileOnStick => config.stick = Some(media.file_on_stick(&work)?),
        Kind::Cd => config.medium = Medium::Cd,
        Kind::Pxe => {
            let file = if bios { "boot.ipxe" } else { "shimx64.efi" };
            net(&mut config, media, file.to_owned());
        }
        Kind::Http => {
            let port = server.insert(Server::start(&media.net)?).port;
            let url = |file: &str| format!("http://10.0.2.2:{port}/{file}");
            if bios {
                net(&mut config, media, url("boot.ipxe"));
            } else {
                net(&mut config, media, String::new());
                let from = if machine.firmware == Firmware::SecureBoot {
                    "OVMF_VARS_4M.ms.fd"
                } else {
                    "OVMF_VARS_4M.fd"
                };
                let from = Path::new("/usr/share/OVMF").join(from);
                config.variables = Some(http::variables(
                    tool,
                    &from,
                    &url("shimx64.efi"),
                    &work.join("boot-uri.fd"),
                )?);
            }
        }
    }
    Ok((config, server))
}

/// The prompt of `kind` on `machine`, with five host disks that ask to be read. An error when one of them was touched after handover.
pub fn boot(media: &Media, tool: &Path, kind: Kind, machine: &Machine, work: PathBuf) -> Result<Shown> {
    let (config, _server) = config(media, tool, kind, machine, work.clone())?;
    let mut laptop = Laptop::start(config)?;
    laptop.wait_for(&media.codes, LIMIT)?;
    laptop.wait_for(PROMPT, LIMIT)?;
    let (to_prompt, cpu) = (laptop.elapsed(), laptop.cpu_time()?);
    // The agent goes on behind the prompt (network, drivers): give it a moment to do something wrong.
    std::thread::sleep(Duration::from_secs(2));
    let text = laptop.console_text();
    let proofs = laptop.finish()?;
    proofs.untouched_after_handover()?;
    ensure!(
        !text.contains(TEMPTED),
        "a loader ran what lies on a host disk:\n{text}"
    );
    let shown = Shown {
        to_prompt,
        cpu,
        before_handover: proofs
            .disks
            .iter()
            .map(|disk| disk.at_handover.reads)
            .max()
            .unwrap_or(0),
        disks: proofs.disks.len(),
    };
    // Disks of 64 MiB each are not worth keeping; the console is.
    for disk in &proofs.disks {
        std::fs::remove_file(work.join(format!("{}.img", disk.name))).context("removing a disk of the test")?;
    }
    Ok(shown)
}

fn net(config: &mut Config, media: &Media, file: String) {
    config.stick = None;
    config.network = Network::User;
    config.medium = Medium::Net {
        folder: media.net.clone(),
        file,
    };
}
