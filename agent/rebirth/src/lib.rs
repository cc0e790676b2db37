//! The rebirth: the graph of steps from an open vault to a proven castle.
//!
//! It knows every capability and does no I/O of its own. Inputs: the owner's part and its secrets. Outputs: a plan, a
//! report, and a castle.

mod database;
mod drill;
pub mod engine;
mod error;
mod estate;
mod forecast;
mod health;
pub mod journal;
mod keys;
mod launch;
pub mod lease;
pub mod lineage;
mod longhorn;
mod member;
pub mod mirror;
mod names;
mod operated;
mod orphans;
pub mod pulse;
mod records;
mod release;
mod restored;
mod revision;
mod rpo;
mod sealed;
mod status;
mod steps;
pub mod store;
mod treasure;
pub mod vaults;
mod writers;

use std::{sync::Arc, time::Duration};

use skykeep_core::{Deadline, Explained, Progress, Trouble, castle::Castle};

pub use drill::{Drilled, drill};
pub use error::RebirthError;
pub use estate::Estate;
pub use forecast::{Forecast, forecast};
pub use names::{Way, WayBack, go_back, keep_again, way_back};
pub use orphans::{Standing, destroy_orphan, generations};
pub use records::{Kept, last_report};
pub use release::{Given, Piece, Shown, Wish};
pub use restored::{Restored, restored};
pub use revision::Revision;
pub use rpo::Age;
pub use status::{Status, status};

use engine::{Graph, GraphError, Report};
use lease::{Lease, Phase};

/// How a run of `apply` ended.
pub enum Applied {
    /// The castle stood already, as it should: nothing was changed.
    NothingToDo(Status),
    /// Steps were run; the report says how they ended.
    Ran(Report),
}

impl Applied {
    /// The step at which the run stopped, and its error.
    pub fn failure(&self) -> Option<(&str, &Explained)> {
        match self {
            Applied::NothingToDo(_) => None,
            Applied::Ran(report) => report.failure().map(|(step, error)| (step.as_str(), error)),
        }
    }
}

/// The steps of a rebirth of this castle.
pub fn graph(castle: &Castle) -> Result<Graph<Estate>, GraphError> {
    steps::rebirth(castle)
}

/// Uses every credential once and reads every index. Changes nothing.
pub async fn preflight(estate: Arc<Estate>, progress: Progress) -> Result<Report, Trouble> {
    Ok(steps::preflight(&estate.castle)?.run(estate, progress).await)
}

/// Brings the castle to life, or goes on where an earlier run was interrupted. When it is alive and well, changes nothing.
pub async fn apply(estate: Arc<Estate>, progress: Progress) -> Result<Applied, Trouble> {
    let now = status(&estate).await?;
    if now.is_well() {
        return Ok(Applied::NothingToDo(now));
    }
    let graph = steps::rebirth(&estate.castle)?;
    Ok(Applied::Ran(run(graph, estate, progress).await))
}

/// Restores a treasure once more into the castle that stands, over whatever its claim holds.
pub async fn restore_again(estate: Arc<Estate>, treasure: &str, progress: Progress) -> Result<Report, Trouble> {
    let refused = |why: String| Explained {
        what: "Nothing was restored".into(),
        why,
        remedy: "Look at `treasures` in castle.yaml and at `skykeep status`.".into(),
    };
    let named = estate.castle.treasures.iter().position(|t| t.name == treasure);
    let index = named.ok_or_else(|| refused(format!("castle.yaml has no treasure `{treasure}`")))?;
    let found = lease::peek(&*estate.s3, &estate.castle.name).await?;
    if found.is_none_or(|f| f.record.state == Phase::Destroyed) {
        return Err(refused("no castle stands that it could go into".into()).into());
    }
    let graph = steps::again(&estate.castle, index)?;
    Ok(run(graph, estate, progress).await)
}

/// How giving a castle back to Git ended.
pub struct Released {
    /// What was done.
    pub report: Report,
    /// What stood between Git and the castle before.
    pub shown: Option<Shown>,
    /// What was given back, when all of it was wanted.
    pub given: Option<Given>,
}

/// Shows what stands between Git and the castle, and takes as much of it away as somebody wishes.
pub async fn release(estate: Arc<Estate>, wish: &Wish, progress: Progress) -> Result<Released, Trouble> {
    let found = lease::peek(&*estate.s3, &estate.castle.name).await?;
    if found.is_none_or(|f| f.record.state != Phase::Alive) {
        return Err(Explained {
            what: "There is nothing to give back".into(),
            why: "no castle is alive: none was born, or its rebirth is not done".into(),
            remedy: "Bring it to its end with `skykeep apply` first.".into(),
        }
        .into());
    }
    let report = run(steps::release(&estate.castle, wish)?, estate.clone(), progress).await;
    Ok(Released {
        report,
        shown: estate.shown.get().ok().cloned(),
        given: estate.given.get().ok().cloned(),
    })
}

/// What a person should be asked before the names move, because only they can know it: nothing says that the old castle is
/// dead, or it lives. `None` when nobody has to be asked. Changes nothing.
pub async fn doubt_about_the_old_castle(estate: &Estate) -> Result<Option<String>, Trouble> {
    let Some(old) = steps::fence::Old::find(estate).await? else {
        return Ok(None);
    };
    Ok(match old.judge(estate).await? {
        pulse::Verdict::Lives(why) | pulse::Verdict::Unknown(why) => Some(why),
        pulse::Verdict::Silent(_) | pulse::Verdict::Watch(..) => None,
    })
}

/// The manifest of the pulse job, with its keys, for a castle called `name` that Skykeep did not build.
pub fn pulse_manifest(estate: &Estate, name: &str) -> Result<skykeep_core::Secret, Trouble> {
    steps::life::manifest(estate, name)
}

/// Runs a graph of steps under the lease that one of them takes: while it is not certainly ours nothing runs, when it is lost
/// or somebody wants the run to stop, everything is dropped. Keeps the report and gives the lease back.
pub async fn run(graph: Graph<Estate>, estate: Arc<Estate>, progress: Progress) -> Report {
    let run = graph.run_until(estate.clone(), progress.clone(), told_to_stop(&estate));
    let run = async {
        tokio::select! {
            report = run => report,
            never = looked_after(&estate, &progress) => match never {},
        }
    };
    let may = || estate.lease.get().map_or(true, Lease::lets_work);
    let report = lease::only_while(may, run).await;
    if let Ok(lease) = estate.lease.get() {
        if let Err(trouble) = records::keep(&estate, &report).await {
            progress.note(format!("the report was not kept: {}", trouble.explained().why));
        }
        // The next run need not wait for our lease to run out.
        if let Err(trouble) = lease.release(None).await {
            progress.note(format!("the lease was not given back: {}", trouble.explained().why));
        }
    }
    report
}

/// Looks after the control planes as long as the run goes on.
async fn looked_after(estate: &Estate, progress: &Progress) -> std::convert::Infallible {
    steps::revive::watch(estate, progress).await;
    std::future::pending().await
}

/// Ends when this run must stop: the lease is lost, or a person wants it.
async fn told_to_stop(estate: &Estate) -> Explained {
    let mut stop = estate.stop.subscribe();
    let lost = async {
        loop {
            if let Ok(lease) = estate.lease.get() {
                return lease.lost().await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        trouble = lost => trouble.explained(),
        Ok(why) = stop.wait_for(Option::is_some) => why.clone().unwrap_or_else(|| Explained {
            what: "The run was stopped".into(),
            why: "somebody asked for it".into(),
            remedy: "Start again: it goes on from here.".into(),
        }),
    }
}

/// Takes down exactly what the castle's generation created. Returns how many things there were.
pub async fn destroy(estate: Arc<Estate>, progress: Progress) -> Result<usize, Trouble> {
    let found = lease::peek(&*estate.s3, &estate.castle.name).await?;
    if found.is_none_or(|f| f.record.state == Phase::Destroyed && f.record.released) {
        return Ok(0);
    }
    let deadline = Deadline::after(Duration::from_secs(200));
    let (lease, _) = estate.taker().take(deadline, &progress).await?;
    let generation = lease.generation();
    estate.generation.give(generation);
    let cloud = estate.cloud_for(generation, true)?;
    let things = cloud.inventory().await?.len();
    let taken_down = cloud.destroy(Deadline::after(Duration::from_secs(1800)), &progress);
    lease.hold(taken_down).await??;
    let prefix = format!("{}/nodes/{generation}/", estate.castle.name);
    for entry in estate.s3.list(&prefix).await? {
        estate.s3.delete(&entry.key).await?;
    }
    pulse::end(&estate, &generation).await?;
    lease.release(Some(Phase::Destroyed)).await?;
    Ok(things)
}
