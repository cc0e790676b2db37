//! `skykeep vault`: make the vault and change what is in it.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use skykeep_core::{Explained, Secret, Trouble};
use skykeep_vault::{KdfParams, Vault};

use crate::console::prompt;

/// Shortest passphrase that `init` takes, in characters.
const SHORTEST: usize = 12;

#[derive(Subcommand)]
pub enum VaultCommand {
    /// Make a new, empty vault
    Init {
        /// The vault file
        file: PathBuf,
    },
    /// List the entries, without their values
    Ls {
        /// The vault file
        file: PathBuf,
    },
    /// Write one entry's value to standard output
    Get {
        /// The vault file
        file: PathBuf,
        /// The entry's path
        path: String,
    },
    /// Add or replace an entry; its value is asked for, or read from standard input after the passphrase's line
    Put {
        /// The vault file
        file: PathBuf,
        /// The entry's path, for example infisical/client-id
        path: String,
        /// What it is for
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Remove an entry
    Rm {
        /// The vault file
        file: PathBuf,
        /// The entry's path
        path: String,
    },
}

/// Carries out a vault command.
pub async fn run(command: VaultCommand) -> Result<ExitCode, Trouble> {
    match command {
        VaultCommand::Init { file } => init(&file).await?,
        VaultCommand::Ls { file } => {
            for (path, note) in open(&file).await?.ls() {
                println!("{path}{}{note}", if note.is_empty() { "" } else { "\t" });
            }
        }
        VaultCommand::Get { file, path } => {
            let vault = open(&file).await?;
            let value = vault.get(&path).ok_or_else(|| no_entry(&path))?;
            std::io::stdout()
                .lock()
                .write_all(value.expose())
                .map_err(|e| io_problem(&file, &e))?;
        }
        VaultCommand::Put { file, path, note } => {
            let mut vault = open(&file).await?;
            let value = if std::io::stdin().is_terminal() {
                prompt::hidden_line(&format!("Value of {path}: "))?
            } else {
                prompt::rest_of_input()?
            };
            vault.put(&path, value, &note)?;
            write(&file, &mut vault)?;
        }
        VaultCommand::Rm { file, path } => {
            let mut vault = open(&file).await?;
            if !vault.rm(&path) {
                return Err(no_entry(&path).into());
            }
            write(&file, &mut vault)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for the passphrase and opens a sealed vault, off the async threads: it takes a second of CPU.
pub async fn unlock(sealed: Vec<u8>, passphrase: Secret) -> Result<Vault, Trouble> {
    tokio::task::spawn_blocking(move || Vault::open(&sealed, &passphrase))
        .await
        .map_err(|_| Explained {
            what: "The vault could not be opened".into(),
            why: "the work was broken off".into(),
            remedy: "Start again; if it comes back, report it.".into(),
        })?
        .map_err(Into::into)
}

async fn open(file: &Path) -> Result<Vault, Trouble> {
    let sealed = std::fs::read(file).map_err(|e| io_problem(file, &e))?;
    unlock(sealed, prompt::hidden_line("Passphrase: ")?).await
}

async fn init(file: &Path) -> Result<(), Trouble> {
    if file.exists() {
        return Err(Explained {
            what: format!("{} was not written", file.display()),
            why: "there is already a file of this name".into(),
            remedy: "Choose another name, or move the old vault away yourself.".into(),
        }
        .into());
    }
    let passphrase = prompt::hidden_line("New passphrase: ")?;
    let length = passphrase.expose_str().map_or(0, |t| t.chars().count());
    if length < SHORTEST {
        return Err(Explained {
            what: "That passphrase was not taken".into(),
            why: format!("it has {length} characters; the vault is a public file, so at least {SHORTEST} are needed"),
            remedy: "Use five or six random words.".into(),
        }
        .into());
    }
    if std::io::stdin().is_terminal() {
        let again = prompt::hidden_line("The same again: ")?;
        if again.expose() != passphrase.expose() {
            return Err(Explained {
                what: "No vault was made".into(),
                why: "the two passphrases differ".into(),
                remedy: "Start again.".into(),
            }
            .into());
        }
    }
    let mut vault = tokio::task::spawn_blocking(move || Vault::create(&passphrase, KdfParams::default()))
        .await
        .map_err(|e| Explained {
            what: "No vault was made".into(),
            why: e.to_string(),
            remedy: "Start again; if it comes back, report it.".into(),
        })??;
    write(file, &mut vault)
}

/// Writes beside the old file and renames, so that the old vault is there until the new one is whole.
fn write(file: &Path, vault: &mut Vault) -> Result<(), Trouble> {
    let sealed = vault.seal()?;
    let folder = file
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(|e| io_problem(file, &e))?;
    beside.write_all(&sealed).map_err(|e| io_problem(file, &e))?;
    beside.as_file().sync_all().map_err(|e| io_problem(file, &e))?;
    beside.persist(file).map_err(|e| io_problem(file, &e.error))?;
    Ok(())
}

fn no_entry(path: &str) -> Explained {
    Explained {
        what: format!("The vault has no entry `{path}`"),
        why: "nothing of this name was ever put in, or it was removed".into(),
        remedy: "See what there is with `skykeep vault ls`.".into(),
    }
}

fn io_problem(file: &Path, e: &std::io::Error) -> Explained {
    Explained {
        what: format!("{} can't be read or written", file.display()),
        why: e.to_string(),
        remedy: "Check the path, its permissions and the free space.".into(),
    }
}
