//! From a treasure of the castle file to an order for its restore.

use std::{sync::Arc, time::Duration};

use skykeep_aws::S3;
use skykeep_core::{
    Deadline, Progress, Trouble,
    castle::{Backup, Restic, Treasure},
};
use skykeep_restore::{gate, job::JobSpec, ledger, order, repository};

use crate::{
    database,
    error::RebirthError,
    estate::{Estate, credentials},
    restored::{self, Restored, Verdict},
};

fn treasure(estate: &Estate, index: usize) -> Result<&Treasure, RebirthError> {
    estate
        .castle
        .treasures
        .get(index)
        .ok_or(RebirthError::NotThere("the treasure"))
}

/// The castle file was checked: it has exactly one.
fn backup(treasure: &Treasure) -> Result<Backup<'_>, RebirthError> {
    treasure.backup().ok_or(RebirthError::NotThere("the treasure's backup"))
}

fn spec(restic: &Restic) -> JobSpec {
    JobSpec {
        bucket: restic.bucket.clone(),
        prefix: restic.prefix.clone(),
        region: restic.region.clone(),
        endpoint: restic.endpoint.clone(),
        snapshot: restic.snapshot.clone(),
        path: restic.path.clone(),
        replace: false,
    }
}

/// Opens the backup's index from here; nothing of its data is read.
pub(crate) async fn inspect(estate: &Estate, index: usize) -> Result<String, Trouble> {
    let treasure = treasure(estate, index)?;
    let restic = match backup(treasure)? {
        Backup::Restic(restic) => restic,
        Backup::Postgres(postgres) => return database::inspect(estate, treasure, postgres).await,
    };
    let keys = credentials(&estate.secrets, &restic.access_key_id, &restic.secret_access_key)?;
    let s3 = S3::new(
        estate.http.clone(),
        keys,
        &restic.region,
        restic.endpoint.clone(),
        &restic.bucket,
    )?;
    let password = estate.secrets.get(&restic.password)?;
    let backup = repository::inspect(Arc::new(s3), password, &spec(restic)).await?;
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

/// Restores one treasure inside the castle, unless ledger or journal say that it was done.
pub(crate) async fn restore(estate: &Estate, index: usize, progress: &Progress) -> Result<String, Trouble> {
    let treasure = treasure(estate, index)?;
    let (client, namespace, claim) = (estate.api.get()?, &treasure.namespace, &treasure.claim);
    let entry = restored::read(estate, &treasure.name).await?;
    let done = ledger::is_done(client, namespace, claim).await?;
    let uid = order::claim_uid(client, namespace, claim).await?;
    match restored::judge(entry.as_ref(), done, uid.as_deref()) {
        Verdict::Restore => bring_back(estate, treasure, false, progress).await,
        Verdict::Gone => {
            // Whatever stands there now is held: it must not run on an empty volume.
            ledger::reopen(client, namespace, claim).await?;
            Err(restored::gone(&treasure.name, namespace, claim).into())
        }
        Verdict::Back {
            tell_ledger,
            tell_journal,
        } => {
            if tell_ledger {
                ledger::mark_done(client, namespace, claim).await?;
            }
            if tell_journal {
                restored::write(
                    estate,
                    &entry_of(treasure, uid.unwrap_or_default(), "by an earlier run".into()),
                )
                .await?;
            }
            if let Backup::Postgres(postgres) = backup(treasure)? {
                database::tell(estate, treasure, postgres).await?;
            }
            gate::lift_for_good(client, namespace, claim, Deadline::after(Duration::from_secs(60))).await?;
            Ok("was restored before: left alone".into())
        }
    }
}

/// Restores a treasure once more, over whatever its claim holds: its owner has asked for it by name.
pub(crate) async fn restore_again(estate: &Estate, index: usize, progress: &Progress) -> Result<String, Trouble> {
    bring_back(estate, treasure(estate, index)?, true, progress).await
}

async fn bring_back(estate: &Estate, treasure: &Treasure, again: bool, progress: &Progress) -> Result<String, Trouble> {
    let what = match backup(treasure)? {
        Backup::Restic(restic) => files(estate, treasure, restic, again, progress).await?,
        Backup::Postgres(postgres) => database::bring_back(estate, treasure, postgres, again, progress).await?,
    };
    let uid = order::claim_uid(estate.api.get()?, &treasure.namespace, &treasure.claim).await?;
    restored::write(estate, &entry_of(treasure, uid.unwrap_or_default(), what.clone())).await?;
    Ok(what)
}

async fn files(
    estate: &Estate,
    treasure: &Treasure,
    restic: &Restic,
    again: bool,
    progress: &Progress,
) -> Result<String, Trouble> {
    let client = estate.api.get()?;
    let order = order::Order {
        name: &treasure.name,
        namespace: &treasure.namespace,
        claim: &treasure.claim,
        spec: &JobSpec {
            replace: again,
            ..spec(restic)
        },
        access_key_id: estate.secrets.get(&restic.access_key_id)?,
        secret_access_key: estate.secrets.get(&restic.secret_access_key)?,
        password: estate.secrets.get(&restic.password)?,
        extra_ca_pem: estate.trust.extra_pem(),
        image: &estate.lock.image("ghcr.io/skykeep/skykeep")?.pinned(),
    };
    if again {
        // From here on a run that dies leaves a treasure that is not back: nothing runs on half of it.
        restored::forget(estate, &treasure.name).await?;
        let (limit, place) = (
            Deadline::after(Duration::from_secs(300)),
            (order.namespace, order.claim),
        );
        order::again(client, order.name, place, limit, progress).await?;
    }
    let done = order::restore(client, &order, Deadline::after(Duration::from_secs(3500)), progress).await?;
    Ok(match done {
        order::Done::Already => "was restored before: left alone".to_owned(),
        order::Done::Now(outcome) => {
            format!(
                "snapshot {}: {} files, {} bytes, verified",
                outcome.snapshot, outcome.files, outcome.bytes
            )
        }
    })
}

fn entry_of(treasure: &Treasure, uid: String, what: String) -> Restored {
    Restored {
        v: 1,
        treasure: treasure.name.clone(),
        namespace: treasure.namespace.clone(),
        claim: treasure.claim.clone(),
        uid,
        what,
        at: jiff::Timestamp::now().to_string(),
    }
}
