//! The fields of the castle file, version 1.

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{
    BeforeFlux, Cloud, Disposable, Dns, Entry, Gitops, Health, Laptop, Mirror, OldCastle, Pulse, Registry, SecretRef,
    SecretStores, Treasure, cidr,
};

/// A castle, as described by its owner.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Castle {
    /// Must be `skykeep.dev/v1`.
    pub api_version: ApiVersion,
    /// Must be `Castle`.
    pub kind: Kind,
    /// Name of the castle: lower-case letters, digits and hyphens, at most 20.
    pub name: String,
    /// Where secrets live besides the vault.
    #[serde(default)]
    pub secrets: SecretStores,
    /// The bucket that holds lease, journal and sealed node blobs.
    pub state: State,
    /// Where the castle is built.
    pub cloud: Cloud,
    /// The Kubernetes cluster.
    pub cluster: Cluster,
    /// The owner's Git repository.
    pub gitops: Gitops,
    /// What the repository expects to find before Flux starts.
    #[serde(default)]
    pub before_flux: BeforeFlux,
    /// Data that must come back before its application starts.
    #[serde(default)]
    pub treasures: Vec<Treasure>,
    /// Claims whose content may be lost: they start empty.
    #[serde(default)]
    pub disposable: Vec<Disposable>,
    /// The ports through which the world comes in.
    pub entry: Entry,
    /// When is the castle alive.
    #[serde(default)]
    pub health: Vec<Health>,
    /// The names that move to the castle.
    #[serde(default)]
    pub dns: Option<Dns>,
    /// The sign of life that the castle gives, so that no later rebirth takes its names while it lives.
    #[serde(default)]
    pub pulse: Option<Pulse>,
    /// What is known about the castle before this one.
    #[serde(default)]
    pub old_castle: OldCastle,
    /// How the rescue image behaves on a borrowed computer.
    #[serde(default)]
    pub laptop: Laptop,
    /// Registries of images that need a login or have a mirror.
    #[serde(default)]
    pub registries: Vec<Registry>,
    /// A copy of everything that castle.lock pins, for the day when its own places refuse.
    #[serde(default)]
    pub mirror: Option<Mirror>,
    /// Where a newer copy of the vault may lie than the one at hand.
    #[serde(default)]
    pub vault: VaultCopies,
}

/// Where a newer copy of the vault may lie. It is looked for after the one at hand was opened; the highest version that
/// proves itself is used.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultCopies {
    /// HTTPS address of the file. No credential is sent.
    #[serde(default)]
    pub url: Option<Url>,
    /// An object in a bucket. `skykeep vault push` writes it.
    #[serde(default)]
    pub s3: Option<VaultObject>,
}

/// A vault file in a bucket.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultObject {
    /// Bucket name.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// AWS region.
    pub region: String,
    /// Endpoint when it is not AWS.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// Access key id, from the vault.
    pub access_key_id: SecretRef,
    /// Secret access key, from the vault.
    pub secret_access_key: SecretRef,
}

/// The schema's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// Version 1.
    #[serde(rename = "skykeep.dev/v1")]
    V1,
}

/// The kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Kind {
    /// A castle.
    Castle,
}

/// The S3 bucket of the castle's state.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// Bucket name.
    pub bucket: String,
    /// AWS region.
    pub region: String,
    /// Endpoint when it is not AWS, for example `https://s3.example.net`.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// Access key id.
    pub access_key_id: SecretRef,
    /// Secret access key.
    pub secret_access_key: SecretRef,
}

/// The Kubernetes cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Version, for example `v1.36.3`; the lock must be for the same.
    pub kubernetes: String,
    /// Network of the pods.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "cidr::read")]
    pub pod_cidr: Ipv4Net,
    /// Network of the services.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "cidr::read")]
    pub service_cidr: Ipv4Net,
    /// How pods reach one another.
    pub cni: Cni,
}

/// Pod networks we can build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cni {
    /// Flannel with VXLAN.
    Flannel,
}
