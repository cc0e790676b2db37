//! What the job in a living castle writes with.

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::Url;
use serde::{Deserialize, Serialize};
use skykeep_aws::{Credentials, S3};
use skykeep_core::{
    Explained, Secret, Trouble,
    castle::{Castle, Workload},
    http::Trust,
};

use super::{Record, Stop, must_stop, object, open, write};
use crate::lease::{self, Phase};

/// Where the job finds its description: `pulse.json`, and `ca.pem` beside it.
pub const SPEC: &str = "/etc/skykeep/pulse.json";
/// Where it finds its keys: `access-key-id`, `secret-access-key`, `seal`.
pub const KEYS: &str = "/etc/skykeep-keys";
/// One request.
const REQUEST: Duration = Duration::from_secs(20);

/// Where a castle gives its pulse, and what it stops when a newer one has the names. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The castle.
    pub castle: String,
    /// This generation, or the name of a castle that Skykeep did not make.
    pub who: String,
    /// The state bucket.
    pub bucket: String,
    /// AWS region.
    pub region: String,
    /// Endpoint when it is not AWS.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// What is stopped besides what is labelled.
    #[serde(default)]
    pub stop: Vec<Workload>,
}

impl Spec {
    /// Of a castle file, for one castle.
    pub fn of(castle: &Castle, who: &str) -> Self {
        Spec {
            castle: castle.name.clone(),
            who: who.to_owned(),
            bucket: castle.state.bucket.clone(),
            region: castle.state.region.clone(),
            endpoint: castle.state.endpoint.clone(),
            stop: castle.old_castle.stop.clone(),
        }
    }
}

/// The pen of one castle.
pub struct Pen {
    /// What was read.
    pub spec: Spec,
    s3: S3,
    seal: Secret,
}

impl Pen {
    /// Reads the description and the keys.
    pub fn open(spec: &Path, keys: &Path) -> Result<Self, Trouble> {
        let spec_text = read(spec)?;
        let parsed: Spec = serde_json::from_slice(&spec_text).map_err(|e| broken(spec, &e.to_string()))?;
        let authorities = read(&spec.with_file_name("ca.pem"))?;
        let trust = match authorities.is_empty() {
            true => Trust::public(),
            false => Trust::with_extra_pem(&authorities)?,
        };
        let key = |name: &str| Ok::<_, Explained>(Secret::new(read(&keys.join(name))?));
        let id = key("access-key-id")?;
        let id = id.expose_str().map(str::trim).unwrap_or_default().to_owned();
        let credentials = Credentials::new(id, key("secret-access-key")?);
        let s3 = S3::new(
            trust.http(REQUEST)?,
            Arc::new(credentials),
            parsed.region.clone(),
            parsed.endpoint.clone(),
            parsed.bucket.clone(),
        )?;
        let hex = key("seal")?;
        let seal = hex::decode(hex.expose()).map_err(|_| broken(&keys.join("seal"), "it is no hex"))?;
        Ok(Pen {
            spec: parsed,
            s3,
            seal: Secret::new(seal),
        })
    }

    fn name(&self) -> String {
        object(&self.spec.castle, &self.spec.who)
    }

    /// Gives one pulse.
    pub async fn beat(&self, record: &Record) -> Result<(), Trouble> {
        write(&self.s3, &self.seal, &self.name(), record).await
    }

    /// What this castle's pulse said last, also before this process began.
    pub async fn last(&self) -> Result<Option<Record>, Trouble> {
        let name = self.name();
        let found = self.s3.get(&name).await?;
        Ok(found.and_then(|object| open(&self.seal, &name, &object.bytes)))
    }

    /// Whether this castle has to step back for a newer one.
    pub async fn must_stop(&self) -> Result<Option<Stop>, Trouble> {
        let (castle, who) = (&self.spec.castle, &self.spec.who);
        let Some(found) = lease::peek(&self.s3, castle).await? else {
            return Ok(None);
        };
        let moved = format!("{castle}/{}/{}", crate::names::AFTER, found.record.generation);
        let moved = found.record.state == Phase::Building && self.s3.head(&moved).await?.is_some();
        Ok(must_stop(who, Some(&found.record), moved))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Explained> {
    std::fs::read(path).map_err(|e| broken(path, &e.to_string()))
}

fn broken(path: &Path, why: &str) -> Explained {
    Explained {
        what: format!("The pulse job can't use {}", path.display()),
        why: why.into(),
        remedy: "Run the rebirth again, or apply what `skykeep pulse manifest` prints once more.".into(),
    }
}
