//! What can go wrong with a stick.

use skykeep_core::Explain;
use std::fmt::Debug;

/// Every way in which `skykeep stick` fails.
#[derive(Debug, thiserror::Error)]
pub enum StickError {
    /// Something can't be opened, read or written.
    #[error("{doing} {path}")]
    Io {
        /// For example `reading`.
        doing: &'static str,
        /// The file or device.
        path: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// What was named can hold no medium: a terminal, a pipe, a folder.
    #[error("{name} is {is}")]
    NoDisk {
        /// As typed.
        name: String,
        /// What it is, for people.
        is: &'static str,
    },
    /// A partition was named instead of its disk.
    #[error("{name} is a partition")]
    Partition {
        /// As typed.
        name: String,
        /// The disk it lies on.
        disk: String,
    },
    /// It does not fit.
    #[error("{name} is too small")]
    TooSmall {
        /// As typed.
        name: String,
        /// Its bytes.
        has: u64,
        /// Bytes needed.
        needs: u64,
    },
    /// The disk is in use.
    #[error("{name} is in use")]
    InUse {
        /// As typed.
        name: String,
        /// By what, for people.
        uses: Vec<String>,
    },
    /// The person did not agree.
    #[error("{name} was not agreed to")]
    NotAgreed {
        /// As typed.
        name: String,
    },
    /// It holds no Skykeep medium.
    #[error("{name} is no medium")]
    NoMedium {
        /// The file or device.
        name: String,
        /// What is missing or wrong.
        why: String,
    },
    /// The owner's part is larger than its slot.
    #[error("owner's part of {size} bytes")]
    TooMuch {
        /// Bytes it has, packed.
        size: u64,
        /// Bytes there are.
        slot: u64,
    },
    /// What was read back is not what was written.
    #[error("{name} does not hold what was written")]
    ReadBack {
        /// The device.
        name: String,
        /// First byte of the 4 MiB in which it differs.
        at: u64,
    },
    /// Files on the medium are not those of its list or of the release.
    #[error("{name} is not as it should be")]
    Altered {
        /// The device.
        name: String,
        /// Which, for people.
        what: String,
    },
}

impl Explain for StickError {
    fn what(&self) -> String {
        match self {
            StickError::Io { doing, path, .. } => format!("Failed while {doing} {path}"),
            StickError::NoDisk { name, .. } => {
                format!("{name} is neither a disk nor a file; nothing was read or written")
            }
            StickError::Partition { name, .. } => format!("{name} is only a part of a disk"),
            StickError::TooSmall { name, .. } => format!("{name} is too small"),
            StickError::InUse { name, .. } => format!("{name} is in use by this computer; nothing was written"),
            StickError::NotAgreed { name } => format!("Nothing was written to {name}"),
            StickError::NoMedium { name, .. } => format!("{name} holds no Skykeep medium"),
            StickError::TooMuch { .. } => "The owner's part does not fit onto a medium".into(),
            StickError::ReadBack { name, .. } => format!("{name} did not keep what was written to it"),
            StickError::Altered { name, .. } => format!("{name} is not what was released"),
        }
    }

    fn why(&self) -> String {
        match self {
            StickError::Io { source, .. } => source.to_string(),
            StickError::NoDisk { is, .. } => format!("it is {is}"),
            StickError::Partition { disk, .. } => {
                format!("a stick starts only when the whole disk ({disk}) is written")
            }
            StickError::TooSmall { has, needs, .. } => format!("it has {has} bytes, {needs} are needed"),
            StickError::InUse { uses, .. } => uses.join("; "),
            StickError::NotAgreed { .. } => "its name (or yes) was not typed".into(),
            StickError::NoMedium { why, .. } => why.clone(),
            StickError::TooMuch { size, slot } => format!("it has {size} bytes packed, the slot has {slot}"),
            StickError::ReadBack { at, .. } => format!("it differs within the 4 MiB from byte {at} on"),
            StickError::Altered { what, .. } => what.clone(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            StickError::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => "Start it again as root (sudo).".into(),
                std::io::ErrorKind::NotFound => "Check the name; `lsblk` lists the disks.".into(),
                std::io::ErrorKind::ResourceBusy => "Unmount what is mounted from it, then start again.".into(),
                _ => "Check the plug and start again; if it happens again, use another stick.".into(),
            },
            StickError::NoDisk { .. } => {
                "Name the whole stick, such as /dev/sdb (`lsblk` lists the disks), or a file.".into()
            }
            StickError::Partition { disk, .. } => format!("Name the disk: {disk}. All on it is lost."),
            StickError::TooSmall { .. } => "Use a larger stick.".into(),
            StickError::InUse { name, .. } => format!(
                "Unmount it, or take another disk. If it really is this one that shall be overwritten: --overwrite {name}"
            ),
            StickError::NotAgreed { name } => format!("Type the answer at the question, or give --overwrite {name}"),
            StickError::NoMedium { .. } => "Name a stick or a file made by `skykeep stick create`.".into(),
            StickError::TooMuch { .. } => {
                "Take large files out of the vault, or shorten castle.lock and ca.pem to what the castle needs.".into()
            }
            StickError::ReadBack { .. } => "The stick is worn out or no larger than a fake: use another one.".into(),
            StickError::Altered { .. } => {
                "Do not start it and do not type a passphrase there. Write the stick again from a release you trust."
                    .into()
            }
        }
    }
}
