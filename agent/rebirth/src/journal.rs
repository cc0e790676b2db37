//! The journal of a generation: what the next laptop must know and no cloud tells. Sealed and padded in the state bucket,
//! written by conditional writes only.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use skykeep_aws::{Condition, Put};
use skykeep_core::{Generation, Secret, Trouble};
use tokio::sync::Mutex;

use crate::{sealed, store::Store};

/// How many runs are remembered.
const RUNS: usize = 50;

/// What stands in the journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    /// Which attempt at each node is the present one.
    pub attempts: BTreeMap<String, Attempt>,
    /// The machine that each node was last seen running on: the cloud's id.
    #[serde(default)]
    pub machines: BTreeMap<String, String>,
    /// Whether the cluster's API has ever answered: from then on etcd has members that must not be forgotten.
    #[serde(default)]
    pub formed: bool,
    /// Control planes that were made anew: whether etcd on the present machine joins those that run.
    #[serde(default)]
    pub anew: BTreeMap<String, bool>,
    /// Nodes that had to go to another zone, because theirs had no machine for them.
    #[serde(default)]
    pub moved: BTreeMap<String, String>,
    /// The runs that worked on the generation, the oldest first.
    pub runs: Vec<Run>,
}

/// An attempt at a node. The client token of its launch and every byte of its user data follow from these two numbers, so that
/// two laptops that launch the same attempt make one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// When the URL of the node's sealed plan begins to be valid, seconds since 1970.
    pub from: i64,
}

/// What one run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Where it came from.
    pub from: String,
    /// When it began, seconds since 1970 by its own clock.
    pub began: i64,
}

impl Entries {
    /// The present attempt at a node at `now` (seconds since 1970). It is a new one when there was none, when the last one is
    /// the one `used_up`, or when its URL is older than `fresh` or begins in the future (somebody's clock was wrong).
    pub fn attempt(&mut self, node: &str, used_up: Option<u32>, now: i64, fresh: Duration) -> Attempt {
        let fresh = i64::try_from(fresh.as_secs()).unwrap_or(i64::MAX);
        let next = match self.attempts.get(node) {
            None => 1,
            Some(last) => {
                let stale = now.saturating_sub(last.from) > fresh || last.from > now.saturating_add(300);
                let used = used_up.is_some_and(|used| last.number <= used);
                if !stale && !used {
                    return *last;
                }
                last.number.saturating_add(1)
            }
        };
        let attempt = Attempt {
            number: next,
            from: now,
        };
        self.attempts.insert(node.to_owned(), attempt);
        attempt
    }

    /// The line of a run, made when it is not there.
    pub fn run(&mut self, id: &str) -> Option<&mut Run> {
        if !self.runs.iter().any(|r| r.id == id) {
            let too_many = (self.runs.len() + 1).saturating_sub(RUNS);
            self.runs.drain(..too_many);
            self.runs.push(Run {
                id: id.to_owned(),
                ..Run::default()
            });
        }
        self.runs.iter_mut().find(|r| r.id == id)
    }
}

/// The key of a generation's journal object.
pub fn key(castle: &str, generation: &Generation) -> String {
    format!("{castle}/journal/{generation}")
}

/// The journal of a generation.
pub struct Journal {
    store: Arc<dyn Store>,
    key: String,
    secret: Secret,
    /// What we know to stand there, and its entity tag when there is an object.
    known: Mutex<(Entries, Option<String>)>,
}

/// Reads a journal without changing anything: the entries, and the entity tag when there is an object.
pub async fn read(store: &dyn Store, key: &str, secret: &Secret) -> Result<(Entries, Option<String>), Trouble> {
    let Some(object) = store.get(key).await? else {
        return Ok((Entries::default(), None));
    };
    let plain = sealed::open(secret, key, &object.bytes)?;
    let entries = serde_json::from_slice(&plain).map_err(|e| sealed::problem(key, &e.to_string()))?;
    Ok((entries, Some(object.etag)))
}

impl Journal {
    /// Reads the journal of a generation, or begins it.
    pub async fn open(
        store: Arc<dyn Store>,
        castle: &str,
        generation: &Generation,
        secret: Secret,
    ) -> Result<Self, Trouble> {
        let key = key(castle, generation);
        let known = Mutex::new(read(&*store, &key, &secret).await?);
        Ok(Journal {
            store,
            key,
            secret,
            known,
        })
    }

    /// What stands there, as far as we know.
    pub async fn entries(&self) -> Entries {
        self.known.lock().await.0.clone()
    }

    /// Changes the journal. `change` may be called several times, each time on what really stands there.
    pub async fn update<R>(&self, change: impl Fn(&mut Entries) -> R) -> Result<R, Trouble> {
        let mut known = self.known.lock().await;
        let mut pause = Duration::from_millis(200);
        let mut last = None;
        for _ in 0..6 {
            let mut entries = known.0.clone();
            let result = change(&mut entries);
            if entries == known.0 && known.1.is_some() {
                return Ok(result);
            }
            let plain = serde_json::to_vec(&entries).map_err(|e| sealed::problem(&self.key, &e.to_string()))?;
            let body = sealed::seal(&self.secret, &self.key, &plain)?;
            let condition = known.1.as_deref().map_or(Condition::Absent, Condition::Is);
            let put = self.store.put(&self.key, body.clone(), condition).await;
            if let Ok(Put::Done { etag }) = put {
                *known = (entries, Some(etag));
                return Ok(result);
            }
            // 404, 409, 412, an error or nothing: what stands there decides. Sealed twice, nothing looks the same, so
            // equal bytes are this very write.
            match self.store.get(&self.key).await {
                Ok(Some(object)) if object.bytes.as_ref() == body.as_slice() => {
                    *known = (entries, Some(object.etag));
                    return Ok(result);
                }
                Ok(_) => *known = read(&*self.store, &self.key, &self.secret).await?,
                Err(error) => last = Some(error),
            }
            if let Err(error) = put {
                last = Some(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(match last {
            Some(error) => error.into(),
            None => sealed::problem(&self.key, "it changed six times while we wanted to write it").into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Duration = Duration::from_secs(2700);

    #[test]
    fn every_laptop_launches_the_same_attempt() {
        let mut entries = Entries::default();
        let first = entries.attempt("cp1", None, 1000, FRESH);
        assert_eq!(first, Attempt { number: 1, from: 1000 });
        assert_eq!(entries.attempt("cp1", None, 2000, FRESH), first);
        assert_eq!(
            entries.attempt("w1", None, 2000, FRESH),
            Attempt { number: 1, from: 2000 }
        );
    }

    #[test]
    fn an_attempt_that_is_used_up_is_followed_by_the_next_at_once_and_once() {
        let mut entries = Entries::default();
        entries.attempt("cp1", None, 1000, FRESH);
        let second = entries.attempt("cp1", Some(1), 1010, FRESH);
        assert_eq!(second, Attempt { number: 2, from: 1010 });
        // Told twice that the first one is used up: still the second.
        assert_eq!(entries.attempt("cp1", Some(1), 1020, FRESH), second);
    }

    #[test]
    fn an_attempt_whose_url_runs_out_is_not_launched_any_more() {
        let mut entries = Entries::default();
        entries.attempt("cp1", None, 1000, FRESH);
        assert_eq!(entries.attempt("cp1", None, 3701, FRESH).number, 2);
        // The first laptop's clock was a year ahead.
        entries.attempt("cp2", None, 40_000_000, FRESH);
        assert_eq!(
            entries.attempt("cp2", None, 4000, FRESH),
            Attempt { number: 2, from: 4000 }
        );
    }

    #[test]
    fn only_the_last_runs_are_remembered() {
        let mut entries = Entries::default();
        for i in 0..60 {
            entries.run(&format!("r{i}")).unwrap().began = i;
        }
        assert_eq!((entries.runs.len(), entries.runs[0].began), (50, 10));
    }
}
