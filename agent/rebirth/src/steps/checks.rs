//! Preflight: every credential used once, every index read, before anything is created.

use std::{net::Ipv4Addr, sync::Arc};

use skykeep_core::{Explained, Progress, Trouble, castle::Castle, explain::chain};
use skykeep_gitops::Severity;

use super::step;
use crate::{
    engine::Step,
    estate::Estate,
    lease::{self, Phase},
    names, operated, pulse, revision, treasure, writers,
};

/// Amazon's answer to "which address do I come from".
const WHO_AM_I: &str = "https://checkip.amazonaws.com/";

pub(super) fn steps(castle: &Castle) -> Vec<Step<Estate>> {
    let mut steps = vec![
        step("check.state", "the state bucket and the lease", &[], (2, 60), state),
        step(
            "check.cloud",
            "the cloud's credentials, image and limits",
            &[],
            (3, 120),
            cloud,
        ),
        step("check.address", "the address we come from", &[], (1, 60), address),
        step("check.git", "the repository, read and linted", &[], (5, 180), git),
        super::images::check(),
    ];
    for group in treasure::by_repository(castle) {
        let first = group.first().and_then(|i| castle.treasures.get(*i));
        let first = first.map(|t| t.name.as_str()).unwrap_or_default();
        let title = match group.len() {
            1 => format!("the backup of `{first}`"),
            n => format!("the backups of `{first}` and {} more", n - 1),
        };
        let work = move |e, p| backups(e, p, group.clone());
        steps.push(step(&format!("check.{first}"), &title, &[], (5, 180), work));
    }
    if castle.dns.is_some() {
        steps.push(step("check.dns", "the DNS zone", &[], (2, 60), dns));
        steps.push(super::fence::check());
        steps.extend(castle.old_castle.take_away.as_ref().map(|_| super::fence::check_keys()));
    }
    steps
}

/// What a castle that stands needs, to be worked on: none of backups and names.
pub(super) fn of_a_standing_castle(castle: &Castle) -> Vec<Step<Estate>> {
    let wanted = ["check.state", "check.cloud", "check.address", "check.git"];
    let all = steps(castle).into_iter();
    all.filter(|step| wanted.contains(&step.id.as_str())).collect()
}

async fn state(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    Ok(match lease::peek(&*estate.s3, &estate.castle.name).await? {
        None => "no generation has ever been born".into(),
        Some(found) => format!(
            "generation {} is {}",
            found.record.generation,
            match found.record.state {
                Phase::Building => "being built",
                Phase::Alive => "alive",
                Phase::Destroyed => "destroyed",
            }
        ),
    })
}

async fn cloud(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let found = lease::peek(&*estate.s3, &estate.castle.name).await?;
    let generation = found.map_or_else(|| skykeep_core::Generation::new(0, 0), |f| f.record.generation);
    let seen = estate.cloud_for(generation, false)?.preflight(&progress).await?;
    for warning in &seen.warnings {
        progress.note(warning.clone());
    }
    Ok(format!(
        "account {} as {}, image {}",
        seen.account, seen.identity, seen.image
    ))
}

async fn address(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let problem = |why: String| Explained {
        what: "The address we come from could not be found out".into(),
        why,
        remedy: "Check that this network lets HTTPS through, then start again.".into(),
    };
    let asked = async { estate.http.get(WHO_AM_I).send().await?.error_for_status()?.text().await };
    let text = asked.await.map_err(|e| problem(chain(&e)))?;
    let ip: Ipv4Addr = text
        .trim()
        .parse()
        .map_err(|_| problem(format!("{WHO_AM_I} did not answer with an address")))?;
    estate.seen_from.give(ip);
    Ok(ip.to_string())
}

async fn git(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let repository = revision::read(&estate).await?;
    let revision = estate.revision.get()?;
    revision.text().lines().for_each(|line| progress.note(line));
    // A repository that can't be read so is the lint's to tell.
    if let Ok(layout) = estate.layout() {
        writers::tell(layout, &estate.castle, &progress);
    }
    let findings = skykeep_gitops::lint(repository, &estate.castle);
    if let Some((who, claims)) = pulse::last_claims(&estate).await? {
        for f in skykeep_gitops::living(&estate.castle, &who, &claims) {
            progress.note(format!("{}: {}", f.file, f.what));
        }
    }
    for f in &findings {
        progress.note(format!("{}: {}", f.file, f.what));
    }
    if let Some(f) = findings.iter().find(|f| matches!(f.severity, Severity::Error)) {
        return Err(Explained {
            what: "The repository would not come up as it is".into(),
            why: format!("{}: {}", f.file, f.what),
            remedy: f.remedy.clone(),
        }
        .into());
    }
    operated::check(&estate)?;
    Ok(format!(
        "commit {}, {} files; {}",
        repository.commit,
        repository.files.len(),
        revision.because
    ))
}

async fn backups(estate: Arc<Estate>, progress: Progress, group: Vec<usize>) -> Result<String, Trouble> {
    treasure::inspect(&estate, &group, &progress).await
}

async fn dns(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let Some(dns) = &estate.castle.dns else {
        return Ok("none".into());
    };
    let zones = names::connect(&estate, dns).await?;
    let mut seen = Vec::new();
    for zone in &zones {
        seen.push(format!("{}: {} records", zone.name(), zone.records().await?.len()));
    }
    estate.zones.give(zones);
    Ok(seen.join(", "))
}
