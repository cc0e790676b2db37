//! What stands in the lease object.

use serde::{Deserialize, Serialize};
use skykeep_core::{Generation, Trouble};

use crate::{error::RebirthError, store::Store};

/// What stands in the object `<castle>/lease.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Format version; 2.
    pub version: u32,
    /// The generation that owns the castle.
    pub generation: Generation,
    /// Where the generation stands.
    pub state: Phase,
    /// The run that works on it: random.
    pub holder: String,
    /// Where that run comes from, for people.
    pub from: String,
    /// When it took the lease, seconds since 1970 by its own clock: for people only, no decision hangs on it.
    pub since: i64,
    /// Whether it has given the lease back.
    pub released: bool,
    /// Random at each write, so that a lost reply is settled by reading, and a renewal is seen.
    pub nonce: String,
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

/// The lease object as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub record: Record,
    /// The entity tag.
    pub etag: String,
    /// How long ago it was written, by the store's clock.
    pub age: Option<std::time::Duration>,
}

/// The key of a castle's lease object.
pub fn key(castle: &str) -> String {
    format!("{castle}/lease.json")
}

/// Reads the lease object without changing anything.
pub async fn peek(store: &dyn Store, castle: &str) -> Result<Option<Found>, Trouble> {
    let Some(object) = store.get(&key(castle)).await? else {
        return Ok(None);
    };
    let record: Record = serde_json::from_slice(&object.bytes)
        .map_err(|e| RebirthError::LeaseUnreadable(format!("{}: {e}", key(castle))))?;
    if record.version != 2 {
        let why = format!("{} has version {}, this agent knows 2", key(castle), record.version);
        return Err(RebirthError::LeaseUnreadable(why).into());
    }
    Ok(Some(Found {
        record,
        etag: object.etag,
        age: object.age,
    }))
}

pub(super) fn encode(record: &Record) -> Result<Vec<u8>, RebirthError> {
    serde_json::to_vec(record).map_err(|e| RebirthError::LeaseUnreadable(e.to_string()))
}

/// A random word of 16 hex digits.
pub(super) fn random() -> Result<String, RebirthError> {
    let mut random = [0u8; 8];
    getrandom::fill(&mut random).map_err(|e| RebirthError::LeaseUnreadable(format!("no random numbers: {e}")))?;
    Ok(hex::encode(random))
}

/// A random id for one run of the agent.
pub fn run_id() -> Result<String, RebirthError> {
    random()
}
