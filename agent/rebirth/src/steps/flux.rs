//! Flux and what it builds.

use std::{sync::Arc, time::Duration};

use skykeep_core::{Deadline, Progress, Trouble};
use skykeep_gitops::Sync;

use super::step;
use crate::{engine::Step, estate::Estate, operated};

/// A castle that was given back to Git is Flux's alone.
const LEFT: &str = "the castle follows its branch: left as it is";

pub(super) fn steps() -> Vec<Step<Estate>> {
    vec![
        step(
            "flux.contract",
            "what the repository expects to find",
            &["cluster.api"],
            (2, 120),
            contract,
        ),
        step(
            "flux.controllers",
            "Flux's controllers",
            &["cluster.api"],
            (30, 600),
            controllers,
        ),
        step(
            "flux.sync",
            "Flux follows the repository, pinned",
            &["flux.controllers", "flux.contract", "gates"],
            (3, 180),
            sync,
        ),
        step(
            "flux.layers",
            "the layers of the repository",
            &["flux.sync"],
            (30, 900),
            layers,
        ),
    ]
}

async fn contract(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let before = &estate.castle.before_flux;
    let deadline = Deadline::after(Duration::from_secs(110));
    skykeep_gitops::before_flux(estate.api.get()?, before, |r| estate.secrets.get(r).ok(), deadline).await?;
    Ok(format!(
        "{} namespaces, {} ConfigMaps, {} Secrets, {} storage classes",
        before.namespaces.len(),
        before.config_maps.len(),
        before.secrets.len(),
        before.storage_classes.len()
    ))
}

async fn controllers(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    if estate.journal.get()?.entries().await.given_back {
        return Ok(LEFT.into());
    }
    let root = &estate.layout()?.root;
    let deadline = Deadline::after(Duration::from_secs(590));
    skykeep_gitops::apply_components(estate.api.get()?, root, deadline, &progress).await?;
    Ok("available".into())
}

async fn sync(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let repository = estate.repository.get()?;
    let root = &estate.layout()?.root;
    if estate.journal.get()?.entries().await.given_back {
        return Ok(LEFT.into());
    }
    operated::prepare(&estate).await?;
    let (patches, told) = operated::patches(&estate).await?;
    let sync = Sync {
        commit: &repository.commit,
        username: &estate.castle.gitops.username,
        token: estate.secrets.get(&estate.castle.gitops.token)?,
        extra_ca_pem: estate.trust.extra_pem(),
        patches: &patches,
    };
    skykeep_gitops::apply_sync(
        estate.api.get()?,
        root,
        &sync,
        Deadline::after(Duration::from_secs(170)),
    )
    .await?;
    let patched = told.iter().map(|change| format!("; patched: {change}"));
    Ok(format!(
        "pinned to {}{}",
        repository.commit,
        patched.collect::<String>()
    ))
}

pub(super) async fn layers(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let commit = &estate.repository.get()?.commit;
    let deadline = Deadline::after(Duration::from_secs(890));
    let restoring = operated::restoring(&estate).await?;
    let client = estate.api.get()?;
    let outcome = skykeep_gitops::watch_layers(client, commit, &restoring, deadline, &progress).await?;
    Ok(format!(
        "{} ready, {} held until their data is back",
        outcome.ready.len(),
        outcome.held.len()
    ))
}
