//! The boot matrix: every medium on every kind of machine, booted in QEMU to the passphrase prompt, with host disks that must stay untouched.
//!
//! `tests/boot/run` builds what it needs and starts this; `tests/boot/run full` writes docs/boot-matrix.md.

mod cell;
mod http;
mod media;
mod outside;
mod special;
mod table;
mod ways;

use anyhow::{Result, ensure};
use cell::{Flavour, Machine};
use clap::Parser;
use lab_laptop::Firmware;
use media::{KINDS, Kind, Media};
use special::{ALL, SEALED, Special};
use std::path::PathBuf;
use ways::WAYS;

/// Boots the image's media in QEMU and proves that no host disk was touched.
#[derive(Parser)]
struct Arguments {
    /// Folder made by image/build
    #[arg(long)]
    build: PathBuf,
    /// The same of the flavour `sealed`, to be booted as well
    #[arg(long)]
    sealed: Option<PathBuf>,
    /// The source tree (image scripts, example castle)
    #[arg(long)]
    tree: PathBuf,
    /// The program, as the owner uses it
    #[arg(long)]
    skykeep: PathBuf,
    /// virt-fw-vars, for UEFI HTTP boot
    #[arg(long)]
    virt_fw_vars: PathBuf,
    /// Boot every cell and write the table to this file; without it three cells that together see every loader's way
    #[arg(long, requires = "sealed")]
    full: Option<PathBuf>,
    /// Boot only the cells whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let work = tempfile::Builder::new().prefix("skykeep-boot-").tempdir()?;
    let files = media::owners_files(&arguments.tree, work.path())?;
    let personal = media::owners_part(&arguments.tree, &files, work.path())?;
    let make = |build, part, by, folder: &str| Media::make(&arguments.tree, build, part, by, &work.path().join(folder));
    let owner = Some((arguments.skykeep.as_path(), files.as_path()));
    let media = make(&arguments.build, &personal, owner, "good")?;
    let sealed = match &arguments.sealed {
        Some(build) => &make(build, &personal, owner, "sealed")?,
        None => &media,
    };
    let hostile = media::hostile_part(work.path())?;
    let hostile = make(&arguments.build, &hostile, None, "hostile")?;
    let mut outcomes = Vec::new();
    for plan in if arguments.full.is_some() { all() } else { few() } {
        let name = plan.name();
        if !name.contains(&arguments.only) {
            continue;
        }
        let shown = match cell::impossible(plan.flavour, plan.kind, plan.machine.firmware) {
            Some(why) => table::Outcome::Impossible(why),
            None => {
                let folder = work.path().join(name.replace(' ', "-"));
                match patiently(|| {
                    cell::boot(
                        match plan.flavour {
                            Flavour::Laptop => &media,
                            Flavour::Sealed => sealed,
                        },
                        &arguments.virt_fw_vars,
                        plan.kind,
                        &plan.machine,
                        folder.clone(),
                    )
                }) {
                    Ok(shown) => table::Outcome::Prompt(shown),
                    Err(e) => table::Outcome::Failed(format!("{e:#}")),
                }
            }
        };
        println!("{name:40} {}", shown.line());
        outcomes.push((plan, shown));
    }
    let asked = match arguments.full {
        Some(_) => [ALL.as_slice(), &SEALED].concat(),
        None if arguments.sealed.is_some() => vec![Special::Hostile(Kind::Cd, Firmware::Bios), Special::NoBlockLayer],
        None => vec![Special::Hostile(Kind::Cd, Firmware::Bios)],
    };
    let mut answers = Vec::new();
    for special in asked {
        let name = special.name();
        if !name.contains(&arguments.only) {
            continue;
        }
        let folder = work.path().join(format!("special-{}", answers.len()));
        let media = if SEALED.contains(&special) { sealed } else { &media };
        let answer = patiently(|| special.run(media, &hostile, &arguments.virt_fw_vars, folder.clone()));
        match &answer {
            Ok(seen) => println!("{name:48} {seen}"),
            Err(e) => println!("{name:48} FAILED: {e:#}"),
        }
        answers.push((name, answer));
    }
    if arguments.full.is_some() {
        let certificates = work.path().join("certificates");
        outside::certificates(&certificates)?;
        let switch = arguments.tree.join("tests/boot/switch");
        for way in WAYS.iter().filter(|way| way.name().contains(&arguments.only)) {
            let folder = work.path().join(way.name().replace(' ', "-"));
            let files = media::owners_files(&arguments.tree, &folder)?;
            std::fs::copy(certificates.join("ca.pem"), files.join("ca.pem"))?;
            way.prepare(&files, &arguments.skykeep)?;
            let part = media::owners_part(&arguments.tree, &files, &folder)?;
            let media = Media::make(&arguments.tree, &arguments.build, &part, None, &folder.join("media"))?;
            let answer = patiently(|| {
                way.run(
                    &media,
                    &arguments.virt_fw_vars,
                    &switch,
                    &certificates,
                    folder.join("laptop"),
                )
            });
            match &answer {
                Ok(said) => println!("{:48} {said}", way.name()),
                Err(e) => println!("{:48} FAILED: {e:#}", way.name()),
            }
            answers.push((way.name(), answer));
        }
    }
    if let Some(file) = &arguments.full {
        std::fs::write(file, table::markdown(&outcomes, &answers))?;
        println!("written: {}", file.display());
    }
    let failed = outcomes.iter().filter(|(_, outcome)| outcome.failed()).count()
        + answers.iter().filter(|(_, answer)| answer.is_err()).count();
    let all = outcomes.len() + answers.len();
    ensure!(all > 0, "no cell has that name");
    ensure!(failed == 0, "{failed} of {all} cells failed");
    Ok(())
}

/// Once more, and said so, when the emulator starved: on an overloaded host the guest's timer does not tick while its kernel checks that it does, and Linux
/// stops before any program of ours. No other failure is repeated.
fn patiently<T>(boot: impl Fn() -> Result<T>) -> Result<T> {
    match boot() {
        Err(e) if format!("{e:#}").contains("IO-APIC + timer doesn't work") => {
            println!("(this host was too busy for the emulated timer: once more)");
            boot()
        }
        outcome => outcome,
    }
}

/// One cell to boot.
pub struct Plan {
    flavour: Flavour,
    kind: Kind,
    machine: Machine,
}

impl Plan {
    fn new(flavour: Flavour, kind: Kind, firmware: Firmware, chosen: bool) -> Self {
        let machine = Machine {
            firmware,
            chosen,
            mib: 1024,
        };
        Plan { flavour, kind, machine }
    }

    fn name(&self) -> String {
        let menu = if self.machine.chosen { "" } else { " unchosen" };
        let flavour = match self.flavour {
            Flavour::Laptop => "",
            Flavour::Sealed => "sealed ",
        };
        format!("{flavour}{:?} {:?}{menu}", self.kind, self.machine.firmware)
    }
}

const FIRMWARES: [Firmware; 3] = [Firmware::SecureBoot, Firmware::Uefi, Firmware::Bios];

/// Every cell; and the two UEFI ones in which nobody chose the medium, so that the firmware opened every disk before.
fn all() -> Vec<Plan> {
    let mut plans = Vec::new();
    for flavour in [Flavour::Laptop, Flavour::Sealed] {
        for kind in KINDS {
            for firmware in FIRMWARES {
                plans.push(Plan::new(flavour, kind, firmware, true));
            }
        }
    }
    for kind in [Kind::Stick, Kind::FatStick, Kind::Cd] {
        plans.push(Plan::new(Flavour::Laptop, kind, Firmware::SecureBoot, false));
    }
    plans
}

/// The signed loaders from a stick with every disk open before, the BIOS loader from a CD, the network loader.
fn few() -> Vec<Plan> {
    vec![
        Plan::new(Flavour::Laptop, Kind::Stick, Firmware::SecureBoot, false),
        Plan::new(Flavour::Laptop, Kind::Cd, Firmware::Bios, true),
        Plan::new(Flavour::Laptop, Kind::Pxe, Firmware::SecureBoot, true),
    ]
}
