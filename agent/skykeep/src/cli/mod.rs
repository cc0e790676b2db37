//! The command line: parses, wires, renders.

mod castle;
mod check;
mod dns;
mod drill;
mod expiry;
mod host;
mod lint;
mod lock;
mod pulse;
mod release;
mod restore;
mod restore_job;
mod stick;
mod upstream;
mod vault;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use host::Host;
use reqwest::Url;
use skykeep_core::{Explained, Generation, Trouble, http::Trust, owner::OwnersPart};

use crate::console::lines::Output;

/// Brings a whole Kubernetes estate back to life from one passphrase.
#[derive(Parser)]
#[command(version, max_term_width = 80, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done (or nothing to do), 1 failed (what, why and what to do are on standard \
error), 2 the command line was wrong, 3 `plan` found something to do (`release`: to give back), 4 `check` found something that expires soon.";

/// Where the owner's part is, and how to speak.
#[derive(clap::Args, Clone)]
pub struct Owner {
    /// Folder with castle.yaml, castle.lock, vault.skv and, when needed, ca.pem
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub castle: PathBuf,
    /// HTTPS address of that folder instead; nothing of it is written to this computer
    #[arg(long, value_name = "URL", conflicts_with = "castle")]
    pub from: Option<Url>,
    /// Certificate authority of that address, PEM, besides the public ones
    #[arg(long, value_name = "FILE", requires = "from")]
    pub ca: Option<PathBuf>,
    /// How progress and results are written
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
}

impl Owner {
    /// Reads the owner's part, or fetches it and says its code, so that its owner can compare.
    pub async fn part(&self) -> Result<OwnersPart, Explained> {
        let Some(from) = &self.from else {
            return OwnersPart::read(&self.castle);
        };
        let trust = match &self.ca {
            None => Trust::public(),
            Some(path) => {
                let pem = std::fs::read(path).map_err(|e| vault::unreadable(path, &e))?;
                Trust::with_extra_pem(&pem)?
            }
        };
        let files = OwnersPart::download(from, &trust).await?;
        let code = crate::code::of_owner(files.iter().map(|(name, bytes)| (*name, bytes.as_slice())));
        let part = OwnersPart::of(files)?;
        eprintln!("Castle `{}`, owner's part {code}.", part.castle.name);
        Ok(part)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Show what a rebirth would do; changes nothing
    Plan {
        #[command(flatten)]
        owner: Owner,
        /// As `apply --head`
        #[arg(long)]
        head: bool,
    },
    /// Bring the castle back to life, or go on where it was interrupted
    Apply {
        #[command(flatten)]
        owner: Owner,
        /// Work on this computer although it protects secrets less than the image does
        #[arg(long)]
        accept_host: bool,
        /// The castle's name: take it over from another run that is at work on it, and wait until that one has surely stopped
        #[arg(long, value_name = "NAME")]
        take_over: Option<String>,
        /// The castle's name: move its names although the castle that they point to may live
        #[arg(long, value_name = "NAME")]
        old_castle_is_dead: Option<String>,
        /// Take the branch's head, also when an earlier run or the castle before names another commit
        #[arg(long)]
        head: bool,
    },
    /// Show what stands; changes nothing
    Status {
        #[command(flatten)]
        owner: Owner,
        /// Every generation of the castle that has something in the cloud, and what it costs
        #[arg(long)]
        all_generations: bool,
    },
    /// Show the report of the last run, from whatever computer; changes nothing
    Report(Owner),
    /// Take down exactly what this castle's generation created
    Destroy {
        #[command(flatten)]
        owner: Owner,
        /// The castle's name, so that nobody destroys by accident
        #[arg(long, value_name = "NAME")]
        yes_destroy: String,
        /// Another generation than the castle's: one that `status --all-generations` calls an orphan
        #[arg(long, value_name = "GENERATION")]
        generation: Option<Generation>,
    },
    /// Make or change the vault
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// Write a stick, put the owner's part on it, compare it with a release
    #[command(subcommand)]
    Stick(stick::StickCommand),
    /// Make castle.lock: fetch every artifact, pin it by hash
    Lock(lock::LockArgs),
    /// Check the castle's folder and say what in it expires soon; needs no passphrase
    Check {
        #[command(flatten)]
        owner: Owner,
        /// How far to look ahead, days
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        within: u64,
    },
    /// Lint a Flux repository: what would fail, lose data or lose time; changes nothing
    Lint(lint::LintArgs),
    /// Show what came back of a treasure, or bring it back once more on purpose
    Restore(restore::RestoreArgs),
    /// Give the castle back to Git: show what of ours stands between the two, take it away, prove that Git alone is enough
    Release(release::ReleaseArgs),
    /// Restore every backup into a throw-away folder and verify it; says how old each is
    Drill(drill::DrillArgs),
    /// The castle's names: put them back
    #[command(subcommand)]
    Dns(dns::DnsCommand),
    /// The sign of life that keeps a rebirth from taking the names of a living castle
    #[command(subcommand)]
    Pulse(pulse::PulseCommand),
    /// Print the JSON Schema of castle.yaml
    Schema,
    /// (in the image) the child of PID 1
    #[command(hide = true)]
    Agent,
    /// (on a node) open the sealed plan and carry it out
    #[command(hide = true)]
    Node {
        /// The node's key and where its plan is
        #[arg(long)]
        config: PathBuf,
    },
    /// (in the castle) give LoadBalancer Services the entry's address and ports
    #[command(hide = true)]
    Guard {
        /// The entry, as JSON
        #[arg(long, default_value = skykeep_cluster::guard::CONFIG_PATH)]
        config: PathBuf,
    },
    /// (in the castle) restore one treasure into a mounted claim
    #[command(hide = true)]
    RestoreJob(restore_job::RestoreJobArgs),
}

/// Runs the command line.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // Alone, before there are threads.
    let accepted = matches!(cli.command, Command::Apply { accept_host: true, .. });
    let host = accepted.then(host::enter);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => return fail(&runtime_problem(&e).into()),
    };
    match runtime.block_on(dispatch(cli.command, host)) {
        Ok(code) => code,
        Err(trouble) => fail(&trouble),
    }
}

async fn dispatch(command: Command, host: Option<Host>) -> Result<ExitCode, Trouble> {
    match command {
        Command::Plan { owner, head } => castle::plan(&owner, head).await,
        Command::Apply {
            owner,
            accept_host: _,
            take_over,
            old_castle_is_dead,
            head,
        } => {
            let said = castle::Said {
                take_over,
                old_castle_is_dead,
                head,
            };
            castle::apply(&owner, host, &said).await
        }
        Command::Status { owner, all_generations } => castle::status(&owner, all_generations).await,
        Command::Report(owner) => castle::report(&owner).await,
        Command::Destroy {
            owner,
            yes_destroy,
            generation,
        } => castle::destroy(&owner, &yes_destroy, generation).await,
        Command::Vault(command) => vault::run(command).await,
        Command::Stick(command) => stick::run(command),
        Command::Lock(args) => lock::run(args).await,
        Command::Restore(args) => restore::run(args).await,
        Command::Release(args) => release::run(args).await,
        Command::Drill(args) => drill::run(args).await,
        Command::Dns(command) => dns::run(command).await,
        Command::Check { owner, within } => check::run(&owner, within).await,
        Command::Lint(args) => lint::run(args).await,
        Command::Pulse(command) => pulse::run(command).await,
        Command::Schema => {
            println!("{:#}", skykeep_core::castle::Castle::schema());
            Ok(ExitCode::SUCCESS)
        }
        Command::Agent => crate::agent::run().await,
        Command::Node { config } => crate::node::run(&config).await.map(|()| ExitCode::SUCCESS),
        Command::Guard { config } => crate::guard::run(&config).await.map(|()| ExitCode::SUCCESS),
        Command::RestoreJob(args) => restore_job::run(args).await.map(|()| ExitCode::SUCCESS),
    }
}

fn fail(trouble: &Trouble) -> ExitCode {
    eprintln!("{trouble}");
    ExitCode::FAILURE
}

fn runtime_problem(e: &std::io::Error) -> Explained {
    Explained {
        what: "Skykeep can't start".into(),
        why: format!("no threads can be made: {e}"),
        remedy: "Free memory or processes on this machine and start again.".into(),
    }
}
