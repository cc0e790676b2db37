//! What is in the vault: `unlock --check`, `ls`, `get`, `put`, `rm`.

use std::{
    collections::BTreeSet,
    io::{IsTerminal, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use skykeep_core::{Explained, Secret, Trouble, castle::SecretRef};
use skykeep_vault::Vault;

use super::{EntryPlace, Place, file, file::Change, slots};
use crate::{
    cli::expiry::{self, Expires},
    console::{lines::Output, prompt},
};

/// Most bytes of a value: more does not fit a vault.
const LARGEST: u64 = 3 * 1024 * 1024;

#[derive(Args)]
pub struct UnlockArgs {
    #[command(flatten)]
    place: Place,
    /// Only check: nothing stays open when the command has ended
    #[arg(long, required = true)]
    check: bool,
    /// A castle file: each `vault:` entry it names must be there
    #[arg(long, value_name = "FILE")]
    castle_file: Option<PathBuf>,
}

#[derive(Args)]
pub struct PutArgs {
    #[command(flatten)]
    place: EntryPlace,
    /// What it is for
    #[arg(long)]
    note: Option<String>,
    /// Take the value from a file, every byte of it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// When it expires: a date (2027-03-31), `certificate` to read it from the certificate that is put in, or `never`. Path
    /// and date can then be read without the passphrase, so that `skykeep check` can warn. An entry that has a date keeps it
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expires>,
}

/// `vault unlock --check`; 1 when the castle names what is not there.
pub async fn unlock_check(args: &UnlockArgs) -> Result<ExitCode, Trouble> {
    let castle = args.castle_file.as_deref().map(slots::castle).transpose()?;
    let vault = file::open(&args.place.file).await?;
    let named: BTreeSet<String> = castle
        .iter()
        .flat_map(|c| c.secret_refs())
        .filter_map(|r| match r {
            SecretRef::Vault(path) => Some(path),
            _ => None,
        })
        .collect();
    let missing: Vec<&String> = named.iter().filter(|path| vault.get(path).is_none()).collect();
    let roll = vault.ls().filter(|e| e.roll).count();
    if args.place.output == Output::Json {
        println!(
            "{}",
            serde_json::json!({"v": 1, "vault": hex::encode(vault.id()), "version": vault.counter(), "openedBy": vault.opened_by(),
                "entries": vault.ls().count(), "toRoll": roll, "missing": missing})
        );
    } else {
        println!(
            "It opens with slot `{}`: version {}, {} entries, {roll} to roll.",
            vault.opened_by(),
            vault.counter(),
            vault.ls().count()
        );
    }
    if missing.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let list: Vec<&str> = missing.into_iter().map(String::as_str).collect();
    Err(Explained {
        what: "The castle file names entries that the vault does not have".into(),
        why: list.join(", "),
        remedy: "Add each one with `skykeep vault put`, or mend its name in castle.yaml.".into(),
    }
    .into())
}

/// `vault ls`
pub async fn ls(place: &Place) -> Result<(), Trouble> {
    let vault = file::open(&place.file).await?;
    if place.output == Output::Json {
        let entries: Vec<_> = vault
            .ls()
            .map(|e| {
                serde_json::json!({"path": e.path, "note": e.note, "bytes": e.size, "roll": e.roll,
                    "expires": e.expires.map(expiry::date)})
            })
            .collect();
        println!(
            "{}",
            serde_json::json!({"v": 1, "version": vault.counter(), "entries": entries})
        );
        return Ok(());
    }
    for entry in vault.ls() {
        let mut columns = vec![entry.path.to_owned()];
        columns.extend((!entry.note.is_empty()).then(|| entry.note.to_owned()));
        columns.extend(entry.expires.map(|when| format!("expires {}", expiry::date(when))));
        columns.extend(entry.roll.then(|| "to roll: the vault was compromised".to_owned()));
        println!("{}", columns.join("\t"));
    }
    Ok(())
}

/// `vault get`
pub async fn get(place: &EntryPlace) -> Result<(), Trouble> {
    let vault = file::open(&place.file).await?;
    let value = vault.get(&place.path).ok_or_else(|| no_entry(&place.path))?;
    // Straight to the descriptor: the buffer of `stdout()` would keep a copy that nobody wipes.
    let out = std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned();
    out.and_then(|fd| std::fs::File::from(fd).write_all(value.expose()))
        .map_err(|e| file::problem(&place.file, &e).into())
}

/// `vault put`
pub async fn put(args: &PutArgs) -> Result<(), Trouble> {
    let path = &args.place.path;
    let mut change = Change::begin(&args.place.file).await?;
    let value = match &args.from {
        Some(from) => read_value(from)?,
        None if std::io::stdin().is_terminal() => prompt::hidden_line(&format!("Value of {path}: "))?,
        None => prompt::rest_of_input()?,
    };
    let (note, before) = about(&change.vault, path);
    let expires = match &args.expires {
        Some(expires) => expires.of(&value)?,
        None => before,
    };
    change
        .vault
        .put(path, value, args.note.as_ref().unwrap_or(&note), expires)?;
    change.finish()?;
    if let (None, Some(when)) = (&args.expires, before) {
        let when = expiry::date(when);
        eprintln!("It is still written down that `{path}` expires {when}: `--expires` says otherwise, or `never`.");
    }
    Ok(())
}

/// Note and date of expiry that an entry has; a new value does not lose them.
pub fn about(vault: &Vault, path: &str) -> (String, Option<u64>) {
    let entry = vault.ls().find(|e| e.path == path);
    entry.map_or_else(Default::default, |e| (e.note.to_owned(), e.expires))
}

fn read_value(from: &std::path::Path) -> Result<Secret, Trouble> {
    let file = std::fs::File::open(from).map_err(|e| file::problem(from, &e))?;
    let size = file.metadata().map_err(|e| file::problem(from, &e))?.len();
    let room = usize::try_from(size.min(LARGEST)).unwrap_or_default() + 1;
    // Room from the start: growing would leave copies behind.
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(room));
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| file::problem(from, &e))?;
    Ok(Secret::new(std::mem::take(&mut *bytes)))
}

/// `vault rm`
pub async fn rm(place: &EntryPlace) -> Result<(), Trouble> {
    let mut change = Change::begin(&place.file).await?;
    if !change.vault.rm(&place.path) {
        return Err(no_entry(&place.path).into());
    }
    change.finish()?;
    eprintln!("`{}` is removed. Old copies of the file still hold it.", place.path);
    Ok(())
}

/// There is no such entry.
pub fn no_entry(path: &str) -> Explained {
    Explained {
        what: format!("The vault has no entry `{path}`"),
        why: "nothing of this name was ever put in, or it was removed".into(),
        remedy: "See what there is with `skykeep vault ls`.".into(),
    }
}
