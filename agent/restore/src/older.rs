//! When a backup is damaged: which other one of the same path is whole. Nobody wants to find that out by trying them one after the other
//! while the castle is down.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    RestoreError,
    job::JobSpec,
    repository::{Found, Opened},
    survey::{Survey, survey},
    write::{Plan, Reader},
};

/// How long the laptop looks, at the index alone.
pub(crate) const INDEX_PATIENCE: Duration = Duration::from_secs(60);
/// How long is looked.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// What is known of the other backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whole {
    /// This is the newest one that nothing is missing of.
    Found {
        /// Its name.
        name: String,
        /// When it was made, RFC 3339.
        time: String,
        /// Whether all its content was read, and not only its index.
        read: bool,
    },
    /// There is none.
    None,
    /// Not looked, or not to the end.
    Unknown,
}

impl Whole {
    /// What its owner can do; `pin` says how a backup is named in the castle file.
    pub(crate) fn remedy(&self, pin: &str) -> String {
        match self {
            Whole::Found { name, time, read } => {
                let seen = match read {
                    true => "all of it was read",
                    false => "nothing of it is missing, its content was not read",
                };
                format!(
                    "The newest backup that is whole is {name} of {time} ({seen}): set `{pin}: {name}` in castle.yaml and start again."
                )
            }
            Whole::None => {
                "No other backup of it is whole. Look for another copy of the bucket, or what its versioning has kept."
                    .into()
            }
            Whole::Unknown => "Another backup of it may be whole.".into(),
        }
    }
}

/// How closely is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Folders and index: seconds.
    Index,
    /// All content, which may be as much as a restore reads.
    Content,
}

/// The newest other snapshot of what the spec names that is whole.
pub(crate) fn newest_whole(opened: &Opened, spec: &JobSpec, look: Look, patience: Duration) -> Whole {
    let until = Instant::now() + patience;
    let good = Mutex::new(BTreeSet::new());
    for snapshot in opened.others(spec) {
        let spec = JobSpec {
            snapshot: snapshot.clone(),
            ..spec.clone()
        };
        let checked = opened.find(&spec).and_then(|found| {
            let seen = survey(&found)?;
            if look == Look::Content {
                read(&found, &seen, &good, until)?;
            }
            Ok(found.time())
        });
        match checked {
            Ok(time) => {
                return Whole::Found {
                    name: snapshot.chars().take(16).collect(),
                    time,
                    read: look == Look::Content,
                };
            }
            // That one is damaged, too, or does not have the path.
            Err(RestoreError::Damaged { .. } | RestoreError::NoSnapshot { .. }) if Instant::now() < until => {}
            Err(_) => return Whole::Unknown,
        }
    }
    Whole::None
}

/// Reads what was not read for another snapshot before.
fn read(
    found: &Found,
    seen: &Survey,
    good: &Mutex<BTreeSet<rustic_core::Id>>,
    until: Instant,
) -> Result<(), RestoreError> {
    let known = || good.lock().unwrap_or_else(PoisonError::into_inner);
    let mut plan = Plan::new(found, seen, None)?;
    plan.without(|want| want.id(seen).is_ok_and(|id| known().contains(&id)));
    Reader::new(found, seen).all(&plan.portions(), |want, mut bytes| {
        if Instant::now() > until {
            return Err(RestoreError::Internal(
                "the time to look for a whole backup is over".into(),
            ));
        }
        let id = want.id(seen)?;
        match id.blob_matches_reader(want.length.into(), &mut bytes) {
            true => known().insert(id),
            false => return Err(found.damaged(format!("piece {id} has another content"))),
        };
        Ok(())
    })
}
