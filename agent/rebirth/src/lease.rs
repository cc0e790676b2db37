//! The lease: which generation owns the castle, and which run works on it. One object in S3, conditional writes only.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use skykeep_aws::{Condition, Put, S3};
use skykeep_core::{Deadline, Generation, Trouble};
use tokio::sync::Mutex;

use crate::error::RebirthError;

/// How long a lease is good for without being renewed.
pub const TERM: Duration = Duration::from_secs(90);

/// What stands in the object `<castle>/lease.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Format version; 1.
    pub version: u32,
    /// The generation that owns the castle.
    pub generation: Generation,
    /// The run that works on it: random, so that a lost reply can be settled by reading.
    pub holder: String,
    /// Where the generation stands.
    pub state: Phase,
    /// Until when no other run may touch it, seconds since 1970.
    pub until: i64,
}

/// Where a generation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being built.
    Building,
    /// Built, proven, and DNS points to it.
    Alive,
    /// Taken down.
    Destroyed,
}

/// What to do about what was found, decided without I/O.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing stands: begin this new generation.
    Begin,
    /// Go on with the generation found.
    Resume(Generation),
    /// Another run holds it.
    Wait {
        /// Who.
        holder: String,
        /// Seconds since 1970.
        until: i64,
    },
}

/// Decides from the record found, at `now` (seconds since 1970), for the run `me`.
pub fn decide(found: Option<&Record>, me: &str, now: i64) -> Decision {
    match found {
        None => Decision::Begin,
        Some(r) if r.state == Phase::Destroyed => Decision::Begin,
        Some(r) if r.holder != me && r.until > now => Decision::Wait {
            holder: r.holder.clone(),
            until: r.until,
        },
        Some(r) => Decision::Resume(r.generation),
    }
}

/// A lease that this run holds. Renewed by [`Lease::renew`]; every renewal is a write by `If-Match`.
pub struct Lease {
    s3: Arc<S3>,
    key: String,
    held: Mutex<(Record, String)>,
}

/// The key of a castle's lease object.
pub fn key(castle: &str) -> String {
    format!("{castle}/lease.json")
}

/// Reads the lease object without changing anything.
pub async fn peek(s3: &S3, castle: &str) -> Result<Option<(Record, String)>, Trouble> {
    let Some(object) = s3.get(&key(castle)).await? else {
        return Ok(None);
    };
    let record: Record = serde_json::from_slice(&object.bytes)
        .map_err(|e| RebirthError::LeaseUnreadable(format!("{}: {e}", key(castle))))?;
    Ok(Some((record, object.etag)))
}

impl Lease {
    /// Takes the lease: begins a generation when none stands, goes on with the one that does. Waits, within `deadline`,
    /// for another run's lease to run out. The flag says whether the generation is new.
    pub async fn take(s3: Arc<S3>, castle: &str, me: &str, deadline: Deadline) -> Result<(Self, bool), Trouble> {
        loop {
            let found = peek(&s3, castle).await?;
            let now = Timestamp::now().as_second();
            let (generation, new) = match decide(found.as_ref().map(|(r, _)| r), me, now) {
                Decision::Begin => (fresh()?, true),
                Decision::Resume(generation) => (generation, false),
                Decision::Wait { holder, until } => {
                    if deadline.remaining() < Duration::from_secs(3) {
                        let until = Timestamp::from_second(until).map(|t| t.to_string()).unwrap_or_default();
                        return Err(RebirthError::LeaseHeld { holder, until }.into());
                    }
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    continue;
                }
            };
            let state = match &found {
                Some((r, _)) if !new => r.state,
                _ => Phase::Building,
            };
            let record = Record {
                version: 1,
                generation,
                holder: me.to_owned(),
                state,
                until: now + term(),
            };
            let condition = found
                .as_ref()
                .map_or(Condition::Absent, |(_, etag)| Condition::Is(etag));
            let body = encode(&record)?;
            match s3.put(&key(castle), body, condition).await? {
                Put::Done { etag } => {
                    return Ok((
                        Lease {
                            s3,
                            key: key(castle),
                            held: Mutex::new((record, etag)),
                        },
                        new,
                    ));
                }
                // Somebody was faster, or our own reply was lost: look again.
                _ => {
                    if deadline.passed() {
                        return Err(RebirthError::LeaseLost("the lease object changes under us".into()).into());
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// The generation.
    pub async fn generation(&self) -> Generation {
        self.held.lock().await.0.generation
    }

    /// Where the generation stands.
    pub async fn phase(&self) -> Phase {
        self.held.lock().await.0.state
    }

    /// Renews the lease and, when given, moves the phase on. To be called before each write that is not idempotent.
    pub async fn renew(&self, phase: Option<Phase>) -> Result<(), Trouble> {
        self.write(phase, term()).await
    }

    /// Gives the lease back at the end of a run, with its last phase.
    pub async fn release(&self, phase: Option<Phase>) -> Result<(), Trouble> {
        self.write(phase, 0).await
    }

    async fn write(&self, phase: Option<Phase>, seconds: i64) -> Result<(), Trouble> {
        let mut held = self.held.lock().await;
        let mut record = held.0.clone();
        record.until = Timestamp::now().as_second() + seconds;
        if let Some(phase) = phase {
            record.state = phase;
        }
        let put = self.s3.put(&self.key, encode(&record)?, Condition::Is(&held.1)).await?;
        if let Put::Done { etag } = put {
            *held = (record, etag);
            return Ok(());
        }
        // A write whose reply was lost has changed the tag: ours if the object says what we wrote.
        match self.s3.get(&self.key).await? {
            Some(object) if object.bytes.as_ref() == encode(&record)?.as_slice() => {
                *held = (record, object.etag);
                Ok(())
            }
            Some(object) => {
                let now: Option<Record> = serde_json::from_slice(&object.bytes).ok();
                let who = now.map_or_else(|| "something unreadable".to_owned(), |r| format!("run {}", r.holder));
                Err(RebirthError::LeaseLost(format!("it was taken over by {who}")).into())
            }
            None => Err(RebirthError::LeaseLost("the object was deleted".into()).into()),
        }
    }
}

fn term() -> i64 {
    i64::try_from(TERM.as_secs()).unwrap_or(90)
}

fn encode(record: &Record) -> Result<Vec<u8>, RebirthError> {
    serde_json::to_vec(record).map_err(|e| RebirthError::LeaseUnreadable(e.to_string()))
}

fn fresh() -> Result<Generation, RebirthError> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|e| RebirthError::LeaseUnreadable(format!("no random numbers: {e}")))?;
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    Ok(Generation::new(now, u128::from_le_bytes(random)))
}

/// A random id for one run of the agent.
pub fn run_id() -> Result<String, RebirthError> {
    let mut random = [0u8; 8];
    getrandom::fill(&mut random).map_err(|e| RebirthError::LeaseUnreadable(format!("no random numbers: {e}")))?;
    Ok(hex::encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: Phase, until: i64) -> Record {
        Record {
            version: 1,
            generation: Generation::new(1, 2),
            holder: "them".into(),
            state,
            until,
        }
    }

    #[test]
    fn where_nothing_stands_a_generation_begins() {
        assert_eq!(decide(None, "me", 100), Decision::Begin);
        assert_eq!(decide(Some(&record(Phase::Destroyed, 500)), "me", 100), Decision::Begin);
    }

    #[test]
    fn a_run_that_still_renews_is_waited_for() {
        let found = record(Phase::Building, 500);
        assert_eq!(
            decide(Some(&found), "me", 100),
            Decision::Wait {
                holder: "them".into(),
                until: 500
            }
        );
    }

    #[test]
    fn a_run_that_no_longer_renews_is_taken_over_with_its_generation() {
        let found = record(Phase::Building, 50);
        assert_eq!(decide(Some(&found), "me", 100), Decision::Resume(Generation::new(1, 2)));
        let own = record(Phase::Alive, 500);
        assert_eq!(decide(Some(&own), "them", 100), Decision::Resume(Generation::new(1, 2)));
    }
}
