//! Reports of runs, kept sealed in the state bucket: the laptop that ran is gone when somebody asks what happened.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::{Serialize, de::DeserializeOwned};
use skykeep_aws::{Condition, Put};
use skykeep_core::Trouble;

use crate::{engine::Report, estate::Estate, lease, sealed};

/// A report as it was kept.
#[derive(Debug, Serialize)]
pub struct Kept {
    /// When that run ended, RFC 3339, by the clock of its laptop.
    pub ended: String,
    /// What it did.
    pub report: Report,
}

/// Opens a sealed object of the state bucket; `None` when there is none.
pub(crate) async fn read<T: DeserializeOwned>(estate: &Estate, name: &str) -> Result<Option<T>, Trouble> {
    let Some(object) = estate.s3.get(name).await? else {
        return Ok(None);
    };
    let plain = sealed::open(&estate.journal_key(), name, &object.bytes)?;
    let value = serde_json::from_slice(&plain).map_err(|e| sealed::problem(name, &e.to_string()))?;
    Ok(Some(value))
}

/// Seals an object into the state bucket.
pub(crate) async fn write(
    estate: &Estate,
    name: &str,
    value: &impl Serialize,
    condition: Condition<'_>,
) -> Result<Put, Trouble> {
    let plain = serde_json::to_vec(value).map_err(|e| sealed::problem(name, &e.to_string()))?;
    let sealed = sealed::seal(&estate.journal_key(), name, &plain)?;
    Ok(estate.s3.put(name, sealed, condition).await?)
}

/// Seals an object into the state bucket; a bucket that does not take it is an error.
pub(crate) async fn must_write(
    estate: &Estate,
    name: &str,
    value: &impl Serialize,
    condition: Condition<'_>,
) -> Result<(), Trouble> {
    match write(estate, name, value, condition).await? {
        Put::Done { .. } => Ok(()),
        other => Err(sealed::problem(name, &format!("the bucket answered {other:?}")).into()),
    }
}

fn folder(estate: &Estate, generation: &skykeep_core::Generation) -> String {
    format!("{}/reports/{generation}/", estate.castle.name)
}

/// Keeps the report of a run that held the lease.
pub(crate) async fn keep(estate: &Estate, report: &Report) -> Result<(), Trouble> {
    // Names sort by time.
    let ended = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    let name = format!(
        "{}{:012}-{}",
        folder(estate, estate.generation.get()?),
        ended.as_second(),
        estate.run
    );
    must_write(estate, &name, report, Condition::Absent).await
}

/// How long the last rebirths took that went from nothing to the end in one run, the last one first; `most` at most.
pub(crate) async fn whole_rebirths(estate: &Estate, most: usize) -> Result<Vec<Duration>, Trouble> {
    let folder = format!("{}/reports/", estate.castle.name);
    let names = estate.s3.list(&folder).await?.into_iter().map(|entry| entry.key);
    // The first report of each generation: what came later went on with what stood.
    let mut firsts: BTreeMap<String, String> = BTreeMap::new();
    for name in names {
        let generation = name.strip_prefix(&folder).and_then(|rest| rest.split('/').next());
        if let Some(generation) = generation {
            let first = firsts.entry(generation.to_owned()).or_insert_with(|| name.clone());
            *first = name.min(first.clone());
        }
    }
    let mut took = Vec::new();
    for name in firsts.into_values().rev() {
        if took.len() == most {
            break;
        }
        let report: Option<Report> = read(estate, &name).await?;
        let whole = report.filter(|report| report.failure().is_none() && report.not_begun().is_empty());
        took.extend(whole.map(|report| report.elapsed()));
    }
    Ok(took)
}

/// The newest report of the castle's present generation, if there is one. Changes nothing.
pub async fn last_report(estate: &Estate) -> Result<Option<Kept>, Trouble> {
    let Some(found) = lease::peek(&*estate.s3, &estate.castle.name).await? else {
        return Ok(None);
    };
    let folder = folder(estate, &found.record.generation);
    let names = estate.s3.list(&folder).await?.into_iter().map(|entry| entry.key);
    let Some(name) = names.max() else { return Ok(None) };
    let Some(report) = read(estate, &name).await? else {
        return Ok(None);
    };
    let ended = name
        .strip_prefix(&folder)
        .and_then(|rest| rest.split('-').next()?.parse().ok())
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or_default();
    Ok(Some(Kept {
        ended: ended.to_string(),
        report,
    }))
}
