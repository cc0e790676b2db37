//! Lease, network, entry and machines.

use std::{sync::Arc, time::Duration};

use ipnet::Ipv4Net;
use skykeep_cloud::CloudError;
use skykeep_cluster::Pki;
use skykeep_core::{Deadline, Explain, Progress, Trouble, castle::Castle};

use super::{lost, step};
use crate::{engine::Step, estate::Estate, journal::Journal, launch};

pub(super) fn steps(castle: &Castle, checks: &[String]) -> Vec<Step<Estate>> {
    let checks: Vec<&str> = checks.iter().map(String::as_str).collect();
    let mut steps = vec![
        step("lease", "the lease of the castle", &checks, (1, 360), lease).once(),
        step("cloud.network", "network, zones, rules", &["lease"], (6, 300), network),
        step("cloud.entry", "the public entry", &["cloud.network"], (4, 300), entry),
        step(
            "node.plans",
            "keys and sealed plans of the nodes",
            &["lease"],
            (2, 120),
            plans,
        ),
    ];
    let nodes = skykeep_cloud::plan_nodes(&castle.cloud);
    let ids: Vec<String> = nodes.iter().map(|n| format!("node.{}", n.name)).collect();
    for (i, (node, id)) in nodes.iter().zip(&ids).enumerate() {
        let title = format!("machine {} at {} in {}", node.name, node.private_ip, node.zone);
        steps.push(step(
            id,
            &title,
            &["cloud.network", "node.plans"],
            (3, 300),
            move |e, p| machine(e, p, i),
        ));
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    steps.push(step("node.running", "all machines run", &ids, (20, 600), running));
    steps.push(step(
        "entry.targets",
        "the entry leads to the nodes",
        &["cloud.entry", "node.running"],
        (2, 120),
        targets,
    ));
    steps.push(step(
        "entry.ready",
        "the entry takes connections",
        &["entry.targets"],
        (150, 900),
        entry_ready,
    ));
    steps
}

async fn lease(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let deadline = Deadline::after(Duration::from_secs(200));
    let (lease, new) = estate.taker().take(deadline, &progress).await?;
    let generation = lease.generation();
    estate.generation.give(generation);
    estate.cloud.give(estate.cloud_for(generation, !new)?);
    estate.lease.give(lease);
    progress.note(format!("this run is {}", estate.run));
    Ok(format!(
        "{} generation {generation}",
        if new { "new" } else { "going on with" }
    ))
}

async fn network(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let from = [Ipv4Net::from(*estate.seen_from.get()?)];
    let network = estate
        .cloud
        .get()?
        .network(&from, &estate.castle.entry.ports, &progress)
        .await?;
    let outcome = format!("{} in {} zones", network.vpc_id, network.subnets.len());
    estate.network.give(network);
    Ok(outcome)
}

async fn entry(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let entry = estate
        .cloud
        .get()?
        .entry(estate.network.get()?, &estate.castle.entry.ports, &progress)
        .await?;
    let addresses: Vec<String> = entry.addresses.iter().map(ToString::to_string).collect();
    estate.entry.give(entry);
    Ok(addresses.join(", "))
}

/// Derives the cluster's keys, reads the journal, and puts one sealed plan per node into the state bucket.
async fn plans(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let generation = estate.generation.get()?;
    let pki = Pki::derive(&estate.castle.name, generation, &|label: &str| {
        estate.derive(generation, label)
    })?;
    estate.admin.give(pki.admin(jiff::Timestamp::now().as_second())?);
    estate.pki.give(pki);
    let journal = Journal::open(estate.s3.clone(), &estate.castle.name, generation, estate.journal_key()).await?;
    let runs = journal.entries().await.runs.len();
    estate.moves(journal.entries().await.moved);
    estate.journal.give(journal);
    launch::prepare_all(&estate).await?;
    Ok(match runs {
        0 => "sealed".into(),
        n => format!("sealed; {n} runs before this one"),
    })
}

async fn machine(estate: Arc<Estate>, progress: Progress, index: usize) -> Result<String, Trouble> {
    let nodes = estate.nodes();
    let node = nodes
        .get(index)
        .ok_or(crate::RebirthError::NotThere("the planned node"))?;
    lost::may_be_launched(&estate, &node.name).await?;
    let instance = launch::node(&estate, &node.name, &progress).await?;
    let outcome = instance.id.clone();
    if let Ok(mut launched) = estate.launched.lock() {
        launched.retain(|one| one.name != instance.name);
        launched.push(instance);
    }
    Ok(outcome)
}

/// Waits until all machines run; one that dies meanwhile is replaced at once, [`launch::TRIES`] times in all.
async fn running(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let mut launched = estate.launched.lock().map(|l| l.clone()).unwrap_or_default();
    launched.sort_by(|a, b| a.name.cmp(&b.name));
    let deadline = Deadline::after(Duration::from_secs(580));
    let mut replaced = 0;
    let nodes = loop {
        let waited = estate.cloud.get()?.nodes_running(&launched, deadline, &progress);
        let (name, error) = match waited.await {
            Ok(nodes) => break nodes,
            Err(CloudError::NodeDied { name, id, reason }) if replaced < launch::TRIES => {
                (name.clone(), CloudError::NodeDied { name, id, reason })
            }
            Err(error) => return Err(error.into()),
        };
        lost::may_be_made_anew(&estate, &name).await?;
        replaced += 1;
        progress.note(format!("{}: {}; it is replaced", error.what(), error.why()));
        if let Some(dead) = launched.iter().find(|one| one.name == name) {
            // A stopped one would be adopted again, and a dying one still has the address.
            estate.cloud.get()?.end_node(dead, deadline, &progress).await?;
        }
        let instance = launch::replacement(&estate, &name, &progress).await?;
        launched.retain(|one| one.name != name);
        launched.push(instance);
        launched.sort_by(|a, b| a.name.cmp(&b.name));
    };
    let outcome = format!("{} machines", nodes.len());
    estate.runs(nodes);
    launch::note_machines(&estate).await?;
    Ok(outcome)
}

async fn targets(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let nodes: Vec<_> = estate.running()?.into_iter().map(|(node, _)| node).collect();
    estate.cloud.get()?.register(estate.entry.get()?, &nodes).await?;
    Ok(format!("{} nodes behind it", nodes.len()))
}

async fn entry_ready(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let deadline = Deadline::after(Duration::from_secs(880));
    estate
        .cloud
        .get()?
        .entry_ready(estate.entry.get()?, deadline, &progress)
        .await?;
    Ok("active".into())
}
