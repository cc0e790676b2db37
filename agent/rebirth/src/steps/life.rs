//! The castle's own pulse: from here on no other rebirth takes its names by mistake.

use std::sync::Arc;

use skykeep_cluster::pulse::{self as job, Job};
use skykeep_core::{Explained, Progress, Secret, Trouble, castle::Pulse};

use super::step;
use crate::{engine::Step, estate::Estate, pulse::Spec};

pub(super) fn step_() -> Step<Estate> {
    let needs = ["cluster.guard"];
    step("cluster.pulse", "the pulse that stays", &needs, (2, 120), apply)
}

async fn apply(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let Some(pulse) = &estate.castle.pulse else {
        return Ok("none".into());
    };
    let who = estate.generation.get()?.to_string();
    let keys = Keys::of(&estate, pulse, &who)?;
    job::apply(estate.api.get()?, &estate.lock, &keys.job(&estate)).await?;
    Ok("applied".into())
}

/// The manifest for a castle that Skykeep did not build.
pub(crate) fn manifest(estate: &Estate, name: &str) -> Result<Secret, Trouble> {
    let Some(pulse) = &estate.castle.pulse else {
        return Err(Explained {
            what: "There is no pulse to give".into(),
            why: "castle.yaml has no `pulse`".into(),
            remedy: "Add `pulse: {accessKeyId: ..., secretAccessKey: ...}` with keys that may do only what docs/aws-policy-pulse.json \
                 lists."
                .into(),
        }
        .into());
    };
    let keys = Keys::of(estate, pulse, name)?;
    Ok(job::manifest(&estate.lock, &keys.job(estate))?)
}

/// What the job gets.
struct Keys<'a> {
    spec: String,
    id: &'a Secret,
    key: &'a Secret,
    seal: Secret,
}

impl<'a> Keys<'a> {
    fn of(estate: &'a Estate, pulse: &Pulse, who: &str) -> Result<Self, Trouble> {
        let spec = Spec::of(&estate.castle, who);
        let spec = serde_json::to_string(&spec).map_err(|e| crate::sealed::problem("pulse.json", &e.to_string()))?;
        Ok(Keys {
            spec,
            id: estate.secrets.get(&pulse.access_key_id)?,
            key: estate.secrets.get(&pulse.secret_access_key)?,
            seal: Secret::from_string(hex::encode(estate.pulse_key().expose())),
        })
    }

    fn job(&'a self, estate: &'a Estate) -> Job<'a> {
        Job {
            spec: &self.spec,
            extra_ca_pem: estate.trust.extra_pem(),
            access_key_id: self.id,
            secret_access_key: self.key,
            seal: &self.seal,
        }
    }
}
