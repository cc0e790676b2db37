//! Where visitors come in, and how it is known that the applications are well.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// The way in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Ports.
    pub ports: Vec<EntryPort>,
}

/// A port of the entry.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntryPort {
    /// The port the world uses.
    pub port: u16,
    /// The port on every node; 30000 to 32767.
    pub node_port: u16,
}

/// One condition of being alive, asked through the real entry.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// HTTPS URL with the real name.
    pub url: Url,
    /// Expected status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Expected lower-case hex SHA-256 of the body.
    #[serde(default)]
    pub sha256: Option<String>,
}

fn ok() -> u16 {
    200
}
