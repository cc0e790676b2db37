//! The drill: every backup is restored into a folder of this machine and verified. A backup that nobody restored is no backup.

use std::{fmt::Write, path::Path, time::Duration};

use serde::Serialize;
use skykeep_core::{
    Explained, Progress, Trouble,
    castle::{Backup, Treasure},
};
use skykeep_restore::{drill, job::Outcome};
use tokio::time::Instant;

use crate::{
    estate::Estate,
    longhorn,
    rpo::Age,
    treasure::{bucket, spec},
};

/// How the drill of one treasure ended.
#[derive(Debug, Serialize)]
pub struct Drilled {
    /// The treasure.
    pub treasure: String,
    /// Whether it came back whole, and from a backup that is young enough.
    pub good: bool,
    /// What came back, verified.
    pub outcome: Option<Outcome>,
    /// How old the backup is.
    pub age: Option<Age>,
    /// How long it took, seconds.
    pub took_s: u64,
    /// What castle.yaml plans, seconds.
    pub planned_s: u64,
    /// Why it did not come back.
    pub error: Option<Explained>,
}

/// Restores the named treasures (all of them when none is named) into folders below `into`, one after the other, and verifies
/// each; `keep` leaves them there. Changes nothing else anywhere.
pub async fn drill(
    estate: &Estate,
    into: &Path,
    names: &[String],
    keep: bool,
    progress: &Progress,
) -> Result<Vec<Drilled>, Trouble> {
    let treasures = &estate.castle.treasures;
    if let Some(unknown) = names.iter().find(|n| treasures.iter().all(|t| t.name != **n)) {
        return Err(Explained {
            what: "Nothing was restored".into(),
            why: format!("castle.yaml has no treasure `{unknown}`"),
            remedy: "Look at `treasures` in castle.yaml; without a name all of them are tried.".into(),
        }
        .into());
    }
    let wanted = treasures.iter().filter(|t| names.is_empty() || names.contains(&t.name));
    let mut all = Vec::new();
    for treasure in wanted {
        progress.note(format!("`{}` is restored below {}", treasure.name, into.display()));
        let begin = Instant::now();
        let ended = one(estate, treasure, &into.join(&treasure.name), keep, progress).await;
        all.push(judge(treasure, ended, begin.elapsed(), jiff::Timestamp::now()));
    }
    Ok(all)
}

async fn one(
    estate: &Estate,
    treasure: &Treasure,
    folder: &Path,
    keep: bool,
    progress: &Progress,
) -> Result<Outcome, Trouble> {
    let outcome = match treasure.backup() {
        Some(Backup::Restic(restic)) => {
            let password = estate.secrets.get(&restic.password)?;
            let s3 = bucket(estate, restic)?;
            drill::into_folder(s3, password, &spec(restic), folder, progress.clone()).await?
        }
        Some(Backup::Longhorn(volume)) => longhorn::drill(estate, volume, folder, progress).await?,
        Some(Backup::Postgres(_)) | None => return Err(no_drill(&treasure.name).into()),
    };
    if !keep {
        drill::discard(folder)?;
    }
    Ok(outcome)
}

/// What was not tried is not good.
fn no_drill(name: &str) -> Explained {
    Explained {
        what: format!("`{name}` was not tried"),
        why: "it is a database, and a drill restores files only".into(),
        remedy: "Restore it with `pgbackrest restore` into an empty folder by hand, or rehearse the castle.".into(),
    }
}

fn judge(treasure: &Treasure, ended: Result<Outcome, Trouble>, took: Duration, now: jiff::Timestamp) -> Drilled {
    let (outcome, error) = match ended {
        Ok(outcome) => (Some(outcome), None),
        Err(trouble) => (None, Some(trouble.explained())),
    };
    let age = outcome.as_ref().and_then(|o| Age::of(treasure, &o.time, now));
    Drilled {
        treasure: treasure.name.clone(),
        // An age that can't be told is none that is young enough.
        good: error.is_none() && age.as_ref().is_some_and(|age| !age.older),
        outcome,
        age,
        took_s: took.as_secs(),
        planned_s: treasure.budget().as_secs(),
        error,
    }
}

impl Drilled {
    /// For people; three more lines when it failed.
    pub fn text(&self) -> String {
        let word = if self.good { "good" } else { "BAD " };
        let mut text = format!("{word} {:<20}", self.treasure);
        // Writing into a String can't fail.
        if let Some(o) = &self.outcome {
            let id = o.snapshot.get(..8).unwrap_or_default();
            let _ = write!(text, " {id}: {} files, {} bytes, verified", o.files, o.bytes);
        }
        if let Some(age) = &self.age {
            let _ = write!(text, "; {}", age.text());
        }
        let _ = write!(text, "; took {} s, planned {} s", self.took_s, self.planned_s);
        if let Some(error) = &self.error {
            let _ = write!(text, "\n{error}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skykeep_core::castle::Castle;

    fn judged(rpo_hours: Option<u32>, ended: Result<Outcome, Trouble>) -> Drilled {
        let castle = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
        let treasure = Treasure {
            rpo_hours,
            budget_minutes: None,
            ..castle.treasures[0].clone()
        };
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        judge(&treasure, ended, Duration::from_secs(7), now)
    }

    fn back(time: &str) -> Result<Outcome, Trouble> {
        Ok(Outcome {
            snapshot: "968bcabd2878673d".into(),
            time: time.into(),
            files: 202,
            bytes: 21_000_000,
            folders: 3,
            others: 0,
            attributes_left_out: 0,
        })
    }

    #[test]
    fn a_drill_is_good_only_when_the_data_is_whole_and_young_enough() {
        let failed = Err(Explained {
            what: "The restic repository in b/restic is damaged".into(),
            why: "pack ab is missing".into(),
            remedy: "Check it.".into(),
        }
        .into());
        let all = [
            judged(Some(24), back("2026-11-30T03:00:00Z")),
            judged(Some(24), back("2026-11-20T03:00:00Z")),
            judged(None, back("2026-11-20T03:00:00Z")),
            judged(None, back("some day")),
            judged(Some(24), failed),
        ];
        assert_eq!(all.each_ref().map(|d| d.good), [true, false, true, false, false]);
        insta::assert_snapshot!(all.each_ref().map(Drilled::text).join("\n"));
    }
}
