//! `vault push` and `vault pull`: the vault's copies at the places that castle.yaml names.

use clap::Args;
use skykeep_core::{Explained, Trouble, owner::OwnersPart};
use skykeep_rebirth::vaults::{self, Newest, Pushed};

use super::{ask, file::Change, unlock};
use crate::{
    cli::Owner,
    console::{lines::Output, prompt},
};

#[derive(Args)]
pub struct PushArgs {
    #[command(flatten)]
    owner: Owner,
    /// Also over a vault that this one can't prove (after `vault compromised` it can't). Never over a newer version
    #[arg(long)]
    replace: bool,
}

/// `vault push`
pub async fn push(args: PushArgs) -> Result<(), Trouble> {
    let part = args.owner.part().await?;
    skykeep_vault::outside(&part.vault)?;
    // Opened first: what nobody here can open must not become what every stick takes.
    let vault = unlock(part.vault.clone(), prompt::hidden_line(ask::PASSPHRASE)?).await?;
    let pushed = vaults::push(&part, &vault, args.replace).await?;
    let version = vault.counter();
    if args.owner.output == Output::Json {
        let instead_of = match &pushed {
            Pushed::Written { instead_of } => *instead_of,
            Pushed::AlreadyThere => None,
        };
        let written = pushed != Pushed::AlreadyThere;
        println!(
            "{}",
            serde_json::json!({"v": 1, "version": version, "written": written, "insteadOf": instead_of})
        );
        return Ok(());
    }
    match pushed {
        Pushed::AlreadyThere => println!("Version {version} is there already."),
        Pushed::Written { instead_of: None } => println!("Version {version} is there now."),
        Pushed::Written { instead_of: Some(old) } => {
            println!("Version {version} is there now, in place of version {old}.")
        }
    }
    Ok(())
}

/// `vault pull`
pub async fn pull(owner: &Owner) -> Result<(), Trouble> {
    if owner.from.is_some() {
        return Err(Explained {
            what: "There is nothing to take a newer vault over into".into(),
            why: "`--from` leaves no file on this computer".into(),
            remedy: "Say `--castle FOLDER`.".into(),
        }
        .into());
    }
    let part = OwnersPart::read(&owner.castle)?;
    let mut change = Change::begin(&owner.castle.join("vault.skv")).await?;
    let had = change.vault.counter();
    let Newest { vault, newer, said } = vaults::newest(&part, change.vault).await;
    for line in &said {
        eprintln!("{line}");
    }
    if said.is_empty() {
        return Err(Explained {
            what: "There is no place to look for a newer vault".into(),
            why: "castle.yaml has neither `vault.url` nor `vault.s3`".into(),
            remedy: "Add one of them.".into(),
        }
        .into());
    }
    let version = vault.counter();
    change.vault = vault;
    let written = newer.is_some();
    if let Some(sealed) = newer {
        change.replace(&sealed)?;
    }
    if owner.output == Output::Json {
        println!(
            "{}",
            serde_json::json!({"v": 1, "had": had, "version": version, "written": written})
        );
    } else if written {
        println!("vault.skv is version {version} now.");
    } else {
        println!("vault.skv stays as it is, version {had}.");
    }
    Ok(())
}
