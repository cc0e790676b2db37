//! What can go wrong with a vault.

use skykeep_core::Explain;

/// An error of the vault.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", Explain::what(self), Explain::why(self))]
pub enum VaultError {
    /// No slot opens with this passphrase.
    WrongPassphrase,
    /// Twelve words of the list, but their checksum does not fit.
    Recovery,
    /// The file is not what was once written.
    Damaged(&'static str),
    /// A later program wrote it.
    TooNew(u16),
    /// A slot asks for more or less work than any honest vault.
    Absurd(String),
    /// The machine has too little free memory for the key derivation.
    Memory {
        /// What Argon2 needs, MiB.
        needed: u64,
        /// What is free, MiB, when known.
        free: Option<u64>,
    },
    /// The passphrase can't be one.
    Passphrase(&'static str),
    /// The passphrase is too easily guessed for a public file.
    Weak {
        /// Estimated strength, bits.
        bits: f64,
    },
    /// An entry can't be stored under this path.
    Path(&'static str),
    /// Too much for a vault.
    TooLarge(String),
    /// The last slot, or a slot that is not there, or one too many of a name.
    Slot(String),
    /// A copy that belongs to another vault, or that another key seals.
    Foreign(&'static str),
    /// A TazPod archive that can't be taken over.
    TazPod(String),
    /// The kernel gave no random bytes, or a cipher refused its input.
    Machine(String),
}

impl Explain for VaultError {
    fn what(&self) -> String {
        match self {
            Self::WrongPassphrase | Self::Recovery | Self::Memory { .. } => "The vault did not open",
            Self::Damaged(_) | Self::TooNew(_) | Self::Absurd(_) => "The vault file can't be used",
            Self::Passphrase(_) | Self::Weak { .. } => "This passphrase can't be used",
            Self::Path(_) | Self::TooLarge(_) => "This can't be put into the vault",
            Self::Slot(_) => "The slots of the vault were not changed",
            Self::Foreign(_) => "Another copy of the vault was not used",
            Self::TazPod(_) => "The TazPod archive can't be taken over",
            Self::Machine(_) => "The vault can't be worked on here",
        }
        .into()
    }

    fn why(&self) -> String {
        match self {
            Self::WrongPassphrase => "no slot of it opens with this passphrase".into(),
            Self::Recovery => "these are twelve words of a recovery code, but their checksum does not fit".into(),
            Self::Damaged(how) => format!("it is damaged, or no vault at all: {how}"),
            Self::TooNew(version) => format!("it has format version {version}, this program reads version 1"),
            Self::Absurd(what) => format!("{what}; an honest vault never has that"),
            Self::Memory {
                needed,
                free: Some(free),
            } => {
                format!("deriving its key needs {needed} MiB of memory, and {free} MiB are free")
            }
            Self::Memory { needed, free: None } => {
                format!("deriving its key needs {needed} MiB of memory, and the system did not give them")
            }
            Self::Weak { bits } => format!(
                "the vault is a public file, and this is worth about {bits} bits against guessing; {} are asked for",
                crate::strength::LEAST_BITS
            ),
            Self::Passphrase(why) | Self::Path(why) | Self::Foreign(why) => (*why).into(),
            Self::TooLarge(what) => what.clone(),
            Self::Slot(why) | Self::TazPod(why) | Self::Machine(why) => why.clone(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::WrongPassphrase => "Type it again; mind the keyboard layout and Caps Lock.",
            Self::Recovery => "Compare each word with the paper, and their order: one of them is another one.",
            Self::Damaged(_) => "Use another copy of the vault: a good one ends with the SHA-256 of the rest of it.",
            Self::TooNew(_) => "Use the skykeep that wrote it, or a later one.",
            Self::Absurd(_) => "Somebody changed this copy: use another one, and ask where this one came from.",
            Self::Memory { .. } => "Use a machine with more memory, or close other programs on this one.",
            Self::Passphrase(_) => "Choose a passphrase of 1 to 4096 bytes of text; several words make a good one.",
            Self::Weak { .. } => "Take the generated one, or five or more words that nobody would put together.",
            Self::Path(_) => {
                "Use 1 to 255 letters, digits and `. _ - /`, with something between slashes, for example infisical/client-id."
            }
            Self::TooLarge(_) => "Keep large files elsewhere, encrypted, and only their key here.",
            Self::Slot(_) => "List the slots with `skykeep vault slot ls`; a vault keeps 1 to 8 of them.",
            Self::Foreign(_) => "The copy at hand is used. Look at where the other one came from, and who can write there.",
            Self::TazPod(_) => "Check the file and its passphrase; an archive that his own program opens is also read here.",
            Self::Machine(_) => "Start again; if it stays, please report it with this text.",
        }
        .into()
    }
}
