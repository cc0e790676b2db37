//! What can go wrong while treasures come back.

use skykeep_aws::AwsError;
use skykeep_core::{Explain, explain::chain};

use crate::{longhorn, older::Whole, postgres};

/// Errors of restores, gates and the ledger.
#[derive(Debug)]
pub enum RestoreError {
    /// The cluster's API refused.
    Kube {
        /// What was being done.
        doing: String,
        /// What came back.
        why: String,
        /// Whether it may pass.
        transient: bool,
    },
    /// The gate did not open.
    GateStays {
        /// The claim.
        claim: String,
    },
    /// The restore job gave up.
    JobFailed {
        /// The treasure.
        treasure: String,
        /// The end of its log.
        log: String,
    },
    /// The object store refused.
    Store(AwsError),
    /// The repository can't be used.
    Repository {
        /// `bucket/prefix`.
        place: String,
        /// Why.
        why: String,
    },
    /// The repository opens but does not hold what it should.
    Damaged {
        /// `bucket/prefix`.
        place: String,
        /// What is wrong with it.
        why: String,
        /// Whether another backup is whole.
        whole: Whole,
    },
    /// There is no such snapshot, or the path is not in it.
    NoSnapshot {
        /// `bucket/prefix`.
        place: String,
        /// What was looked for.
        wanted: String,
    },
    /// The target can't be written.
    Target {
        /// Path.
        path: String,
        /// Why.
        why: String,
    },
    /// The target holds something that is not part of the backup.
    Occupied {
        /// Where.
        target: String,
        /// What.
        why: String,
    },
    /// What was written is not what the backup holds.
    Differs {
        /// Path of the first difference.
        path: String,
        /// What differs.
        why: String,
    },
    /// A Longhorn backup can't be used.
    Longhorn(longhorn::Fault),
    /// A Longhorn backup is damaged.
    LonghornDamaged {
        /// What is wrong with it.
        fault: Box<longhorn::Fault>,
        /// Whether another backup is whole.
        whole: Whole,
    },
    /// A database did not come back.
    Database(postgres::Fault),
    /// A fault of the program.
    Internal(String),
}

impl RestoreError {
    /// Says which other backup is whole, when this is about a damaged one.
    pub(crate) fn or_else_whole(self, look: impl FnOnce() -> Whole) -> Self {
        match self {
            RestoreError::Damaged { place, why, .. } => RestoreError::Damaged {
                place,
                why,
                whole: look(),
            },
            RestoreError::Longhorn(fault) if fault.is_damage() => RestoreError::LonghornDamaged {
                fault: Box::new(fault),
                whole: look(),
            },
            other => other,
        }
    }

    pub(crate) fn kube(doing: &str, e: &kube::Error) -> Self {
        let transient = match e {
            kube::Error::Api(status) => status.code >= 500 || status.code == 429,
            kube::Error::HyperError(_) | kube::Error::Service(_) => true,
            _ => false,
        };
        RestoreError::Kube {
            doing: doing.to_owned(),
            why: chain(e),
            transient,
        }
    }
}

impl From<postgres::Fault> for RestoreError {
    fn from(fault: postgres::Fault) -> Self {
        RestoreError::Database(fault)
    }
}

impl From<longhorn::Fault> for RestoreError {
    fn from(fault: longhorn::Fault) -> Self {
        RestoreError::Longhorn(fault)
    }
}

impl From<AwsError> for RestoreError {
    fn from(e: AwsError) -> Self {
        RestoreError::Store(e)
    }
}

impl Explain for RestoreError {
    fn what(&self) -> String {
        match self {
            RestoreError::Kube { doing, .. } => format!("The cluster refused to {doing}"),
            RestoreError::GateStays { claim } => format!("Pods of {claim} are still held although its data is back"),
            RestoreError::JobFailed { treasure, .. } => format!("The treasure `{treasure}` did not come back"),
            RestoreError::Store(e) => e.what(),
            RestoreError::Repository { place, .. } => format!("The restic repository in {place} can't be used"),
            RestoreError::Damaged { place, .. } => format!("The restic repository in {place} is damaged"),
            RestoreError::NoSnapshot { place, wanted } => format!("The restic repository in {place} has no {wanted}"),
            RestoreError::Target { path, .. } => format!("{path} can't be written"),
            RestoreError::Occupied { .. } => "The claim is not empty, so nothing was written to it".into(),
            RestoreError::Differs { path, .. } => format!("{path} is not what the backup holds"),
            RestoreError::Database(fault) => fault.what(),
            RestoreError::Longhorn(fault) => fault.what(),
            RestoreError::LonghornDamaged { fault, .. } => fault.what(),
            RestoreError::Internal(_) => "A restore met a fault of the program".into(),
        }
    }

    fn why(&self) -> String {
        match self {
            RestoreError::Kube { why, .. }
            | RestoreError::Repository { why, .. }
            | RestoreError::Damaged { why, .. }
            | RestoreError::Target { why, .. }
            | RestoreError::Occupied { why, .. }
            | RestoreError::Differs { why, .. }
            | RestoreError::Internal(why) => why.clone(),
            RestoreError::GateStays { .. } => "an API server still reads an old ledger".into(),
            RestoreError::JobFailed { log, .. } => format!("its job gave up: {log}"),
            RestoreError::Store(e) => e.why(),
            RestoreError::Database(fault) => fault.why(),
            RestoreError::Longhorn(fault) => fault.why(),
            RestoreError::LonghornDamaged { fault, .. } => fault.why(),
            RestoreError::NoSnapshot { .. } => "the castle file names one that is not there".into(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            RestoreError::Kube { .. } | RestoreError::GateStays { .. } => {
                "Start again: what stands is kept, nothing is restored twice.".into()
            }
            RestoreError::JobFailed { .. } => {
                "Its applications stay down and nothing was overwritten. Mend the cause and start again.".into()
            }
            RestoreError::Store(e) => e.remedy(),
            RestoreError::Database(fault) => fault.remedy(),
            RestoreError::Longhorn(fault) => fault.remedy(),
            RestoreError::LonghornDamaged { fault, whole } => match whole {
                Whole::Unknown => fault.remedy(),
                known => format!("Its applications stay down. {}", known.remedy("backup")),
            },
            RestoreError::Repository { .. } => {
                "Check bucket, prefix and password in castle.yaml; try `restic snapshots` with the same.".into()
            }
            RestoreError::NoSnapshot { .. } => "See what there is with `restic snapshots` and mend castle.yaml.".into(),
            RestoreError::Target { .. } => "Check the size of the claim and start again.".into(),
            RestoreError::Damaged { whole, .. } => {
                format!("{} `restic check --read-data` shows all that is damaged.", whole.remedy("snapshot"))
            }
            RestoreError::Occupied { .. } => {
                "Empty it, or give the treasure a claim of its own, and start again.".into()
            }
            RestoreError::Differs { .. } => {
                "Its applications stay down. Check the claim's disk and the backup (a restic repository with `restic check --read-data`).".into()
            }
            RestoreError::Internal(_) => "Please report it with this text.".into(),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            RestoreError::Kube { transient, .. } => *transient,
            RestoreError::Store(e) => e.is_transient(),
            RestoreError::Longhorn(fault) => fault.is_transient(),
            _ => false,
        }
    }
}
