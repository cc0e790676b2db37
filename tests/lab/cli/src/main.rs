//! `lab`: the laboratory by command. `up` keeps it running for work by hand; `rehearse` proves a whole rebirth.

mod audit;
mod cis;
mod cuts;
mod database;
mod giveback;
mod hang;
mod host;
mod inspect;
mod lab;
mod lose;
mod lose_plane;
mod memory;
mod owner;
mod places;
mod refuse;
mod rehearse;
mod shapes;
mod trials;
mod verdicts;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::{lab::Lab, owner::Supplier, places::Places};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the laboratory, make the owner's part, and wait for Ctrl-C
    Up {
        /// The program under test
        #[arg(long)]
        skykeep: PathBuf,
    },
    /// Boot the image like a borrowed laptop and prove the rebirth
    Rehearse {
        /// The program under test
        #[arg(long)]
        skykeep: PathBuf,
        /// The folder that image/build wrote
        #[arg(long)]
        image: PathBuf,
        /// How slow the cloud is: `bare` (nearly no delay, our own speed shows) or `recorded` (as AWS was measured to be)
        #[arg(long, default_value = "bare")]
        latency: String,
    },
    /// Bad input, servers that refuse, machines that fail: errors in three parts, and what was made is adopted
    Trials {
        /// The program under test
        #[arg(long)]
        skykeep: PathBuf,
    },
    /// Two machines hang from the moment they are switched on
    Hang {
        /// The program under test
        #[arg(long)]
        skykeep: PathBuf,
    },
    /// One rebirth is killed again and again at seeded moments, every third time on another laptop
    Cuts {
        /// The program under test
        #[arg(long)]
        skykeep: PathBuf,
        /// How many cuts
        #[arg(default_value_t = 6)]
        number: u64,
        /// Chooses the moments
        #[arg(long, default_value_t = 20_261_130)]
        seed: u64,
    },
    /// Registries and artifact servers answer 429 for a whole rebirth
    Refuse {
        /// The program under test
        #[arg(long)]
        skykeep: PathBuf,
        /// What helps the owner
        #[arg(long, value_enum, default_value = "copies")]
        help_by: refuse::Help,
    },
    /// A machine loses its power: a worker in the middle of a restore, or control planes at three moments
    Lose {
        /// Control planes
        #[arg(long)]
        control_plane: bool,
        /// The program under test
        #[arg(long)]
        skykeep: PathBuf,
    },
    /// (by `rehearse`) the old castle's testament, as its pulse job writes it when it was all green at a commit
    #[command(hide = true)]
    Testament {
        /// The job's description
        spec: PathBuf,
        /// The folder with its keys
        keys: PathBuf,
        /// The commit
        commit: String,
    },
    /// Judge audit logs of a castle's API servers by hand
    Audit {
        /// The logs, of all control planes
        #[arg(required = true)]
        logs: Vec<PathBuf>,
    },
    /// The same castle from the host: killed in the middle, resumed, and taken down
    Host {
        /// The program under test
        #[arg(long)]
        skykeep: PathBuf,
        /// The supplier of machines
        #[arg(long, value_enum, default_value = "aws")]
        cloud: Supplier,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Cli::parse().command {
        Command::Up { skykeep } => up(&Places::new(&skykeep, "up")?).await,
        Command::Rehearse {
            skykeep,
            image,
            latency,
        } => {
            let mut places = Places::new(&skykeep, "rehearsal")?;
            places.delays = lab_ec2::Delays::named(&latency).context("there is no such latency: bare or recorded")?;
            within_lab(&places, |lab, places| Box::pin(rehearse::run(lab, places, image))).await
        }
        Command::Trials { skykeep } => {
            let places = Places::new(&skykeep, "trials")?;
            within_lab(&places, |lab, places| Box::pin(trials::run(lab, places))).await
        }
        Command::Hang { skykeep } => {
            let places = Places::new(&skykeep, "hang")?;
            within_lab(&places, |lab, places| Box::pin(hang::run(lab, places))).await
        }
        Command::Cuts { skykeep, number, seed } => {
            let places = Places::new(&skykeep, "cuts")?;
            within_lab(&places, |lab, places| Box::pin(cuts::run(lab, places, number, seed))).await
        }
        Command::Refuse { skykeep, help_by } => {
            let places = Places::new(&skykeep, "refuse")?;
            within_lab(&places, |lab, places| Box::pin(refuse::run(lab, places, help_by))).await
        }
        Command::Lose {
            skykeep,
            control_plane: true,
        } => {
            let places = Places::new(&skykeep, "lose-plane")?;
            within_lab(&places, |lab, places| Box::pin(lose_plane::run(lab, places))).await
        }
        Command::Lose { skykeep, .. } => {
            let places = Places::new(&skykeep, "lose")?;
            within_lab(&places, |lab, places| Box::pin(lose::run(lab, places))).await
        }
        Command::Testament { spec, keys, commit } => owner::testament(&spec, &keys, &commit).await,
        Command::Audit { logs } => audit::by_hand(&logs),
        Command::Host { skykeep, cloud } => {
            let places = Places::new(&skykeep, "host")?;
            within_lab(&places, |lab, places| Box::pin(host::run(lab, places, cloud))).await
        }
    }
}

type Work<'a> = std::pin::Pin<Box<dyn Future<Output = Result<bool>> + 'a>>;

/// Starts the laboratory, works in it, ends it whatever happened, and fails when a verdict was bad.
async fn within_lab(places: &Places, work: impl for<'a> FnOnce(&'a Lab, &'a Places) -> Work<'a>) -> Result<()> {
    let lab = Lab::start(places).await.context("starting the laboratory")?;
    let ended = tokio::select! {
        ended = work(&lab, places) => ended,
        told = told_to_end() => told.and_then(|()| Err(anyhow::anyhow!("told to end, by a person or a budget"))),
    };
    if !matches!(ended, Ok(true)) {
        for event in lab.events() {
            eprintln!("cloud: {event}");
        }
        keep_consoles(&lab, places);
    }
    lab.stop().await?;
    anyhow::ensure!(ended?, "not everything was as it must be");
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
async fn told_to_end() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// What the machines said, for whoever looks for the cause.
fn keep_consoles(lab: &Lab, places: &Places) {
    for machine in lab.instances() {
        let (id, address) = (machine.id, machine.address);
        let file = places.work.join(format!("console-{address}.log"));
        // The cause of the failure matters more than this.
        let _ = std::fs::write(&file, lab.machines.console(&id));
        eprintln!("console of {id}: {}", file.display());
    }
}

async fn up(places: &Places) -> Result<()> {
    let lab = Lab::start(places).await?;
    let folder = tokio::task::block_in_place(|| owner::make(&lab, places, Supplier::Aws))?;
    println!(
        "The laboratory runs. Owner's part: {} (passphrase: {})",
        folder.display(),
        owner::PASSPHRASE
    );
    println!(
        "  echo '{}' | ip netns exec sk-host {} apply --accept-host --castle {}",
        owner::PASSPHRASE,
        places.skykeep.display(),
        folder.display()
    );
    told_to_end().await?;
    keep_consoles(&lab, places);
    lab.stop().await
}
