//! One story: a rebirth is cut, goes on on the next laptop, is asked for once more, and is destroyed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Result, anyhow, ensure};
use futures::StreamExt;
use skykeep_core::{Event, Progress};
use skykeep_rebirth::{
    Estate,
    engine::{Graph, Report},
};

use crate::world::{Owner, World};

/// Steps that need nodes, a Git server, a backup or public resolvers. Here they only take their time; the restore keeps a ledger in
/// the world, as the real one does in the cluster. `node.sealed`, which works on the bucket, is the real one.
pub const SCRIPTED: [&str; 19] = [
    "check.git",
    "check.images",
    "check.site",
    "check.db",
    "cluster.api",
    "cluster.network",
    "cluster.guard",
    "cluster.pulse",
    "cluster.nodes",
    "cluster.quorum",
    "cluster.whole",
    "gates",
    "flux.contract",
    "flux.controllers",
    "flux.sync",
    "flux.layers",
    "apps",
    "health",
    "dns.verify",
];
/// Scripted too, with a ledger.
pub const RESTORES: [&str; 2] = ["restore.site", "restore.db"];

/// When a run is cut.
#[derive(Debug, Clone)]
pub enum Cut {
    /// The moment this step begins.
    Begin(String),
    /// The moment this step has ended.
    End(String),
    /// At any moment: this many events after the start, and then this much later. Counted in events and not in time alone, so
    /// that a busy machine cuts where an idle one does.
    Amid(usize, Duration),
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cut::Begin(step) => write!(f, "as `{step}` began"),
            Cut::End(step) => write!(f, "as `{step}` ended"),
            Cut::Amid(events, later) => write!(f, "{} ms after event {events}", later.as_millis()),
        }
    }
}

/// What stood in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that had ended when the cut fell.
    pub done: usize,
    /// Whether another laptop, at another address, went on.
    pub elsewhere: bool,
    /// Instances, load balancers, networks.
    pub stands: [usize; 3],
    /// Restores that came to their end.
    pub restores: usize,
    /// Batches of DNS changes: lowering the TTL, moving the names.
    pub batches: u32,
    /// Addresses that the name leads to.
    pub records: usize,
    /// What was left in the cloud after `destroy`.
    pub orphans: Vec<String>,
}

impl Outcome {
    /// What must be, wherever the cut fell.
    pub fn is_right(&self) -> bool {
        self.stands == [5, 1, 1]
            && self.restores == RESTORES.len()
            && self.batches == 2
            && self.records == 3
            && self.orphans.is_empty()
    }
}

/// The graph of the example castle, scripted where it must be.
pub fn graph(world: &Arc<World>, estate: &Estate) -> Result<Graph<Estate>> {
    let mut steps = skykeep_rebirth::graph(&estate.castle)
        .map_err(|e| anyhow!("{e:?}"))?
        .into_steps();
    for step in &mut steps {
        if SCRIPTED.contains(&step.id.as_str()) {
            step.work = Box::new(|_, _| {
                Box::pin(async {
                    tokio::time::sleep(Duration::from_millis(60)).await;
                    Ok("scripted".into())
                })
            });
        } else if RESTORES.contains(&step.id.as_str()) {
            let (world, id) = (world.clone(), step.id.clone());
            step.work = Box::new(move |_, _| {
                let (world, id) = (world.clone(), id.clone());
                Box::pin(async move {
                    if world.restores().contains(&id) {
                        return Ok("was restored before: left alone".into());
                    }
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    world.restores().push(id);
                    Ok("scripted".into())
                })
            });
        }
    }
    Graph::new(steps).map_err(|e| anyhow!("{e:?}"))
}

/// Every step of the example castle, in the order of its graph.
pub fn step_ids() -> Result<Vec<String>> {
    let graph = skykeep_rebirth::graph(&crate::world::castle()?).map_err(|e| anyhow!("{e:?}"))?;
    Ok(graph.outline().into_iter().map(|s| s.id).collect())
}

/// A run that nobody cuts; it must end well.
pub async fn run_through(world: &Arc<World>, owner: &Owner) -> Result<Report> {
    let estate = world.estate(owner).await?;
    let report = skykeep_rebirth::run(graph(world, &estate)?, estate, Progress::silent()).await;
    if let Some((step, error)) = report.failure() {
        return Err(anyhow!("the run failed at {step}: {error}"));
    }
    Ok(report)
}

/// Begins a run and drops it at the cut, as a power cut would. Says how many steps had ended.
async fn run_until_cut(world: &Arc<World>, owner: &Owner, cut: &Cut) -> Result<usize> {
    let estate = world.estate(owner).await?;
    let (progress, mut events) = Progress::channel("cut");
    let run = tokio::spawn(skykeep_rebirth::run(graph(world, &estate)?, estate, progress));
    let (mut done, mut heard) = (0, 0);
    loop {
        if let Cut::Amid(after, later) = cut
            && heard >= *after
        {
            tokio::time::sleep(*later).await;
            break;
        }
        let event = tokio::time::timeout(Duration::from_secs(120), events.recv()).await?;
        heard += 1;
        match (event, cut) {
            (Ok(Event::Finished { step, .. }), cut) => {
                done += 1;
                if matches!(cut, Cut::End(at) if *at == step) {
                    break;
                }
            }
            (Ok(Event::Started { step, .. }), Cut::Begin(at)) if *at == step => break,
            (Ok(_), _) => {}
            // The run has ended before.
            (Err(_), _) => break,
        }
    }
    run.abort();
    let _ = run.await;
    Ok(done)
}

/// How many events a run has that nobody cuts.
pub async fn events_of_a_run(world: &Arc<World>, owner: &Owner) -> Result<usize> {
    let estate = world.estate(owner).await?;
    let (progress, mut events) = Progress::channel("whole");
    let report = skykeep_rebirth::run(graph(world, &estate)?, estate, progress).await;
    if let Some((step, error)) = report.failure() {
        return Err(anyhow!("the run failed at {step}: {error}"));
    }
    let mut heard = 0;
    while events.try_recv().is_ok() {
        heard += 1;
    }
    Ok(heard)
}

/// The whole story of one cut.
pub async fn tell(owner: &Owner, cut: &Cut, elsewhere: bool) -> Result<Outcome> {
    let world = World::new().await?;
    let done = run_until_cut(&world, owner, cut).await?;
    // Minutes later, by the store's clock: the lease of the run that was cut has run out.
    world.bucket.pass(Duration::from_secs(180));
    if elsewhere {
        world.laptop_at("203.0.113.99");
    }
    run_through(&world, owner).await?;
    // Once more: everything stands, nothing may be made again.
    run_through(&world, owner).await?;
    let inventory = world.double.inventory();
    let count = |kind: &str| {
        inventory
            .iter()
            .filter(|line| line.starts_with(&format!("{kind} ")))
            .count()
    };
    let stands = [count("instance"), count("load-balancer"), count("vpc")];
    ensure!(
        world.backend.memory().instances.len() == stands[0],
        "machines and instances differ"
    );
    let records = world.cloudflare.records().await;
    let records = records
        .iter()
        .filter(|r| r.name == "blog.rossi.example" && r.kind == "A")
        .count();
    let estate = world.estate(owner).await?;
    skykeep_rebirth::destroy(estate, Progress::silent())
        .await
        .map_err(|e| anyhow!("destroy: {e}"))?;
    let mut orphans = world.double.inventory();
    orphans.extend(world.bucket.keys().into_iter().filter(|key| key.contains("/nodes/")));
    Ok(Outcome {
        done,
        elsewhere,
        stands,
        restores: world.restores().len(),
        batches: world.batches.load(Ordering::SeqCst),
        records,
        orphans,
    })
}

/// Tells the stories of a series, a few at a time; every third goes on elsewhere.
pub async fn tell_all(owner: Arc<Owner>, cuts: Vec<Cut>) -> Vec<(Cut, Result<Outcome>)> {
    let stories = cuts.into_iter().enumerate().map(|(i, cut)| {
        let owner = owner.clone();
        async move {
            let story = tokio::spawn({
                let cut = cut.clone();
                async move { tell(&owner, &cut, i % 3 == 2).await }
            });
            let outcome = story.await.unwrap_or_else(|e| Err(anyhow!("the story broke off: {e}")));
            (cut, outcome)
        }
    });
    futures::stream::iter(stories).buffered(20).collect().await
}

/// Where the cuts of a series fall: by turns at a step's beginning, at a step's end, and at any moment of a run of so many events.
pub fn cuts(seed: u64, number: usize, events: usize, steps: &[String]) -> Vec<Cut> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut roll = |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap_or(0) % below.max(1)
    };
    (0..number)
        .map(|i| match i % 4 {
            0 => Cut::Begin(steps.get(roll(steps.len())).cloned().unwrap_or_default()),
            1 => Cut::End(steps.get(roll(steps.len())).cloned().unwrap_or_default()),
            _ => Cut::Amid(
                roll(events),
                Duration::from_millis(u64::try_from(roll(40)).unwrap_or(0)),
            ),
        })
        .collect()
}
