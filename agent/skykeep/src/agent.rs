//! The agent inside the image: link, clock, passphrase, rebirth, report. Its end is PID 1's to carry out.

use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use skykeep_core::{Explain, Progress, Trouble, owner::OwnersPart};
use skykeep_rebirth::{Applied, Estate};
use skykeep_vault::{Vault, VaultError};

use crate::{
    console::{
        lines::{self, Output},
        prompt,
    },
    init, usage,
};

/// Where the second initrd puts the owner's part.
const OWNER: &str = "/skykeep";
/// When the image was built, seconds since 1970.
const BUILT: &str = "/etc/skykeep-build-epoch";

/// From a bare machine to a living castle.
pub async fn run() -> Result<ExitCode, Trouble> {
    println!(
        "\nSkykeep {}: your castle, from one passphrase. Nothing is written to this computer.",
        env!("CARGO_PKG_VERSION")
    );
    let (progress, events) = Progress::channel("agent");
    let printer = tokio::spawn(lines::print(events, Output::Text));
    let owner = OwnersPart::read(Path::new(OWNER))?;
    println!("The castle is called {}.", owner.castle.name);
    // The network comes up while the passphrase is being typed.
    let network = tokio::spawn(network(
        progress.for_step("network"),
        owner.trust.clone(),
        hosts(&owner),
    ));
    let vault = ask(&owner).await?;
    let link = network.await.map_err(|_| broken_off())??;
    if let Err(why) = init::seal_modules() {
        progress.note(format!("drivers can still be loaded: {why}"));
    }
    let estate = Arc::new(Estate::open(owner, vault).await?);
    let applied = skykeep_rebirth::apply(estate, progress.clone()).await?;
    drop(progress);
    // The estate, and with it every secret, is gone from here on.
    drop(link);
    let code = conclude(&applied);
    let _ = tokio::time::timeout(Duration::from_secs(2), printer).await;
    Ok(code)
}

/// Prints how it ended, for people.
pub fn conclude(applied: &Applied) -> ExitCode {
    match applied {
        Applied::NothingToDo(status) => {
            let nodes = status.things.iter().filter(|t| t.kind == "instance").count();
            println!("The castle stands: {nodes} nodes, healthy, DNS points to it. Nothing to do.");
            ExitCode::SUCCESS
        }
        Applied::Ran(report) => {
            println!("{}{}", report.text(), usage::line());
            match report.failure() {
                None => {
                    println!("The castle is alive.");
                    ExitCode::SUCCESS
                }
                Some((step, error)) => {
                    eprintln!(
                        "The rebirth stopped at `{step}`. What stands is kept; a new start goes on from here.\n{error}"
                    );
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// Asks until the passphrase fits; anything else that is wrong with the vault ends it.
async fn ask(owner: &OwnersPart) -> Result<Vault, Trouble> {
    loop {
        let passphrase = prompt::hidden_line("Passphrase: ")?;
        let sealed = owner.vault.clone();
        let opened = tokio::task::spawn_blocking(move || Vault::open(&sealed, &passphrase))
            .await
            .map_err(|_| broken_off())?;
        match opened {
            Ok(vault) => {
                usage::vault_is_open();
                println!("The vault is open (version {}).", vault.counter());
                return Ok(vault);
            }
            Err(error @ VaultError::WrongPassphrase) => {
                println!("{}: {}. {}", error.what(), error.why(), error.remedy());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Hosts whose word about the time counts: the castle's own suppliers.
fn hosts(owner: &OwnersPart) -> Vec<String> {
    let castle = &owner.castle;
    let mut hosts: Vec<String> = Vec::new();
    if let Some(infisical) = &castle.secrets.infisical {
        hosts.extend(infisical.url.host_str().map(str::to_owned));
    }
    hosts.extend(castle.gitops.url.host_str().map(str::to_owned));
    hosts.push(format!("s3.{}.amazonaws.com", castle.state.region));
    if castle.dns.is_some() {
        hosts.push("api.cloudflare.com".into());
    }
    hosts
}

async fn network(
    progress: Progress,
    trust: skykeep_core::http::Trust,
    hosts: Vec<String>,
) -> Result<skykeep_net::Link, Trouble> {
    let link = skykeep_net::up(&skykeep_net::Options::default(), &progress).await?;
    progress.note(format!(
        "{} has {}/{} by {}",
        link.card, link.address, link.prefix, link.router
    ));
    let built = std::fs::read_to_string(BUILT)
        .ok()
        .and_then(|t| t.trim().parse().ok())
        .unwrap_or(0u64);
    let not_before = SystemTime::UNIX_EPOCH + Duration::from_secs(built);
    let change = skykeep_net::clock::set_from(&hosts, &trust, not_before, Duration::from_secs(30), &progress).await?;
    progress.note(format!(
        "the clock was off by {} s; {} hosts agree",
        change.seconds, change.hosts
    ));
    Ok(link)
}

fn broken_off() -> skykeep_core::Explained {
    skykeep_core::Explained {
        what: "A part of the agent broke off".into(),
        why: "a fault of the program".into(),
        remedy: "Start again. Please report it with what stands above.".into(),
    }
}
