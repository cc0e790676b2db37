//! `skykeep pulse`: the sign of life of a castle.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Subcommand;
use skykeep_core::{Explained, Trouble};

use super::Owner;

#[derive(Subcommand)]
pub enum PulseCommand {
    /// Write the pulse job's manifest, with its keys, to standard output: for a castle that Skykeep did not build
    Manifest {
        #[command(flatten)]
        owner: Owner,
        /// What that castle is called in the state bucket
        #[arg(long, value_name = "NAME", default_value = "home")]
        name: String,
    },
    /// (in the castle) give the pulse
    #[command(hide = true)]
    Run {
        /// What it is about
        #[arg(long, default_value = skykeep_rebirth::pulse::SPEC)]
        spec: PathBuf,
        /// The folder with the keys
        #[arg(long, default_value = skykeep_rebirth::pulse::KEYS)]
        keys: PathBuf,
        /// Give one pulse and end
        #[arg(long)]
        once: bool,
    },
}

pub async fn run(command: PulseCommand) -> Result<ExitCode, Trouble> {
    match command {
        PulseCommand::Manifest { owner, name } => manifest(&owner, &name).await?,
        PulseCommand::Run { spec, keys, once } => crate::pulse::run(&spec, &keys, once).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn manifest(owner: &Owner, name: &str) -> Result<(), Trouble> {
    let refused = |why: &str, remedy: &str| Explained {
        what: "No manifest was written".into(),
        why: why.into(),
        remedy: remedy.into(),
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
        let why = format!("`{name}` can't be the name of an object in the bucket");
        return Err(refused(&why, "Use lower-case letters, digits and hyphens, for example `home`.").into());
    }
    let mut out = std::io::stdout();
    if out.is_terminal() {
        let why = "it holds the keys of the pulse, and standard output is a screen";
        return Err(refused(
            why,
            "Pipe it: skykeep pulse manifest ... | kubectl apply --server-side -f -",
        )
        .into());
    }
    let estate = super::castle::open(owner).await?;
    let manifest = skykeep_rebirth::pulse_manifest(&estate, name)?;
    out.write_all(manifest.expose())
        .and_then(|()| out.flush())
        .map_err(|e| refused(&e.to_string(), "Look at where standard output leads."))?;
    Ok(())
}
