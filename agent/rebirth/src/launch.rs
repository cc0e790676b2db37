//! From a planned node to its launch: sealed plan, user data, attempt number.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use futures::future::try_join_all;
use skykeep_aws::{Condition, Put};
use skykeep_cloud::{CloudError, Instance, PlannedNode};
use skykeep_cluster::{cry::mark, plan::Blueprint, seal, seal::NodeId, user_data::user_data};
use skykeep_core::{Explain, Explained, Progress, Trouble};

use crate::{
    estate::Estate,
    journal::{Attempt, Entries},
    member, mirror,
};

/// A sealed node plan can be fetched for this long.
const BLOB_LIFE: Duration = Duration::from_secs(60 * 60);
/// An attempt this old is not launched any more: its node would come too late for its plan.
const FRESH: Duration = Duration::from_secs(45 * 60);
/// How often one step launches one node anew when an attempt turns out to be used up.
pub(crate) const TRIES: u32 = 3;

/// What a launch needs.
pub struct Launch {
    /// From 1.
    pub attempt: u32,
    /// The bytes: the same on every laptop for the same attempt.
    pub user_data: Vec<u8>,
    /// The mark of the sealed plan that this user data leads to.
    pub mark: String,
    /// Whether this run has begun the attempt: nobody can have launched it before.
    pub new: bool,
}

/// Puts the sealed plan of every node into the state bucket, for the attempt that the journal says.
pub(crate) async fn prepare_all(estate: &Estate) -> Result<(), Trouble> {
    let names: Vec<String> = estate.planned().into_iter().map(|n| n.name).collect();
    let gone = member::gone(estate).await?;
    let now = now();
    let attempts = estate.journal.get()?.update(|entries| {
        if let Some(run) = entries.run(&estate.run) {
            run.began = now;
            run.from = estate.seen_from.get().map(ToString::to_string).unwrap_or_default();
        }
        entries.anew.extend(gone.clone());
        let attempt = |name: &String| {
            let used_up = gone
                .contains_key(name)
                .then(|| entries.attempts.get(name).map_or(0, |last| last.number));
            entries.attempt(name, used_up, now, FRESH)
        };
        names.iter().map(attempt).collect::<Vec<_>>()
    });
    let attempts = attempts.await?;
    try_join_all(
        names
            .iter()
            .zip(attempts)
            .map(|(name, attempt)| seal_plan(estate, name, attempt, attempt.from == now)),
    )
    .await?;
    Ok(())
}

/// Launches a node, or finds it. An attempt that a dead node has used up is followed by the next one at once.
/// One whose zone has no machine for it goes to another zone.
pub(crate) async fn node(estate: &Estate, name: &str, progress: &Progress) -> Result<Instance, Trouble> {
    let mut tries = 0;
    let mut full = BTreeSet::new();
    loop {
        let (attempt, user_data) = prepared(estate, name)?;
        let network = estate.network.get()?;
        let cloud = estate.cloud.get()?;
        let nodes = estate.nodes();
        let node = nodes.iter().find(|node| node.name == name);
        let node = node.ok_or(crate::RebirthError::NotThere("the planned node"))?;
        let error = match cloud.node(network, node, &user_data, attempt, progress).await {
            Ok(instance) => return Ok(instance),
            Err(error @ CloudError::NoCapacity { .. }) => {
                full.insert(node.zone.clone());
                let Some(zone) = moved(estate, node, &full).await? else {
                    return Err(error.into());
                };
                progress.note(format!(
                    "{}: {}; node {name} goes to {zone}, the castle stands in fewer zones than planned",
                    error.what(),
                    error.why()
                ));
                continue;
            }
            Err(error) => error,
        };
        tries += 1;
        if !error.uses_attempt_up() || tries >= TRIES {
            return Err(error.into());
        }
        progress.note(format!(
            "attempt {attempt} is used up ({}): {}",
            error.what(),
            error.why()
        ));
        next_attempt(estate, name, attempt).await?;
    }
}

/// Plans a node for another zone than those that are full, and seals its plan anew; `None` when there is none, or etcd could not live with it.
async fn moved(estate: &Estate, node: &PlannedNode, full: &BTreeSet<String>) -> Result<Option<String>, Trouble> {
    // Two that move at once must not both take the last place of a zone.
    let _alone = estate.moving.lock().await;
    let zone = skykeep_cloud::elsewhere(&estate.castle.cloud, &estate.nodes(), &node.name, full);
    let Some(zone) = zone else { return Ok(None) };
    let Some(anew) = member::at_another_address(estate, &node.name).await? else {
        return Ok(None);
    };
    let journal = estate.journal.get()?;
    let (number, zones) = journal
        .update(|entries| {
            entries.anew.extend(anew.clone());
            entries.moved.insert(node.name.clone(), zone.clone());
            (entries.attempts.get(&node.name).copied(), entries.moved.clone())
        })
        .await?;
    estate.moves(zones);
    let attempt = number.ok_or(crate::RebirthError::NotThere("the node's attempt"))?;
    seal_plan(estate, &node.name, attempt, true).await?;
    Ok(Some(zone))
}

/// Launches a node again that came to its end after its launch.
pub(crate) async fn replacement(estate: &Estate, name: &str, progress: &Progress) -> Result<Instance, Trouble> {
    let (attempt, _) = prepared(estate, name)?;
    next_attempt(estate, name, attempt).await?;
    node(estate, name, progress).await
}

/// Writes down which machines run, so that the next run knows which are gone.
pub(crate) async fn note_machines(estate: &Estate) -> Result<(), Trouble> {
    let running = estate.running()?;
    let note = |entries: &mut Entries| {
        let ids = running.iter().map(|(node, _)| (node.name.clone(), node.id.clone()));
        entries.machines.extend(ids);
    };
    estate.journal.get()?.update(note).await
}

/// Whether the present attempt at this node was begun by this run.
pub(crate) fn is_new(estate: &Estate, name: &str) -> bool {
    let launches = estate.launches.lock();
    launches.is_ok_and(|launches| launches.get(name).is_some_and(|launch| launch.new))
}

fn prepared(estate: &Estate, name: &str) -> Result<(u32, Vec<u8>), Trouble> {
    let launches = estate
        .launches
        .lock()
        .map_err(|_| crate::RebirthError::NotThere("the node's launch"))?;
    let launch = launches
        .get(name)
        .ok_or(crate::RebirthError::NotThere("the node's launch"))?;
    Ok((launch.attempt, launch.user_data.clone()))
}

async fn next_attempt(estate: &Estate, name: &str, used_up: u32) -> Result<(), Trouble> {
    let anew = member::next(estate, name).await?;
    let now = now();
    let attempt = estate.journal.get()?.update(|entries| {
        entries.anew.extend(anew.clone());
        entries.attempt(name, Some(used_up), now, FRESH)
    });
    seal_plan(estate, name, attempt.await?, true).await
}

/// Same root, same generation, same attempt: same bytes, on any laptop.
async fn seal_plan(estate: &Estate, name: &str, attempt: Attempt, new: bool) -> Result<(), Trouble> {
    let generation = estate.generation.get()?;
    let derive = |label: &str| estate.derive(generation, label);
    let nodes = estate.planned();
    let from = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(attempt.from).unwrap_or_default());
    // Signed for the attempt's moment, not for ours: the plan's bytes are the same on every laptop.
    let sources = mirror::sources(estate, from, BLOB_LIFE)?;
    let entries = estate.journal.get()?.entries().await;
    let joins = entries
        .anew
        .into_iter()
        .filter_map(|(name, joins)| joins.then_some(name));
    let joins = joins.collect();
    let blueprint = Blueprint {
        castle: &estate.castle,
        lock: &estate.lock,
        generation,
        pki: estate.pki.get()?,
        nodes: &nodes,
        first: &estate.planned_first(),
        joins: &joins,
        sources: &sources,
    };
    let id = NodeId::new(&estate.castle.name, generation, name, attempt.number);
    let blob = seal::seal(&blueprint.node_plan(name)?, &id, &derive)?;
    let mark = mark(&blob);
    let key = format!("{}/nodes/{generation}/{name}-{}", estate.castle.name, attempt.number);
    match estate.s3.put(&key, blob, Condition::Always).await? {
        Put::Done { .. } => {}
        other => return Err(refused(&key, &format!("{other:?}")).into()),
    }
    let url = estate.s3.presign_get(&key, from, BLOB_LIFE)?;
    let agent = estate.lock.artifact("skykeep")?;
    let copy = sources.copies.get(&agent.sha256).map(String::as_str);
    let bytes = user_data(agent, copy, &url, &id.key(&derive), &id)?.into_bytes();
    if let Ok(mut launches) = estate.launches.lock() {
        let attempt = attempt.number;
        launches.insert(
            name.to_owned(),
            Launch {
                attempt,
                user_data: bytes,
                mark,
                new,
            },
        );
    }
    Ok(())
}

fn refused(key: &str, why: &str) -> Explained {
    Explained {
        what: format!("The state bucket did not take `{key}`"),
        why: why.to_owned(),
        remedy: "Check the bucket's policy, then start again.".into(),
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
