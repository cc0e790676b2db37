//! From a Longhorn volume of the castle file to what the restore is told.

use std::{path::Path, sync::Arc};

use skykeep_aws::S3;
use skykeep_core::{
    Progress, Trouble,
    castle::{Longhorn, Treasure},
};
use skykeep_restore::{
    drill,
    job::Outcome,
    longhorn::{self, job::Spec},
};

use crate::{
    estate::{Estate, credentials},
    treasure::aged,
};

pub(crate) fn spec(volume: &Longhorn, replace: bool) -> Spec {
    Spec {
        bucket: volume.bucket.clone(),
        prefix: volume.prefix.clone(),
        region: volume.region.clone(),
        endpoint: volume.endpoint.clone(),
        volume: volume.volume.clone(),
        backup: volume.backup.clone(),
        replace,
    }
}

fn bucket(estate: &Estate, volume: &Longhorn) -> Result<Arc<S3>, Trouble> {
    let keys = credentials(&estate.secrets, &volume.access_key_id, &volume.secret_access_key)?;
    let (http, endpoint) = (estate.http.clone(), volume.endpoint.clone());
    Ok(Arc::new(S3::new(http, keys, &volume.region, endpoint, &volume.bucket)?))
}

/// Looks at the backup that would be restored: all its blocks are there, and its file system is one that is read.
pub(crate) async fn inspect(
    estate: &Estate,
    treasure: &Treasure,
    volume: &Longhorn,
    progress: &Progress,
) -> Result<String, Trouble> {
    let seen = longhorn::inspect(bucket(estate, volume)?, spec(volume, false)).await?;
    let age = aged(treasure, &seen.time, jiff::Timestamp::now(), progress)?;
    Ok(format!(
        "{}: {} of {} ({age}), a volume of {} bytes, {} of them backed up",
        treasure.name, seen.backup, seen.time, seen.size, seen.bytes
    ))
}

/// Restores it into a folder of this machine.
pub(crate) async fn drill(
    estate: &Estate,
    volume: &Longhorn,
    folder: &Path,
    progress: &Progress,
) -> Result<Outcome, Trouble> {
    let s3 = bucket(estate, volume)?;
    Ok(drill::longhorn_into_folder(s3, &spec(volume, false), folder, progress.clone()).await?)
}
