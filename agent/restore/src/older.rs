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

/// The first of these others that is whole. `check` gives its name and when it was made; an error that `is_damage` says that this one is
/// not whole, every other one that nobody knows.
pub(crate) fn first_whole<T>(
    others: impl IntoIterator<Item = T>,
    (look, until): (Look, Instant),
    is_damage: impl Fn(&RestoreError) -> bool,
    mut check: impl FnMut(T) -> Result<(String, String), RestoreError>,
) -> Whole {
    for other in others {
        match check(other) {
            Ok((name, time)) => {
                let read = look == Look::Content;
                return Whole::Found { name, time, read };
            }
            Err(e) if is_damage(&e) && Instant::now() < until => {}
            Err(_) => return Whole::Unknown,
        }
    }
    Whole::None
}

/// An error once the time to look is over.
pub(crate) fn in_time(until: Instant) -> Result<(), RestoreError> {
    match Instant::now() > until {
        true => Err(RestoreError::Internal(
            "the time to look for a whole backup is over".into(),
        )),
        false => Ok(()),
    }
}

/// The newest other snapshot of what the spec names that is whole.
pub(crate) fn newest_whole(opened: &Opened, spec: &JobSpec, look: Look, patience: Duration) -> Whole {
    let until = Instant::now() + patience;
    let good = Mutex::new(BTreeSet::new());
    // That one is damaged, too, or does not have the path.
    let is_damage = |e: &RestoreError| matches!(e, RestoreError::Damaged { .. } | RestoreError::NoSnapshot { .. });
    first_whole(opened.others(spec), (look, until), is_damage, |snapshot| {
        let spec = JobSpec {
            snapshot,
            ..spec.clone()
        };
        let found = opened.find(&spec)?;
        let seen = survey(&found)?;
        if look == Look::Content {
            read(&found, &seen, &good, until)?;
        }
        Ok((spec.snapshot.chars().take(16).collect(), found.time()))
    })
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
        in_time(until)?;
        let id = want.id(seen)?;
        match id.blob_matches_reader(want.length.into(), &mut bytes) {
            true => known().insert(id),
            false => return Err(found.damaged(format!("piece {id} has another content"))),
        };
        Ok(())
    })
}
