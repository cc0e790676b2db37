//! The names and who keeps them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretRef;

/// The names that move, at one supplier.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dns {
    /// Zones at Cloudflare.
    #[serde(default)]
    pub cloudflare: Option<Cloudflare>,
    /// A zone of a name server that takes signed dynamic updates (RFC 2136).
    #[serde(default)]
    pub rfc2136: Option<Rfc2136>,
}

impl Dns {
    /// Every zone and its names, in the order in which they move.
    pub fn zones(&self) -> impl Iterator<Item = (&str, &[String])> {
        let dynamic = self.rfc2136.iter().map(|z| (z.zone.as_str(), z.records.as_slice()));
        self.cloudflare.iter().flat_map(Cloudflare::zones).chain(dynamic)
    }

    /// What becomes of names that are not listed and point to the same addresses.
    pub fn others(&self) -> Others {
        let dynamic = self.rfc2136.as_ref().map(|z| z.others);
        self.cloudflare
            .as_ref()
            .map(|z| z.others)
            .or(dynamic)
            .unwrap_or_default()
    }

    /// The secret that the supplier wants.
    pub fn secret(&self) -> Option<&SecretRef> {
        let dynamic = self.rfc2136.as_ref().map(|z| &z.secret);
        self.cloudflare.as_ref().map(|z| &z.token).or(dynamic)
    }
}

/// A zone of a name server that takes signed dynamic updates.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rfc2136 {
    /// The zone's primary name server: a name or an address.
    pub server: String,
    /// Its TCP port.
    #[serde(default = "domain")]
    pub port: u16,
    /// The name of the shared key (TSIG).
    pub key: String,
    /// How it signs.
    #[serde(default)]
    pub algorithm: KeyAlgorithm,
    /// The key itself, base64, as name servers write it.
    pub secret: SecretRef,
    /// Zone, for example `example.org`.
    pub zone: String,
    /// Full names of the A records that will point at the entry.
    pub records: Vec<String>,
    /// What becomes of names that are not listed and point to the same addresses as those that are.
    #[serde(default)]
    pub others: Others,
}

fn domain() -> u16 {
    53
}

/// How a shared key signs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum KeyAlgorithm {
    /// HMAC-SHA256.
    #[default]
    #[serde(rename = "hmac-sha256")]
    Sha256,
    /// HMAC-SHA384.
    #[serde(rename = "hmac-sha384")]
    Sha384,
    /// HMAC-SHA512.
    #[serde(rename = "hmac-sha512")]
    Sha512,
}

/// A zone at Cloudflare and the records that are ours to move.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cloudflare {
    /// API token that may edit the zone.
    pub token: SecretRef,
    /// Zone, for example `example.org`.
    pub zone: String,
    /// Full names of the A records that will point at the entry.
    pub records: Vec<String>,
    /// What becomes of names that are not listed and point to the same addresses as those that are.
    #[serde(default)]
    pub others: Others,
    /// Further zones of the same token. Each is a transaction of its own; they move in this order, after the first.
    #[serde(default)]
    pub further: Vec<FurtherZone>,
}

impl Cloudflare {
    /// Every zone and its names, in the order in which they move.
    pub fn zones(&self) -> impl Iterator<Item = (&str, &[String])> {
        let first = std::iter::once((self.zone.as_str(), self.records.as_slice()));
        first.chain(self.further.iter().map(|z| (z.zone.as_str(), z.records.as_slice())))
    }
}

/// Names that point to the old castle too, but are not listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Others {
    /// They are shown and stay.
    #[default]
    Show,
    /// They move as well.
    Move,
}

/// A further zone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FurtherZone {
    /// Zone, for example `example.net`.
    pub zone: String,
    /// Full names of the A records that will point at the entry.
    pub records: Vec<String>,
}
