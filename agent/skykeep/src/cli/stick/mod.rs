//! `skykeep stick`: writes a medium, puts the owner's part on it, compares it with a release.

mod disk;
mod error;
mod iso;
mod medium;
mod newc;
mod owner;
mod verify;
mod write;

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use skykeep_core::Trouble;

use self::disk::{Disk, Kernel};
use self::error::StickError;
use self::medium::{Medium, Source};
use self::write::Bar;
use crate::console::lines::Output;

/// The slot for the owner's part, on every medium.
const SLOT: &str = "skykeep/personal";

#[derive(Subcommand)]
pub enum StickCommand {
    /// Write the image (and the owner's part) to a stick or a file, and read it back
    Create {
        /// The stick's device, for example /dev/sdb, or a file
        target: PathBuf,
        /// The image: skykeep.iso of a release
        #[arg(long, value_name = "FILE")]
        image: PathBuf,
        /// Folder with castle.yaml, castle.lock, vault.skv and, when needed, ca.pem
        #[arg(long, value_name = "FOLDER")]
        castle: Option<PathBuf>,
        /// The target's exact name once more: overwrite it without asking, also when it is in use
        #[arg(long, value_name = "NAME")]
        overwrite: Option<String>,
    },
    /// Put the owner's part on a stick or into an image file, or replace it; nothing else is touched
    Personal {
        /// The stick's device, an image file, or a folder where the image's files were copied
        target: PathBuf,
        /// Folder with castle.yaml, castle.lock, vault.skv and, when needed, ca.pem
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        castle: PathBuf,
    },
    /// Read a stick, compare it with its own list and with a release, show the codes of the boot screen
    Verify {
        /// The stick's device or an image file
        target: PathBuf,
        /// The release's skykeep.iso, or the SHA-256 of it
        #[arg(long, value_name = "FILE|SHA256")]
        release: Option<String>,
        /// How the result is written
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// Carries out a stick command.
pub fn run(command: StickCommand) -> Result<ExitCode, Trouble> {
    match command {
        StickCommand::Create {
            target,
            image,
            castle,
            overwrite,
        } => create(&target, &image, castle.as_deref(), overwrite.as_deref())?,
        StickCommand::Personal { target, castle } => personal(&target, &castle)?,
        StickCommand::Verify {
            target,
            release,
            output,
        } => verify::run(&target, release.as_deref(), output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What stands where the medium shall be written.
enum Target {
    /// A disk.
    Disk(Disk),
    /// A file that exists, with its length.
    File,
    /// Nothing yet: a file will be made.
    New,
}

fn create(target: &Path, image: &Path, castle: Option<&Path>, overwrite: Option<&str>) -> Result<(), Trouble> {
    // Everything that can be wrong is found before anybody is asked.
    let medium = Medium::open(image)?;
    let (length, _) = medium.volume()?;
    let slot = medium.find(SLOT)?;
    let part = castle.map(owner::read).transpose()?;
    let other = part
        .as_ref()
        .map(|part| part.filling(slot.length).map(|bytes| (slot.at, bytes)))
        .transpose()?;
    let source = Source::new(image, other)?;
    if source.length != length {
        return Err(medium
            .no_medium(format!(
                "it has {} bytes and says {length}: not fetched completely?",
                source.length
            ))
            .into());
    }
    let what = what_is(target)?;
    let name = target.display().to_string();
    let question = consider(&name, &what, length)?;
    agree(&name, question, overwrite)?;

    let mut open = OpenOptions::new();
    open.write(true).create(matches!(what, Target::New | Target::File));
    if matches!(&what, Target::Disk(disk) if disk.uses.is_empty()) {
        // The kernel, too, then refuses a disk that somebody mounts in this moment.
        open.custom_flags(nix::fcntl::OFlag::O_EXCL.bits());
    }
    let problem = |source| StickError::Io {
        doing: "opening",
        path: name.clone(),
        source,
    };
    let file = open.open(target).map_err(problem)?;
    if !matches!(what, Target::Disk(_)) {
        file.set_len(length).map_err(problem)?;
    }
    let mut bar = Bar::new(2 * length, std::io::stderr().is_terminal());
    write::write_and_verify(&source, &file, target, &mut bar)?;
    println!("{}", verify::codes(&Medium::open(target)?)?);
    if part.is_none() {
        println!("It has no owner's part yet: `skykeep stick personal {name} --castle FOLDER`.");
    }
    Ok(())
}

fn personal(target: &Path, castle: &Path) -> Result<(), Trouble> {
    let part = owner::read(castle)?;
    let problem = |doing, path: &Path| {
        let path = path.display().to_string();
        move |source| StickError::Io { doing, path, source }
    };
    if target.is_dir() {
        // A FAT stick with the files of the image: there the slot is a plain file.
        let file = target.join(SLOT);
        if !target.join("skykeep/initrd").is_file() {
            return Err(StickError::NoMedium {
                name: target.display().to_string(),
                why: "there is no skykeep/initrd in this folder".into(),
            }
            .into());
        }
        let written = File::create(&file).and_then(|mut out| {
            out.write_all(&part.archive)?;
            out.sync_all()
        });
        written.map_err(problem("writing", &file))?;
        compare(&Medium::open(&file)?, &part.archive, 0, &file)?;
    } else {
        let slot = Medium::open(target)?.find(SLOT)?;
        let bytes = part.filling(slot.length)?;
        let written = OpenOptions::new().write(true).open(target).and_then(|out| {
            out.write_all_at(&bytes, slot.at)?;
            out.sync_all()
        });
        written.map_err(problem("writing", target))?;
        compare(&Medium::open(target)?, &bytes, slot.at, target)?;
    }
    println!("Written and read back. Owner's part {}.", part.code);
    Ok(())
}

fn compare(medium: &Medium, bytes: &[u8], at: u64, path: &Path) -> Result<(), StickError> {
    let length = bytes.len() as u64;
    if medium.read(iso::Place { at, length })? == bytes {
        return Ok(());
    }
    let name = path.display().to_string();
    Err(StickError::ReadBack { name, at })
}

fn what_is(target: &Path) -> Result<Target, StickError> {
    let problem = |source| StickError::Io {
        doing: "looking at",
        path: target.display().to_string(),
        source,
    };
    let metadata = match std::fs::metadata(target) {
        Ok(metadata) => metadata,
        // A name below /dev that is not there is a stick that is not plugged in, not a file to make.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !target.starts_with("/dev") => return Ok(Target::New),
        Err(e) => return Err(problem(e)),
    };
    medium::disk_or_file(target, metadata.file_type())?;
    if metadata.is_file() {
        return Ok(Target::File);
    }
    // By its number: what the device is called, and where it lies, says nothing.
    let kernel = Kernel::here();
    let name = kernel.name_of(metadata.rdev());
    name.and_then(|name| kernel.disk(&name))
        .map(Target::Disk)
        .ok_or_else(|| problem(std::io::Error::other("the kernel knows no such disk")))
}

/// What a person has to answer before the target is written.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    /// Nothing.
    None,
    /// `yes`, after this text.
    Yes(String),
    /// The exact name, after this text: these uses would be destroyed.
    Name(String, Vec<String>),
}

/// Decides what to ask, or refuses. Pure.
fn consider(name: &str, target: &Target, needs: u64) -> Result<Question, StickError> {
    let disk = match target {
        Target::New => return Ok(Question::None),
        Target::File => return Ok(Question::Yes(format!("{name} is a file and will be overwritten."))),
        Target::Disk(disk) => disk,
    };
    if let Some(whole) = &disk.part_of {
        return Err(StickError::Partition {
            name: name.into(),
            disk: format!("/dev/{whole}"),
        });
    }
    if disk.size < needs {
        return Err(StickError::TooSmall {
            name: name.into(),
            has: disk.size,
            needs,
        });
    }
    let kind = if disk.removable {
        "removable"
    } else {
        "NOT a removable disk"
    };
    let text = format!(
        "{name}: {}, {:.1} GB, {kind}. All on it will be lost.",
        disk.make,
        disk.size as f64 / 1e9
    );
    if disk.uses.is_empty() {
        return Ok(Question::Yes(text));
    }
    Ok(Question::Name(text, disk.uses.clone()))
}

/// Asks, unless the name was given on the command line.
fn agree(name: &str, question: Question, overwrite: Option<&str>) -> Result<(), StickError> {
    let (text, wanted, uses) = match question {
        Question::None => return Ok(()),
        Question::Yes(text) => (text, "yes", Vec::new()),
        Question::Name(text, uses) => (text, name, uses),
    };
    eprintln!("{text}");
    for each in &uses {
        eprintln!("IN USE: {each}.");
    }
    let not = || {
        if uses.is_empty() {
            StickError::NotAgreed { name: name.into() }
        } else {
            StickError::InUse {
                name: name.into(),
                uses: uses.clone(),
            }
        }
    };
    match overwrite {
        Some(given) if given == name => return Ok(()),
        Some(_) => return Err(not()),
        None if !std::io::stdin().is_terminal() => return Err(not()),
        None => {}
    }
    eprint!("Type {wanted} to overwrite it, anything else to stop: ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && answer.trim_end_matches(['\r', '\n']) == wanted {
        Ok(())
    } else {
        Err(not())
    }
}

#[cfg(test)]
mod tests;
