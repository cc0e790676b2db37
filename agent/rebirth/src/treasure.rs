//! From a treasure of the castle file to an order for its restore.

use std::{sync::Arc, time::Duration};

use skykeep_aws::S3;
use skykeep_core::{Deadline, Progress, Trouble, castle::Treasure};
use skykeep_restore::{gate, job::JobSpec, order, repository};

use crate::{
    error::RebirthError,
    estate::{Estate, credentials},
};

fn treasure(estate: &Estate, index: usize) -> Result<&Treasure, RebirthError> {
    estate
        .castle
        .treasures
        .get(index)
        .ok_or(RebirthError::NotThere("the treasure"))
}

fn spec(treasure: &Treasure) -> JobSpec {
    let restic = &treasure.restic;
    JobSpec {
        bucket: restic.bucket.clone(),
        prefix: restic.prefix.clone(),
        region: restic.region.clone(),
        endpoint: restic.endpoint.clone(),
        snapshot: restic.snapshot.clone(),
        path: restic.path.clone(),
    }
}

/// Opens the backup's index from here; nothing of its data is read.
pub(crate) async fn inspect(estate: &Estate, index: usize) -> Result<String, Trouble> {
    let treasure = treasure(estate, index)?;
    let restic = &treasure.restic;
    let keys = credentials(&estate.secrets, &restic.access_key_id, &restic.secret_access_key)?;
    let s3 = S3::new(
        estate.http.clone(),
        keys,
        &restic.region,
        restic.endpoint.clone(),
        &restic.bucket,
    )?;
    let password = estate.secrets.get(&restic.password)?;
    let backup = repository::inspect(Arc::new(s3), password, &spec(treasure)).await?;
    Ok(format!(
        "{} of {}: {} files, {} bytes",
        backup.snapshot, backup.time, backup.files, backup.bytes
    ))
}

/// Closes the gate of every treasure's claim.
pub(crate) async fn close_gates(estate: &Estate) -> Result<String, Trouble> {
    let claims: Vec<(String, String)> = estate
        .castle
        .treasures
        .iter()
        .map(|t| (t.namespace.clone(), t.claim.clone()))
        .collect();
    gate::close(estate.api.get()?, &claims, Deadline::after(Duration::from_secs(110))).await?;
    Ok(format!("{} claims in the ledger, the policy is in force", claims.len()))
}

/// Restores one treasure inside the castle, unless the ledger says it was done.
pub(crate) async fn restore(estate: &Estate, index: usize, progress: &Progress) -> Result<String, Trouble> {
    let treasure = treasure(estate, index)?;
    let restic = &treasure.restic;
    let order = order::Order {
        name: &treasure.name,
        namespace: &treasure.namespace,
        claim: &treasure.claim,
        spec: &spec(treasure),
        access_key_id: estate.secrets.get(&restic.access_key_id)?,
        secret_access_key: estate.secrets.get(&restic.secret_access_key)?,
        password: estate.secrets.get(&restic.password)?,
        extra_ca_pem: estate.trust.extra_pem(),
        image: &estate.lock.image("ghcr.io/skykeep/skykeep")?.pinned(),
    };
    let done = order::restore(
        estate.api.get()?,
        &order,
        Deadline::after(Duration::from_secs(3500)),
        progress,
    )
    .await?;
    Ok(match done {
        order::Done::Already => "was restored before: left alone".into(),
        order::Done::Now(outcome) => {
            format!(
                "snapshot {}: {} files, {} bytes, verified",
                outcome.snapshot, outcome.files, outcome.bytes
            )
        }
    })
}
