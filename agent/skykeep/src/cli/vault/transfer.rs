//! `vault import` and `vault export`: moving in from TazPod or gopass, and out to TazPod.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Args, ValueEnum};
use skykeep_core::{Explained, Secret, Trouble};
use skykeep_vault::{Vault, gopass, strength, tazpod};

use super::{
    entries::about,
    file::{self, Change},
    gpg, work,
};
use crate::console::{lines::Output, prompt};

/// Most bytes of a TazPod archive that are read.
const LARGEST: u64 = 80 * 1024 * 1024;
/// What TazPod keeps of its own passphrase in the archive: never taken over.
const ITS_PASSPHRASE: &str = ".vault_pass";

/// Where secrets come from.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Origin {
    /// A `vault.tar.aes` of TazPod
    Tazpod,
    /// The folder of a gopass or pass store; `gpg` decrypts it, in memory
    Gopass,
}

#[derive(Args)]
pub struct ImportArgs {
    /// The vault file
    file: PathBuf,
    /// What the source is
    #[arg(long, value_enum)]
    from: Origin,
    /// The archive, or the store's folder
    source: PathBuf,
    /// Put before every path
    #[arg(long, value_name = "PATH", default_value = "")]
    prefix: String,
    /// Show what would go where; the vault is opened and not changed
    #[arg(long)]
    dry_run: bool,
    /// Replace entries that are in the vault with another value
    #[arg(long)]
    replace: bool,
    /// How the table is written
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Args)]
pub struct ExportArgs {
    /// The vault file
    file: PathBuf,
    /// The TazPod archive to write
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Only entries whose path begins with this; it is left off
    #[arg(long, value_name = "PATH", default_value = "")]
    prefix: String,
}

/// One line of the table.
struct Move {
    source: String,
    path: String,
    value: Secret,
}

/// `vault import`
pub async fn import(args: ImportArgs) -> Result<(), Trouble> {
    let mut change = Change::begin(&args.file).await?;
    let (moves, left_out) = match args.from {
        Origin::Tazpod => from_tazpod(&args).await?,
        Origin::Gopass => from_gopass(&args).await?,
    };
    let plan = plan(&change.vault, &moves)?;
    show(&args, &moves, &plan, &left_out);
    let blocked: Vec<&str> = plan
        .iter()
        .filter(|(_, state)| **state == "differs")
        .map(|(path, _)| *path)
        .collect();
    if !blocked.is_empty() && !args.replace {
        return Err(Explained {
            what: "Nothing was imported".into(),
            why: format!("the vault holds other values under {}", blocked.join(", ")),
            remedy: "Say `--replace` to take the imported ones, or `--prefix` to put them elsewhere.".into(),
        }
        .into());
    }
    let changed = plan.values().filter(|state| **state != "same").count();
    if args.dry_run || changed == 0 {
        eprintln!("Entries that would change: {changed}. Nothing was written.");
        return Ok(());
    }
    let origin = if args.from == Origin::Tazpod {
        "TazPod"
    } else {
        "gopass"
    };
    for m in moves {
        if change
            .vault
            .get(&m.path)
            .is_none_or(|old| old.expose() != m.value.expose())
        {
            let (_, expires) = about(&change.vault, &m.path);
            let note = format!("from {origin}: {}", m.source);
            change.vault.put(&m.path, m.value, &note, expires)?;
        }
    }
    change.finish()?;
    eprintln!("Entries imported: {changed}.");
    Ok(())
}

/// What each path would become: new, same, or differs.
fn plan<'a>(vault: &Vault, moves: &'a [Move]) -> Result<BTreeMap<&'a str, &'static str>, Explained> {
    let mut plan = BTreeMap::new();
    for m in moves {
        let state = match vault.get(&m.path) {
            None => "new",
            Some(old) if old.expose() == m.value.expose() => "same",
            Some(_) => "differs",
        };
        if plan.insert(m.path.as_str(), state).is_some() {
            let both: Vec<&str> = moves
                .iter()
                .filter(|o| o.path == m.path)
                .map(|o| o.source.as_str())
                .collect();
            return Err(Explained {
                what: "Nothing was imported".into(),
                why: format!("{} would all become `{}`", both.join(" and "), m.path),
                remedy: "Rename one of them at its source: a path has letters, digits and `. _ - /` only.".into(),
            });
        }
    }
    Ok(plan)
}

fn show(args: &ImportArgs, moves: &[Move], plan: &BTreeMap<&str, &str>, left_out: &[(String, String)]) {
    let state = |m: &Move| plan.get(m.path.as_str()).copied().unwrap_or_default();
    if args.output == Output::Json {
        let rows: Vec<_> = moves
            .iter()
            .map(|m| serde_json::json!({"source": m.source, "path": m.path, "bytes": m.value.len(), "state": state(m)}))
            .collect();
        let left: Vec<_> = left_out
            .iter()
            .map(|(s, why)| serde_json::json!({"source": s, "why": why}))
            .collect();
        println!("{}", serde_json::json!({"v": 1, "entries": rows, "leftOut": left}));
        return;
    }
    for m in moves {
        println!("{} -> {}\t{} bytes\t{}", m.source, m.path, m.value.len(), state(m));
    }
    for (source, why) in left_out {
        println!("{source} is left out: {why}");
    }
}

type Taken = (Vec<Move>, Vec<(String, String)>);

async fn from_tazpod(args: &ImportArgs) -> Result<Taken, Trouble> {
    let mut sealed = Vec::new();
    std::fs::File::open(&args.source)
        .and_then(|f| f.take(LARGEST).read_to_end(&mut sealed))
        .map_err(|e| file::problem(&args.source, &e))?;
    let passphrase = prompt::hidden_line("Passphrase of the TazPod archive: ")?;
    let found = work(move || tazpod::read(&sealed, &passphrase)).await?;
    let links = found
        .skipped
        .into_iter()
        .map(|name| (name, "it is neither a file nor a folder".to_owned()));
    let mut left_out: Vec<_> = links.collect();
    let mut moves = Vec::new();
    for found in found.files {
        if found.path == ITS_PASSPHRASE {
            left_out.push((found.path, "it is the archive's own passphrase".into()));
            continue;
        }
        moves.push(Move {
            path: gopass::path(&args.prefix, &found.path),
            value: one_line(found.value),
            source: found.path,
        });
    }
    Ok((moves, left_out))
}

/// A token often ends with a newline that is not part of it; a text of several lines (PEM) is never touched.
fn one_line(value: Secret) -> Secret {
    match value.expose().strip_suffix(b"\n") {
        Some(line) if !line.contains(&b'\n') => Secret::new(line.to_vec()),
        _ => value,
    }
}

async fn from_gopass(args: &ImportArgs) -> Result<Taken, Trouble> {
    let mut moves = Vec::new();
    for (name, path) in gpg::store(&args.source)? {
        let plain = gpg::decrypt(&path).await?;
        for (suffix, value) in gopass::split(plain.expose()) {
            moves.push(Move {
                path: format!("{}{suffix}", gopass::path(&args.prefix, &name)),
                source: format!("{name}{suffix}"),
                value,
            });
        }
    }
    Ok((moves, Vec::new()))
}

/// `vault export`
pub async fn export(args: ExportArgs) -> Result<(), Trouble> {
    file::must_be_new(&args.to)?;
    let vault = file::open(&args.file).await?;
    let passphrase = prompt::hidden_line("Passphrase for the TazPod archive: ")?;
    strength::check(&passphrase)?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |t| t.as_secs());
    let prefix = match args.prefix.trim_end_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let (sealed, count) = work(move || {
        let paths: Vec<String> = vault.ls().map(|e| e.path.to_owned()).collect();
        let inside: Vec<(&str, &Secret)> = paths
            .iter()
            .filter_map(|path| Some((path.strip_prefix(&prefix)?, vault.get(path)?)))
            .collect();
        folders_and_files_differ(inside.iter().map(|(path, _)| *path))?;
        Ok((tazpod::write(inside.iter().copied(), &passphrase, now)?, inside.len()))
    })
    .await?;
    write_new(&args.to, &sealed)?;
    eprintln!(
        "Entries in {}: {count}. The castle's root is not: TazPod has no place for it.",
        args.to.display()
    );
    Ok(())
}

/// A path can't be a file and a folder at once in an archive, though both may be entries here.
fn folders_and_files_differ<'a>(paths: impl Iterator<Item = &'a str>) -> Result<(), skykeep_vault::VaultError> {
    let mut seen = BTreeSet::new();
    for path in paths {
        if let Some((at, _)) = path
            .match_indices('/')
            .find(|(at, _)| path.get(..*at).is_some_and(|p| seen.contains(p)))
        {
            let folder = path.get(..at).unwrap_or_default();
            return Err(skykeep_vault::VaultError::TazPod(format!(
                "`{folder}` is an entry and would have to be a folder too, for `{path}`"
            )));
        }
        seen.insert(path);
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Explained> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()))
        .map_err(|e| file::problem(path, &e))
}
