//! Generations that nobody works on any more and that still cost money.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use skykeep_cloud::{Thing, cost};
use skykeep_core::{Deadline, Explained, Generation, Progress, Trouble};

use crate::{
    estate::Estate,
    lease::{self, Phase},
};

/// A generation that has something in the cloud.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// Which one; a ULID, so it says when it was born.
    pub generation: Generation,
    /// Whether the castle's lease names it.
    pub current: bool,
    /// What of it is there.
    pub things: Vec<Thing>,
}

impl Standing {
    /// One line for people: since when, what, and what that costs.
    pub fn text(&self) -> String {
        let born = jiff::Timestamp::from_second(self.generation.began()).unwrap_or_default();
        let word = if self.current { "the castle's" } else { "an ORPHAN" };
        format!(
            "{}: {word}, born {born}: {}",
            self.generation,
            cost::summary(&self.things)
        )
    }
}

/// Every generation of the castle that has something in the cloud, the oldest first. Changes nothing.
pub async fn generations(estate: &Estate) -> Result<Vec<Standing>, Trouble> {
    let lease = lease::peek(&*estate.s3, &estate.castle.name).await?.map(|f| f.record);
    let living = lease.filter(|r| r.state != Phase::Destroyed).map(|r| r.generation);
    let any = living.unwrap_or_else(|| Generation::new(0, 0));
    let mut all = Vec::new();
    for generation in estate.cloud_for(any, false)?.generations().await? {
        let things = estate.cloud_for(generation, false)?.inventory().await?;
        if !things.is_empty() {
            let current = living == Some(generation);
            all.push(Standing {
                generation,
                current,
                things,
            });
        }
    }
    Ok(all)
}

/// Takes down a generation that the castle's lease does not name. Returns how many things there were.
pub async fn destroy_orphan(estate: Arc<Estate>, generation: Generation, progress: Progress) -> Result<usize, Trouble> {
    let lease = lease::peek(&*estate.s3, &estate.castle.name).await?.map(|f| f.record);
    if lease.is_some_and(|r| r.generation == generation && r.state != Phase::Destroyed) {
        return Err(Explained {
            what: "Nothing was destroyed".into(),
            why: format!("{generation} is the castle's present generation, no orphan"),
            remedy: "Say `skykeep destroy` without `--generation` when it is to go.".into(),
        }
        .into());
    }
    // No lease: nobody can work on a generation that it does not name, and to destroy twice at once does no harm.
    let cloud = estate.cloud_for(generation, true)?;
    let things = cloud.inventory().await?.len();
    let deadline = Deadline::after(Duration::from_secs(1800));
    cloud.destroy(deadline, &progress).await?;
    Ok(things)
}
