//! Where images and downloads come from when their own places refuse.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::SecretRef;

/// A registry of container images: a mirror that is asked first, a login, or both.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// Its host as image names say it, for example `docker.io`.
    pub host: String,
    /// A mirror that nodes ask first; with a path it is asked below that, for example `https://mirror.example.net/v2/hub`.
    #[serde(default)]
    pub mirror: Option<Url>,
    /// User name at the mirror; without a mirror, at the registry itself.
    #[serde(default)]
    pub username: Option<SecretRef>,
    /// Password or token that belongs to it. It stays on the nodes, where only root reads it.
    #[serde(default)]
    pub password: Option<SecretRef>,
}

/// A bucket with a copy of everything that castle.lock pins. `skykeep lock --mirror` fills it; nodes take from it what its own
/// place refuses.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mirror {
    /// Bucket name.
    pub bucket: String,
    /// What its keys begin with.
    #[serde(default = "prefix")]
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
    /// Images to copy that the repository does not name openly, such as those of a chart's defaults.
    #[serde(default)]
    pub images: Vec<String>,
}

fn prefix() -> String {
    "mirror".into()
}

impl Mirror {
    /// The key of a copy, by the SHA-256 of its content in hex.
    pub fn key(&self, sha256: &str) -> String {
        format!("{}/sha256/{sha256}", self.prefix.trim_matches('/'))
    }
}
