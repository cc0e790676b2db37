//! The cluster: its API, its network, its nodes, its guard.

use std::{net::IpAddr, sync::Arc, time::Duration};

use skykeep_cluster::{api, guard, network};
use skykeep_core::{Deadline, Progress, Trouble};

use super::{listen::listening, revive, step};
use crate::{engine::Step, estate::Estate};

pub(super) fn steps() -> Vec<Step<Estate>> {
    vec![
        step(
            "cluster.api",
            "the cluster's API answers",
            &["node.running"],
            (30, 900),
            connect,
        ),
        step(
            "cluster.network",
            "pod network and kube-proxy",
            &["cluster.api"],
            (2, 120),
            pod_network,
        ),
        step(
            "cluster.guard",
            "the guard that stays",
            &["cluster.api", "cloud.entry"],
            (2, 120),
            guard_,
        ),
        step(
            "cluster.nodes",
            "all nodes are ready",
            &["cluster.network"],
            (20, 900),
            nodes,
        ),
        step(
            "cluster.quorum",
            "every control plane answers by itself",
            // A control plane that hung has another address by then.
            &["cluster.nodes"],
            (2, 600),
            quorum,
        ),
        step(
            "node.sealed",
            "the nodes' sealed plans are taken away",
            &["cluster.quorum"],
            (1, 120),
            sealed,
        ),
    ]
}

/// Before the castle is called alive.
pub(super) fn last() -> Step<Estate> {
    step(
        "cluster.whole",
        "every node is still there",
        &["health", "apps", "node.sealed"],
        (1, 900),
        whole,
    )
}

async fn connect(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let deadline = Deadline::after(Duration::from_secs(570));
    let admin = estate.admin.get()?;
    let work = async { Ok(api::connect(&estate.api_at, admin, deadline).await?) };
    let client = listening(&estate, &progress, work).await?;
    estate.api.give(client);
    estate.journal.get()?.update(|entries| entries.formed = true).await?;
    Ok(format!("by {} addresses", estate.api_at.now().len()))
}

async fn pod_network(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    network::apply(estate.api.get()?, &estate.castle, &estate.lock).await?;
    Ok("flannel and kube-proxy applied".into())
}

async fn guard_(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let addresses: Vec<IpAddr> = estate.entry.get()?.addresses.iter().copied().map(IpAddr::V4).collect();
    let entry = guard::Entry::of(&estate.castle, &addresses);
    guard::apply(estate.api.get()?, &estate.lock, &entry).await?;
    Ok("applied".into())
}

async fn nodes(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let names: Vec<String> = estate.planned().into_iter().map(|n| n.name).collect();
    let client = estate.api.get()?;
    let work = async {
        api::wait_nodes(client, &names, Deadline::after(Duration::from_secs(570))).await?;
        Ok(api::wait_network(client, names.len(), Deadline::after(Duration::from_secs(270))).await?)
    };
    listening(&estate, &progress, work).await?;
    Ok(format!("{} nodes Ready, pods reach one another", names.len()))
}

async fn quorum(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let deadline = Deadline::after(Duration::from_secs(590));
    let admin = estate.admin.get()?;
    let work = async { Ok(api::wait_quorum(&estate.api_at, admin, deadline).await?) };
    listening(&estate, &progress, work).await?;
    let many = estate.api_at.now().len();
    Ok(format!("{many} of {many}"))
}

/// At the end no node may be missing that was lost under way.
async fn whole(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let work = async {
        tokio::select! {
            result = wait_all(&estate) => result,
            trouble = revive::given_up(&estate) => Err(trouble),
        }
    };
    listening(&estate, &progress, work).await?;
    let left = delete_plans(&estate, |_| true).await?;
    Ok(match left {
        0 => "all of them".into(),
        n => format!("all of them; {n} sealed plans of machines that were made anew are deleted"),
    })
}

async fn wait_all(estate: &Estate) -> Result<(), Trouble> {
    let names: Vec<String> = estate.planned().into_iter().map(|n| n.name).collect();
    let deadline = Deadline::after(Duration::from_secs(880));
    api::wait_nodes(estate.api.get()?, &names, deadline).await?;
    Ok(api::wait_quorum(&estate.api_at, estate.admin.get()?, deadline).await?)
}

async fn sealed(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    // A machine that is just being made anew needs its own until the end.
    let replaced = || estate.replaced.lock().map(|names| names.clone()).unwrap_or_default();
    let left = delete_plans(&estate, |name| !replaced().contains(name)).await?;
    Ok(format!("{left} deleted: user data opens nothing any more"))
}

/// Deletes the sealed plans of these nodes.
async fn delete_plans(estate: &Estate, which: impl Fn(&str) -> bool) -> Result<usize, Trouble> {
    let prefix = format!("{}/nodes/{}/", estate.castle.name, estate.generation.get()?);
    let mut all = estate.s3.list(&prefix).await?;
    all.retain(|entry| {
        let node = entry.key.strip_prefix(&prefix).and_then(|rest| rest.rsplit_once('-'));
        node.is_none_or(|(node, _)| which(node))
    });
    for entry in &all {
        estate.s3.delete(&entry.key).await?;
    }
    Ok(all.len())
}
