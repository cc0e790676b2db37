//! What the restore job is told of a Longhorn backup, and what it does.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use skykeep_aws::S3;
use url::Url;

use super::{blocks::Blocks, ext4::Ext4, older, verify, write};
use crate::{
    RestoreError,
    job::Outcome,
    older::{Look, PATIENCE},
    patient::Patient,
    report::Report,
    repository::blocking,
    store::{Bucket, Store},
    target,
};

/// Where a backup is and which one is wanted. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Bucket.
    pub bucket: String,
    /// The path in Longhorn's backupTargetURL; may be empty.
    pub prefix: String,
    /// AWS region.
    pub region: String,
    /// Endpoint when it is not AWS.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// Longhorn's name of the volume.
    pub volume: String,
    /// `latest`, a backup's name, or a time.
    pub backup: String,
    /// Whether what the claim holds goes first: a second restore that its owner asked for by name.
    #[serde(default)]
    pub replace: bool,
}

impl Spec {
    pub(super) fn find(&self, store: Box<dyn Store>) -> Result<Blocks, RestoreError> {
        let place = format!("{}/{}", self.bucket, self.prefix.trim_matches('/'));
        let place = place.trim_end_matches('/');
        Ok(Blocks::find(store, place, &self.prefix, &self.volume, &self.backup)?)
    }
}

/// Restores and verifies in this process.
pub(crate) async fn here(s3: Arc<S3>, spec: &Spec, target: &Path, report: Report) -> Result<Outcome, RestoreError> {
    let store = Box::new(Patient::new(Bucket::new(s3), report.clone()));
    let (spec, target) = (spec.clone(), target.to_owned());
    blocking(move || restore_in(store, &spec, &target, &report)).await
}

/// Everything that can be known before is looked at before anything is written.
pub(super) fn restore_in(
    store: Box<dyn Store>,
    spec: &Spec,
    target: &Path,
    report: &Report,
) -> Result<Outcome, RestoreError> {
    let store: Arc<dyn Store> = store.into();
    let whole = || older::newest_whole(&store, spec, Look::Content, PATIENCE);
    back(&store, spec, target, report).map_err(|e| e.or_else_whole(whole))
}

fn back(store: &Arc<dyn Store>, spec: &Spec, target: &Path, report: &Report) -> Result<Outcome, RestoreError> {
    let blocks = spec.find(Box::new(store.clone()))?;
    let fs = Ext4::open(&blocks)?;
    let plan = write::plan(&fs)?;
    if spec.replace {
        target::empty(target)?;
    }
    write::make_ready(target, &plan)?;
    let sums = write::write(&fs, &plan, target, report)?;
    Ok(Outcome {
        snapshot: blocks.backup.name.clone(),
        time: blocks.backup.time.to_string(),
        ..verify::verify(&fs, &plan, &sums, target, report)?
    })
}
