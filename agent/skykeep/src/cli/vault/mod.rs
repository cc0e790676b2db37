//! `skykeep vault`: make the vault, change what is in it and what opens it, move in and out.

mod ask;
mod edit;
mod entries;
mod file;
mod gpg;
mod places;
mod slots;
mod transfer;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use skykeep_core::{Explained, Secret, Trouble};
use skykeep_vault::{KdfParams, Vault, VaultError};

pub use file::problem as unreadable;

use crate::console::lines::Output;

#[derive(Subcommand)]
pub enum VaultCommand {
    /// Make a new, empty vault; offers a generated passphrase
    Init(slots::InitArgs),
    /// Open the vault and say what is in it; with a castle, whether all that it names is there
    Unlock(entries::UnlockArgs),
    /// List the entries, without their values
    Ls(Place),
    /// Write one entry's value to standard output
    Get(EntryPlace),
    /// Add or replace an entry; its value is asked for, or read from standard input after the passphrase's line
    Put(entries::PutArgs),
    /// Change an entry in $VISUAL or $EDITOR; the text is only ever in memory
    Edit(EntryPlace),
    /// Remove an entry
    Rm(EntryPlace),
    /// Change a passphrase or recovery code (old copies of the file still open with the old one)
    Passwd(slots::PasswdArgs),
    /// The ways to open the vault
    #[command(subcommand)]
    Slot(slots::SlotCommand),
    /// Take over secrets from TazPod or gopass; shows what goes where
    Import(transfer::ImportArgs),
    /// Write the entries as an archive that TazPod opens
    Export(transfer::ExportArgs),
    /// Put the castle's vault into the bucket that castle.yaml names, so that every stick finds the newest one
    Push(places::PushArgs),
    /// Take over a newer vault from where castle.yaml says
    Pull(crate::cli::Owner),
    /// Somebody else could open it: give it a new root and list every credential to roll
    Compromised(slots::CompromisedArgs),
}

/// A vault file and how to speak.
#[derive(Args)]
pub struct Place {
    /// The vault file
    file: PathBuf,
    /// How results are written
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// An entry of a vault file.
#[derive(Args)]
pub struct EntryPlace {
    /// The vault file
    file: PathBuf,
    /// The entry's path, for example infisical/client-id
    path: String,
}

/// What it costs to try a passphrase.
#[derive(Args)]
pub struct Work {
    /// Memory of Argon2id, MiB (64 to 4096); the laptop that opens the vault must have it
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory_mib: u32,
    /// Passes of Argon2id (3 to 16)
    #[arg(long, value_name = "N", default_value_t = 3)]
    passes: u32,
    /// Lanes of Argon2id (4 to 16)
    #[arg(long, value_name = "N", default_value_t = 4)]
    lanes: u32,
}

impl Work {
    /// Refused here in the words of the command line; the vault checks once more.
    fn params(&self) -> Result<KdfParams, Explained> {
        let in_range =
            (64..=4096).contains(&self.memory_mib) && (3..=16).contains(&self.passes) && (4..=16).contains(&self.lanes);
        if !in_range {
            return Err(Explained {
                what: "The vault was not changed".into(),
                why: format!(
                    "Argon2id with {} MiB, {} passes and {} lanes is out of bounds",
                    self.memory_mib, self.passes, self.lanes
                ),
                remedy: "Choose 64 to 4096 MiB, 3 to 16 passes, 4 to 16 lanes; less would make guessing cheap.".into(),
            });
        }
        Ok(KdfParams {
            m_kib: self.memory_mib * 1024,
            t: self.passes,
            p: self.lanes,
        })
    }
}

/// Carries out a vault command.
pub async fn run(command: VaultCommand) -> Result<ExitCode, Trouble> {
    match command {
        VaultCommand::Init(args) => slots::init(args).await?,
        VaultCommand::Unlock(args) => return entries::unlock_check(&args).await,
        VaultCommand::Ls(place) => entries::ls(&place).await?,
        VaultCommand::Get(place) => entries::get(&place).await?,
        VaultCommand::Put(args) => entries::put(&args).await?,
        VaultCommand::Edit(place) => edit::run(&place).await?,
        VaultCommand::Rm(place) => entries::rm(&place).await?,
        VaultCommand::Passwd(args) => slots::passwd(args).await?,
        VaultCommand::Slot(command) => slots::run(command).await?,
        VaultCommand::Import(args) => transfer::import(args).await?,
        VaultCommand::Export(args) => transfer::export(args).await?,
        VaultCommand::Push(args) => places::push(args).await?,
        VaultCommand::Pull(owner) => places::pull(&owner).await?,
        VaultCommand::Compromised(args) => slots::compromised(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens a sealed vault, off the async threads: it takes a second of CPU.
pub async fn unlock(sealed: Vec<u8>, passphrase: Secret) -> Result<Vault, Trouble> {
    work(move || Vault::open(&sealed, &passphrase)).await
}

/// Does what costs a second of CPU, off the async threads.
async fn work<T: Send + 'static>(f: impl FnOnce() -> Result<T, VaultError> + Send + 'static) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(f).await.map_err(|_| Explained {
        what: "The vault could not be worked on".into(),
        why: "the work was broken off".into(),
        remedy: "Start again; if it comes back, report it.".into(),
    })?;
    done.map_err(Into::into)
}
