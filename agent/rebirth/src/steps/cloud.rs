//! Lease, network, entry and machines.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ipnet::Ipv4Net;
use skykeep_aws::{Condition, Put};
use skykeep_cluster::{Pki, cry::mark, plan::Blueprint, seal, seal::NodeId, user_data::user_data};
use skykeep_core::{Deadline, Explained, Progress, Trouble, castle::Castle};

use super::step;
use crate::{
    engine::Step,
    estate::{Estate, attempt},
    lease::Lease,
};

/// A sealed node plan can be fetched for this long.
const BLOB_LIFE: Duration = Duration::from_secs(60 * 60);

pub(super) fn steps(castle: &Castle, checks: &[String]) -> Vec<Step<Estate>> {
    let checks: Vec<&str> = checks.iter().map(String::as_str).collect();
    let mut steps = vec![
        step("lease", "the lease of the castle", &checks, (1, 150), lease),
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
    let nodes = skykeep_cloud::plan_nodes(&castle.cloud.aws);
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
    let deadline = Deadline::after(Duration::from_secs(140));
    let (lease, new) = Lease::take(estate.s3.clone(), &estate.castle.name, &estate.run, deadline).await?;
    let generation = lease.generation().await;
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

/// Derives the cluster's keys and puts one sealed plan per node into the state bucket. Same root, same generation, same
/// quarter of time: same bytes, on any laptop.
async fn plans(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let generation = estate.generation.get()?;
    let derive = |label: &str| estate.derive(generation, label);
    let pki = Pki::derive(&estate.castle.name, generation, &derive)?;
    let nodes = estate.planned();
    let blueprint = Blueprint {
        castle: &estate.castle,
        lock: &estate.lock,
        generation,
        pki: &pki,
        nodes: &nodes,
    };
    let agent = estate.lock.artifact("skykeep")?;
    let (attempt, from) = attempt(generation, SystemTime::now());
    let (mut all, mut marks) = (Vec::new(), BTreeMap::new());
    for node in &nodes {
        let id = NodeId::new(&estate.castle.name, generation, &node.name, attempt);
        let blob = seal::seal(&blueprint.node_plan(&node.name)?, &id, &derive)?;
        marks.insert(node.name.clone(), mark(&blob));
        let key = format!("{}/nodes/{generation}/{}-{attempt}", estate.castle.name, node.name);
        match estate.s3.put(&key, blob, Condition::Always).await? {
            Put::Done { .. } => {}
            other => return Err(refused(&key, &format!("{other:?}")).into()),
        }
        let url = estate.s3.presign_get(&key, from, BLOB_LIFE)?;
        all.push((
            node.name.clone(),
            user_data(agent, &url, &id.key(&derive), &id)?.into_bytes(),
        ));
    }
    let now = jiff::Timestamp::now().as_second();
    estate.admin.give(pki.admin(now)?);
    estate.pki.give(pki);
    estate.user_data.give(all);
    estate.plans.give(marks);
    Ok(format!("{} plans sealed, attempt {attempt}", nodes.len()))
}

fn refused(key: &str, why: &str) -> Explained {
    Explained {
        what: format!("The state bucket did not take `{key}`"),
        why: why.to_owned(),
        remedy: "Check the bucket's policy, then start again.".into(),
    }
}

async fn machine(estate: Arc<Estate>, progress: Progress, index: usize) -> Result<String, Trouble> {
    let nodes = skykeep_cloud::plan_nodes(&estate.castle.cloud.aws);
    let node = nodes
        .get(index)
        .ok_or(crate::RebirthError::NotThere("the planned node"))?;
    let all = estate.user_data.get()?;
    let (_, user_data) = all
        .iter()
        .find(|(name, _)| *name == node.name)
        .ok_or(crate::RebirthError::NotThere("its user data"))?;
    let (attempt, _) = attempt(estate.generation.get()?, SystemTime::now());
    let network = estate.network.get()?;
    let instance = estate
        .cloud
        .get()?
        .node(network, node, user_data, attempt, &progress)
        .await?;
    let outcome = instance.id.clone();
    if let Ok(mut launched) = estate.launched.lock() {
        launched.push(instance);
    }
    Ok(outcome)
}

async fn running(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let mut launched = estate.launched.lock().map(|l| l.clone()).unwrap_or_default();
    launched.sort_by(|a, b| a.name.cmp(&b.name));
    let deadline = Deadline::after(Duration::from_secs(580));
    let nodes = estate
        .cloud
        .get()?
        .nodes_running(&launched, deadline, &progress)
        .await?;
    let outcome = format!("{} machines", nodes.len());
    estate.nodes.give(nodes);
    Ok(outcome)
}

async fn targets(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let nodes = estate.nodes.get()?;
    estate.cloud.get()?.register(estate.entry.get()?, nodes).await?;
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
