//! The rebirth: the graph of steps from an open vault to a proven castle.
//!
//! It knows every capability and does no I/O of its own. Inputs: the owner's part and its secrets. Outputs: a plan, a
//! report, and a castle.

pub mod engine;
mod error;
mod estate;
mod health;
pub mod lease;
mod records;
mod sealed;
mod status;
mod steps;
mod treasure;

use std::{sync::Arc, time::Duration};

use skykeep_core::{Deadline, Progress, Trouble, castle::Castle};

pub use error::RebirthError;
pub use estate::Estate;
pub use records::{Kept, last_report};
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
    let report = tokio::select! {
        report = graph.run(estate.clone(), progress.clone()) => report,
        trouble = keep_renewing(&estate) => return Err(trouble),
    };
    if let Ok(lease) = estate.lease.get() {
        if let Err(trouble) = records::keep(&estate, &report).await {
            progress.note(format!("the report was not kept: {}", trouble.explained().why));
        }
        // The next run need not wait for our lease to run out.
        if let Err(trouble) = lease.release(None).await {
            progress.note(format!("the lease was not given back: {}", trouble.explained().why));
        }
    }
    Ok(Applied::Ran(report))
}

/// Renews the lease while steps run; ends only when it is lost.
async fn keep_renewing(estate: &Estate) -> Trouble {
    loop {
        tokio::time::sleep(lease::TERM / 3).await;
        let Ok(lease) = estate.lease.get() else { continue };
        match lease.renew(None).await {
            Err(trouble) if !trouble.is_transient() => return trouble,
            _ => {}
        }
    }
}

/// Takes down exactly what the castle's generation created. Returns how many things there were.
pub async fn destroy(estate: Arc<Estate>, progress: Progress) -> Result<usize, Trouble> {
    let Some((record, _)) = lease::peek(&estate.s3, &estate.castle.name).await? else {
        return Ok(0);
    };
    if record.state == Phase::Destroyed {
        return Ok(0);
    }
    let deadline = Deadline::after(Duration::from_secs(140));
    let (lease, _) = Lease::take(estate.s3.clone(), &estate.castle.name, &estate.run, deadline).await?;
    let generation = lease.generation().await;
    estate.generation.give(generation);
    estate.lease.give(lease);
    let cloud = estate.cloud_for(generation, true)?;
    let things = cloud.inventory().await?.len();
    tokio::select! {
        done = cloud.destroy(Deadline::after(Duration::from_secs(1800)), &progress) => done?,
        trouble = keep_renewing(&estate) => return Err(trouble),
    }
    let prefix = format!("{}/nodes/{generation}/", estate.castle.name);
    for entry in estate.s3.list(&prefix).await? {
        estate.s3.delete(&entry.key).await?;
    }
    estate.lease.get()?.release(Some(Phase::Destroyed)).await?;
    Ok(things)
}
