//! What opens the vault: `init`, `passwd`, `slot`, `compromised`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use skykeep_core::{
    Trouble,
    castle::{Castle, SecretRef},
};
use skykeep_vault::{SlotInfo, SlotKind, Vault};

use super::{
    Place, Work, ask,
    file::{self, Change},
    work,
};
use crate::console::lines::Output;

#[derive(Args)]
pub struct InitArgs {
    /// The vault file
    file: PathBuf,
    /// Take a generated passphrase without asking, and print it once
    #[arg(long)]
    generate: bool,
    #[command(flatten)]
    work: Work,
}

#[derive(Args)]
pub struct PasswdArgs {
    /// The vault file
    file: PathBuf,
    /// The slot to change; without it, the one that the vault is opened with
    #[arg(long, value_name = "NAME")]
    slot: Option<String>,
    /// Take a generated passphrase without asking, and print it once
    #[arg(long)]
    generate: bool,
    #[command(flatten)]
    work: Work,
}

#[derive(Subcommand)]
pub enum SlotCommand {
    /// List the slots; needs no passphrase
    Ls(Place),
    /// Add a way to open the vault
    Add(SlotAddArgs),
    /// Remove a way to open the vault (old copies of the file keep it)
    Rm {
        /// The vault file
        file: PathBuf,
        /// The slot's name
        name: String,
    },
}

#[derive(Args)]
pub struct SlotAddArgs {
    /// The vault file
    file: PathBuf,
    /// A name for the slot: lower-case letters, digits, hyphens
    name: String,
    /// Make a recovery code of twelve words and print it once
    #[arg(long, conflicts_with = "generate")]
    recovery: bool,
    /// Take a generated passphrase without asking, and print it once
    #[arg(long)]
    generate: bool,
    #[command(flatten)]
    work: Work,
}

#[derive(Args)]
pub struct CompromisedArgs {
    /// The vault file
    file: PathBuf,
    /// The castle file: what it takes from other stores has to be rolled as well
    #[arg(long, value_name = "FILE")]
    castle_file: Option<PathBuf>,
    /// Take a generated passphrase without asking, and print it once
    #[arg(long)]
    generate: bool,
    #[command(flatten)]
    work: Work,
}

/// `vault init`
pub async fn init(args: InitArgs) -> Result<(), Trouble> {
    let params = args.work.params()?;
    file::must_be_new(&args.file)?;
    let passphrase = ask::new_passphrase(args.generate)?;
    let mut vault = work(move || Vault::create(&passphrase, params)).await?;
    file::create(&args.file, &mut vault)?;
    eprintln!(
        "{} is made. For the day the passphrase is forgotten: `skykeep vault slot add {} paper --recovery`.",
        args.file.display(),
        args.file.display()
    );
    Ok(())
}

/// `vault passwd`
pub async fn passwd(args: PasswdArgs) -> Result<(), Trouble> {
    let params = args.work.params()?;
    let mut change = Change::begin(&args.file).await?;
    let name = args.slot.unwrap_or_else(|| change.vault.opened_by().to_owned());
    let kind = change
        .vault
        .slots()
        .into_iter()
        .find(|s| s.name == name)
        .map(|s| s.kind);
    let secret = ask::new_for(kind.unwrap_or(SlotKind::Passphrase), args.generate)?;
    let slot = name.clone();
    change.vault = work(move || {
        change.vault.change_slot(&slot, &secret, params)?;
        Ok(change.vault)
    })
    .await?;
    change.finish()?;
    eprintln!(
        "Slot `{name}` is changed. Old copies of the file still open with what opened them, for ever. If somebody else \
         may know it, changing it is not enough: `skykeep vault compromised`."
    );
    Ok(())
}

/// `vault slot`
pub async fn run(command: SlotCommand) -> Result<(), Trouble> {
    match command {
        SlotCommand::Ls(place) => ls(&place),
        SlotCommand::Add(args) => add(args).await,
        SlotCommand::Rm { file, name } => {
            let mut change = Change::begin(&file).await?;
            change.vault.rm_slot(&name)?;
            change.finish()?;
            eprintln!("Slot `{name}` is removed. Old copies of the file still open with it.");
            Ok(())
        }
    }
}

fn ls(place: &Place) -> Result<(), Trouble> {
    let outside = skykeep_vault::outside(&file::read(&place.file)?)?;
    if place.output == Output::Json {
        let slot = |s: &SlotInfo| {
            let work = s
                .params
                .map(|p| serde_json::json!({"memoryKiB": p.m_kib, "passes": p.t, "lanes": p.p}));
            serde_json::json!({"name": s.name, "kind": kind(s.kind), "argon2id": work})
        };
        let slots: Vec<_> = outside.slots.iter().map(slot).collect();
        println!("{}", serde_json::json!({"v": 1, "slots": slots}));
        return Ok(());
    }
    for slot in &outside.slots {
        let work = slot.params.map_or_else(String::new, |p| {
            format!("Argon2id, {} MiB, {} passes, {} lanes", p.m_kib / 1024, p.t, p.p)
        });
        println!("{:<20} {:<14} {work}", slot.name, kind(slot.kind));
    }
    Ok(())
}

fn kind(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Passphrase => "passphrase",
        SlotKind::Recovery => "recovery code",
        SlotKind::Reserved(_) => "not known here",
    }
}

async fn add(args: SlotAddArgs) -> Result<(), Trouble> {
    let params = args.work.params()?;
    let mut change = Change::begin(&args.file).await?;
    let kind = if args.recovery {
        SlotKind::Recovery
    } else {
        SlotKind::Passphrase
    };
    change.vault.may_add_slot(&args.name)?;
    let secret = ask::new_for(kind, args.generate)?;
    let name = args.name.clone();
    change.vault = work(move || {
        change.vault.add_slot(&name, kind, &secret, params)?;
        Ok(change.vault)
    })
    .await?;
    change.finish()?;
    eprintln!("Slot `{}` opens the vault from now on.", args.name);
    Ok(())
}

/// `vault compromised`
pub async fn compromised(args: CompromisedArgs) -> Result<(), Trouble> {
    let params = args.work.params()?;
    let castle = args.castle_file.as_deref().map(castle).transpose()?;
    let mut change = Change::begin(&args.file).await?;
    let passphrase = ask::new_passphrase(args.generate)?;
    change.vault = work(move || change.vault.compromised(&passphrase, params)).await?;
    let paths: Vec<(String, String)> = change
        .vault
        .ls()
        .filter(|e| e.roll)
        .map(|e| (e.path.to_owned(), e.note.to_owned()))
        .collect();
    change.finish()?;
    eprintln!(
        "The vault has a new root, a new key and one slot. Whoever has an old copy and its passphrase still reads what \
         was in it. Roll each of these where it was issued, then `skykeep vault put` the new one; `vault ls` marks \
         what is left:"
    );
    for (path, note) in &paths {
        println!("vault:{path}{}{note}", if note.is_empty() { "" } else { "\t" });
    }
    for reference in castle.iter().flat_map(Castle::secret_refs) {
        if !matches!(reference, SecretRef::Vault(_)) {
            println!("{reference}\treachable with what the vault held");
        }
    }
    eprintln!(
        "The living castle's own keys came from the old root: they are replaced by the next rebirth. The old root is \
         kept in the vault, because the state that castle sealed can't be read without it."
    );
    Ok(())
}

/// Reads a castle file.
pub fn castle(path: &std::path::Path) -> Result<Castle, Trouble> {
    let text = std::fs::read_to_string(path).map_err(|e| file::problem(path, &e))?;
    Ok(Castle::parse(&text)?)
}
