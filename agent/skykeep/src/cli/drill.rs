//! `skykeep drill`: restores every backup into a throw-away place and verifies it.

use std::{path::PathBuf, process::ExitCode};

use skykeep_core::Trouble;

use super::{Owner, castle};
use crate::console::lines::Output;

#[derive(clap::Args)]
#[command(
    after_help = "Nothing but the folder is written, and each treasure is taken away again when it was verified. Give a folder \
on a tmpfs when the data must not reach a disk. Owners and modes are given back, so it runs as root (in CI: in a container).\n\n\
Exit codes: 0 every treasure came back whole, from a backup that is younger than its `rpoHours`; 1 one of them did not (each is \
told); 2 the command line was wrong."
)]
pub struct DrillArgs {
    /// Only these treasures
    #[arg(value_name = "TREASURE")]
    treasures: Vec<String>,
    /// Folder to restore into; each treasure gets an empty one below it
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
    /// Leave what came back there
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    owner: Owner,
}

pub async fn run(args: DrillArgs) -> Result<ExitCode, Trouble> {
    let estate = castle::open(&args.owner).await?;
    let (progress, printer) = castle::speak(&args.owner);
    let drilled = skykeep_rebirth::drill(&estate, &args.into, &args.treasures, args.keep, &progress).await;
    drop(progress);
    let _ = printer.await;
    let drilled = drilled?;
    match args.owner.output {
        Output::Json => println!(
            "{}",
            serde_json::json!({"v": 1, "castle": estate.castle.name, "drill": drilled})
        ),
        Output::Text => drilled.iter().for_each(|d| println!("{}", d.text())),
    }
    let good = drilled.iter().all(|d| d.good);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
