//! Gates and restores: no application starts before its data is back.

use std::sync::Arc;

use skykeep_core::{
    Progress, Trouble,
    castle::{Castle, Treasure},
};

use super::{flux, lost, step};
use crate::{engine::Step, estate::Estate, treasure};

pub(super) fn steps(castle: &Castle) -> Vec<Step<Estate>> {
    let mut steps = vec![step(
        "gates",
        "pods wait for their treasures",
        &["cluster.api"],
        (2, 120),
        gates,
    )];
    let mut ids = Vec::new();
    for (i, one) in castle.treasures.iter().enumerate() {
        let id = format!("restore.{}", one.name);
        let title = format!("`{}` into {}/{}", one.name, one.namespace, one.claim);
        let needs = ["flux.sync", "cluster.nodes"];
        let times = (one.budget().as_secs(), treasure::limit(one).as_secs());
        steps.push(step(&id, &title, &needs, times, move |e, p| restore(e, p, i)).once());
        ids.push(id);
    }
    ids.push("flux.layers".into());
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    steps.push(step(
        "apps",
        "every layer is ready, nothing is held",
        &ids,
        (10, 900),
        flux::layers,
    ));
    steps
}

/// The one step of a second restore.
pub(super) fn again(index: usize, one: &Treasure) -> Step<Estate> {
    let title = format!("`{}` once more", one.name);
    let times = (one.budget().as_secs(), treasure::limit(one).as_secs());
    step("restore.again", &title, &["cluster.nodes"], times, move |e, p| {
        again_(e, p, index)
    })
    .once()
}

async fn again_(estate: Arc<Estate>, progress: Progress, index: usize) -> Result<String, Trouble> {
    estate.lease.get()?.renew(None).await?;
    lost::watching(&estate, treasure::restore_again(&estate, index, &progress)).await
}

async fn gates(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    treasure::close_gates(&estate).await
}

async fn restore(estate: Arc<Estate>, progress: Progress, index: usize) -> Result<String, Trouble> {
    estate.lease.get()?.renew(None).await?;
    lost::watching(&estate, treasure::restore(&estate, index, &progress)).await
}
