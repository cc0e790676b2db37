//! `plan`, `apply`, `status`, `destroy`, `check`: the castle from a command line.

use std::{process::ExitCode, sync::Arc};

use skykeep_core::{Explained, Generation, Progress, Trouble, owner::OwnersPart};
use skykeep_rebirth::{Applied, Estate, Status};

use super::{Owner, host::Host, vault::unlock};
use crate::{
    agent::conclude,
    console::{
        lines::{self, Output},
        prompt,
    },
    usage,
};

pub(super) async fn open(owner: &Owner) -> Result<Arc<Estate>, Trouble> {
    open_part(owner.part().await?).await
}

async fn open_part(part: OwnersPart) -> Result<Arc<Estate>, Trouble> {
    let vault = unlock(part.vault.clone(), prompt::hidden_line("Passphrase: ")?).await?;
    usage::vault_is_open();
    let skykeep_rebirth::vaults::Newest { vault, said, .. } = skykeep_rebirth::vaults::newest(&part, vault).await;
    for line in said {
        eprintln!("{line}");
    }
    Ok(Arc::new(Estate::open(part, vault).await?))
}

pub(super) fn speak(owner: &Owner) -> (Progress, tokio::task::JoinHandle<()>) {
    let (progress, events) = Progress::channel("skykeep");
    (progress, tokio::spawn(lines::print(events, owner.output)))
}

/// What a person says about a rebirth that nobody else can know.
pub struct Said {
    pub take_over: Option<String>,
    pub old_castle_is_dead: Option<String>,
    pub head: bool,
}

pub async fn apply(owner: &Owner, host: Option<Host>, said: &Said) -> Result<ExitCode, Trouble> {
    let Some(host) = host else {
        return Err(Explained {
            what: "Nothing was done".into(),
            why: "working on this computer was not accepted".into(),
            remedy: "Boot the image, or say `--accept-host` when this computer is yours to trust.".into(),
        }
        .into());
    };
    eprintln!("{}", host.text());
    let estate = open(owner).await?;
    if let Some(name) = &said.take_over {
        estate.take_over(name)?;
    }
    if let Some(name) = &said.old_castle_is_dead {
        estate.old_castle_is_dead(name)?;
    }
    if said.head {
        estate.take_head();
    }
    let (progress, printer) = speak(owner);
    let applied = skykeep_rebirth::apply(estate, progress).await?;
    let _ = printer.await;
    if owner.output == Output::Json
        && let Applied::Ran(report) = &applied
    {
        println!("{}", serde_json::json!({"v": 1, "event": "report", "report": report}));
    }
    Ok(conclude(&applied))
}

pub async fn plan(owner: &Owner, head: bool) -> Result<ExitCode, Trouble> {
    let estate = open(owner).await?;
    if head {
        estate.take_head();
    }
    let now = skykeep_rebirth::status(&estate).await?;
    if now.is_well() {
        show(owner, &now);
        println!("Nothing to do.");
        return Ok(ExitCode::SUCCESS);
    }
    let (progress, printer) = speak(owner);
    let report = skykeep_rebirth::preflight(estate.clone(), progress).await?;
    let _ = printer.await;
    if let Some((step, error)) = report.failure() {
        eprintln!("A rebirth would stop at `{step}`.\n{error}");
        return Ok(ExitCode::FAILURE);
    }
    let forecast = skykeep_rebirth::forecast(&estate).await?;
    match owner.output {
        Output::Json => println!("{}", serde_json::json!({"v": 1, "plan": forecast})),
        Output::Text => print!("{}", forecast.text()),
    }
    Ok(ExitCode::from(3))
}

pub async fn status(owner: &Owner, all_generations: bool) -> Result<ExitCode, Trouble> {
    let estate = open(owner).await?;
    if all_generations {
        return generations(owner, &estate).await;
    }
    show(owner, &skykeep_rebirth::status(&estate).await?);
    Ok(ExitCode::SUCCESS)
}

async fn generations(owner: &Owner, estate: &Estate) -> Result<ExitCode, Trouble> {
    let all = skykeep_rebirth::generations(estate).await?;
    if owner.output == Output::Json {
        println!("{}", serde_json::json!({"v": 1, "generations": all}));
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        println!("Nothing of this castle stands in the cloud.");
    }
    for one in &all {
        println!("{}", one.text());
        if !one.current {
            let (generation, name) = (one.generation, &estate.castle.name);
            println!("  skykeep destroy --generation {generation} --yes-destroy {name}    takes it down");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn report(owner: &Owner) -> Result<ExitCode, Trouble> {
    let estate = open(owner).await?;
    match skykeep_rebirth::last_report(&estate).await? {
        None => println!("No run of this castle's present generation has left a report."),
        Some(kept) if owner.output == Output::Json => println!("{}", serde_json::json!({"v": 1, "report": kept})),
        Some(kept) => {
            println!("The last run ended at {}.\n{}", kept.ended, kept.report.text());
            if let Some((step, error)) = kept.report.failure() {
                println!("It stopped at `{step}`.\n{error}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(owner: &Owner, status: &Status) {
    if owner.output == Output::Json {
        println!("{}", serde_json::json!({"v": 1, "status": status}));
        return;
    }
    match &status.lease {
        None => println!("No generation has ever been born."),
        Some(l) => println!(
            "Generation {}: {:?}, last run {} {}",
            l.generation, l.state, l.holder, l.from
        ),
    }
    for thing in &status.things {
        println!(
            "  {:<18} {:<24} {:<28} {}",
            thing.kind, thing.name, thing.id, thing.state
        );
    }
    for node in &status.missing_nodes {
        println!("  missing            {node}");
    }
    for (url, wrong) in &status.health {
        println!("  {url}: {}", wrong.as_deref().unwrap_or("well"));
    }
    if let Some(pulse) = &status.pulse {
        let said = pulse.testament.as_ref().map(|t| format!("; {}", t.text()));
        println!("  pulse: given {} s ago{}", pulse.age_s, said.unwrap_or_default());
    }
    for line in &status.changed {
        println!("  ! changed by somebody since the cutover: {line}");
    }
    if !status.changed.is_empty() {
        println!(
            "  Find out who (`dns undo`? the old castle, awake?) and stop it; then `skykeep apply` moves the names again."
        );
    }
}

pub async fn destroy(owner: &Owner, name: &str, generation: Option<Generation>) -> Result<ExitCode, Trouble> {
    let part = owner.part().await?;
    if part.castle.name != name {
        return Err(Explained {
            what: "Nothing was destroyed".into(),
            why: format!("the castle here is called `{}`, not `{name}`", part.castle.name),
            remedy: "Say `--yes-destroy` with the name of the castle that is to go.".into(),
        }
        .into());
    }
    let estate = open_part(part).await?;
    let (progress, printer) = speak(owner);
    let things = match generation {
        Some(generation) => skykeep_rebirth::destroy_orphan(estate, generation, progress).await?,
        None => skykeep_rebirth::destroy(estate, progress).await?,
    };
    let _ = printer.await;
    println!("{things} things taken down. DNS records, backups and the state bucket were left as they are.");
    Ok(ExitCode::SUCCESS)
}
