//! What `kubectl` sees of a restore: an annotation on the claim, written by whoever follows the job.

use std::{sync::Mutex, time::Duration};

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::Instant;

use crate::{gate::core, jobs::Target};

/// The annotation.
pub(crate) const PROGRESS: &str = "skykeep.dev/progress";
/// Not more often than this.
const EVERY: Duration = Duration::from_secs(3);

/// Writes the annotation of one claim.
pub(crate) struct Told<'a> {
    claims: Api<DynamicObject>,
    claim: &'a str,
    last: Mutex<Option<Instant>>,
}

impl<'a> Told<'a> {
    pub(crate) fn new(client: &Client, target: Target<'a>) -> Self {
        let claims = core("PersistentVolumeClaim", "persistentvolumeclaims");
        Told {
            claims: Api::namespaced_with(client.clone(), target.namespace, &claims),
            claim: target.claim,
            last: Mutex::default(),
        }
    }

    /// Says how far it is, unless it was just said.
    pub(crate) async fn tell(&self, text: String) {
        if self.is_due() {
            self.at_once(&text).await;
        }
    }

    fn is_due(&self) -> bool {
        let Ok(mut last) = self.last.lock() else { return false };
        let due = last.is_none_or(|at| at.elapsed() >= EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    /// Says it now. That it could not be said is no reason to stop a restore.
    pub(crate) async fn at_once(&self, text: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {PROGRESS: text}}}));
        let _ = self.claims.patch(self.claim, &PatchParams::default(), &patch).await;
    }
}
