//! What the castle file says about castles before and after this one: the pulse that each gives while it lives, and what a
//! castle that was overtaken stops.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SecretRef, TakeAway};

/// The pulse: a small job in every living castle writes to the state bucket once a minute.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pulse {
    /// Access key id of a user that may do nothing but this job (`docs/aws-policy-pulse.json`).
    pub access_key_id: SecretRef,
    /// Its secret access key.
    pub secret_access_key: SecretRef,
    /// A castle whose newest pulse is older than this many minutes counts as silent; 2 to 60.
    #[serde(default = "five")]
    pub limit_minutes: u8,
}

fn five() -> u8 {
    5
}

/// The castle before: the one that the names point to when a rebirth begins.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OldCastle {
    /// Whether it ever had the job that gives a pulse.
    #[serde(default)]
    pub pulse: OldPulse,
    /// What its pulse job stops when a newer castle has the names, besides what is labelled `skykeep.dev/writes-dns` or
    /// `skykeep.dev/backup`.
    #[serde(default)]
    pub stop: Vec<Workload>,
    /// What it writes with, and what is taken away from it before the names move, also when it can't be reached.
    #[serde(default)]
    pub take_away: Option<TakeAway>,
}

/// Whether a castle has ever given a pulse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OldPulse {
    /// It should: one that never came says nothing about whether it lives.
    #[default]
    Expected,
    /// It never had the job: that nobody answers at its addresses is all that can be known, and enough.
    None,
}

/// Something in a cluster that can be stopped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// What it is.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What can be stopped so that it can be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema, serde::Serialize)]
pub enum WorkloadKind {
    /// Scaled to zero.
    Deployment,
    /// Scaled to zero.
    StatefulSet,
    /// Suspended.
    CronJob,
}
