//! What is restored, and what is declared disposable.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Longhorn, Postgres, SecretRef};

/// Data that is restored before its application starts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Treasure {
    /// Name, for people and for the ledger.
    pub name: String,
    /// Namespace of the claim.
    pub namespace: String,
    /// PersistentVolumeClaim that receives the data.
    pub claim: String,
    /// Hours of work that may be lost at most: the newest backup's age is compared with it before a rebirth and by `skykeep drill`.
    #[serde(default)]
    pub rpo_hours: Option<u32>,
    /// An older backup than `rpoHours` stops a rebirth. Without this it is said and the rebirth goes on: an old backup is
    /// better than none, and a castle that has been dead for days has none that is younger.
    #[serde(default)]
    pub strict_rpo: bool,
    /// Minutes that its restore is planned to take; the rebirth's forecast and deadline follow from it.
    #[serde(default)]
    pub budget_minutes: Option<u16>,
    /// The backup is a restic repository. Exactly one of `restic`, `longhorn` and `postgres` is given.
    #[serde(default)]
    pub restic: Option<Restic>,
    /// The backup was made by Longhorn; the claim receives the files of the volume.
    #[serde(default)]
    pub longhorn: Option<Longhorn>,
    /// The backup is a pgBackRest repository, the treasure a PostgreSQL database.
    #[serde(default)]
    pub postgres: Option<Postgres>,
}

/// Where a treasure's backup is.
#[derive(Debug, Clone, Copy)]
pub enum Backup<'a> {
    /// In a restic repository.
    Restic(&'a Restic),
    /// In a Longhorn backup target.
    Longhorn(&'a Longhorn),
    /// In a pgBackRest repository.
    Postgres(&'a Postgres),
}

impl Treasure {
    /// Where its backup is; `None` when the castle file gives none, or several.
    pub fn backup(&self) -> Option<Backup<'_>> {
        match (&self.restic, &self.longhorn, &self.postgres) {
            (Some(restic), None, None) => Some(Backup::Restic(restic)),
            (None, Some(longhorn), None) => Some(Backup::Longhorn(longhorn)),
            (None, None, Some(postgres)) => Some(Backup::Postgres(postgres)),
            _ => None,
        }
    }

    /// The planned time of its restore.
    pub fn budget(&self) -> Duration {
        Duration::from_secs(self.budget_minutes.map_or(60, |minutes| u64::from(minutes) * 60))
    }
}

/// A claim that starts empty in a new castle.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disposable {
    /// Namespace of the claim.
    pub namespace: String,
    /// The claim; `*` at its end stands for any rest.
    pub claim: String,
    /// Why nobody will miss it.
    pub why: String,
}

/// A restic repository on S3.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restic {
    /// Bucket.
    pub bucket: String,
    /// Key prefix of the repository, without slashes at its ends.
    #[serde(default)]
    pub prefix: String,
    /// AWS region.
    pub region: String,
    /// Endpoint when it is not AWS.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// Access key id.
    pub access_key_id: SecretRef,
    /// Secret access key.
    pub secret_access_key: SecretRef,
    /// Repository password.
    pub password: SecretRef,
    /// `latest` or a snapshot id (at least 8 hex digits).
    #[serde(default = "latest")]
    pub snapshot: String,
    /// Absolute path inside the snapshot that becomes the root of the claim.
    pub path: String,
}

pub(super) fn latest() -> String {
    "latest".into()
}
