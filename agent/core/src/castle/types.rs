//! The fields of the castle file, version 1.

use std::{collections::BTreeMap, fmt, time::Duration};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use url::Url;

use super::{OldCastle, Postgres, Pulse, cidr};
use crate::way::Proxy;

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

/// How the rescue image behaves on a borrowed computer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Laptop {
    /// Minutes without a line typed at the passphrase prompt after which the machine powers off, 1 to 240.
    pub idle_minutes: u16,
    /// Pulling the stick out wipes the memory and switches the machine off.
    pub wipe_when_stick_is_removed: bool,
    /// The country (two capitals, ISO 3166) whose radio rules the Wi-Fi card keeps. Without it the card keeps those that hold everywhere, until the access
    /// point names its country.
    pub wifi_country: Option<String>,
    /// A proxy (`http://host:port`), for networks on which nothing else leads out. It is tried when the castle's hosts do not answer straight.
    pub proxy: Option<Proxy>,
    /// Network cards keep the hardware addresses that their makers gave them. Without it each run has random ones.
    pub keep_mac: bool,
    /// The layout of the keyboard when the passphrase is asked for; Ctrl-L there takes the next one.
    pub keyboard: Keyboard,
}

/// What the keys of a keyboard give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Keyboard {
    /// American.
    #[default]
    Us,
    /// British.
    Gb,
    /// Italian.
    It,
    /// German.
    De,
    /// French.
    Fr,
    /// Spanish.
    Es,
}

impl Default for Laptop {
    fn default() -> Self {
        Laptop {
            idle_minutes: 15,
            wipe_when_stick_is_removed: false,
            wifi_country: None,
            proxy: None,
            keep_mac: false,
            keyboard: Keyboard::Us,
        }
    }
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

/// Where a secret is: `vault:<path>`, `infisical:<NAME>` or `sops:<file>#<key>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub enum SecretRef {
    /// An entry of the vault.
    Vault(String),
    /// A secret of the Infisical project.
    Infisical(String),
    /// A value in a file of the Git repository that SOPS encrypted.
    Sops {
        /// Path of the file in the repository.
        file: String,
        /// The keys that lead to the value, `/` between them (`~1` stands for `/` and `~0` for `~` in a key, as in a JSON
        /// pointer); `None` for all of a file that SOPS encrypted as binary.
        key: Option<String>,
    },
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once(':') {
            Some(("vault", path)) if !path.is_empty() => Ok(SecretRef::Vault(path.to_owned())),
            Some(("infisical", name)) if !name.is_empty() => Ok(SecretRef::Infisical(name.to_owned())),
            Some(("sops", place)) if !place.is_empty() && !place.starts_with(['/', '#']) => {
                let (file, key) = place
                    .split_once('#')
                    .map_or((place, None), |(file, key)| (file, Some(key.to_owned())));
                Ok(SecretRef::Sops {
                    file: file.to_owned(),
                    key,
                })
            }
            // The text is not repeated: it may be a secret that somebody pasted here.
            _ => Err(de::Error::custom(
                "a secret is named by where it is, `vault:<path>`, `infisical:<NAME>` or `sops:<file>#<key>`, never written here",
            )),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::Vault(path) => write!(f, "vault:{path}"),
            SecretRef::Infisical(name) => write!(f, "infisical:{name}"),
            SecretRef::Sops { file, key: None } => write!(f, "sops:{file}"),
            SecretRef::Sops { file, key: Some(key) } => write!(f, "sops:{file}#{key}"),
        }
    }
}

/// Secret stores besides the vault.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretStores {
    /// An Infisical project.
    #[serde(default)]
    pub infisical: Option<Infisical>,
    /// Files of the Git repository that SOPS encrypted to an age identity.
    #[serde(default)]
    pub sops: Option<Sops>,
}

/// What opens the SOPS files of the Git repository.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sops {
    /// The age identities, as `age-keygen` writes them (`AGE-SECRET-KEY-1...`, one to a line), from the vault.
    pub age_identity: SecretRef,
}

/// An Infisical project and the machine identity that reads it (universal auth).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Infisical {
    /// Base URL, for example `https://eu.infisical.com`.
    pub url: Url,
    /// Project id.
    pub project_id: String,
    /// Environment slug, for example `prod`.
    pub environment: String,
    /// Folder, for example `/skykeep`.
    pub path: String,
    /// Universal auth client id.
    pub client_id: SecretRef,
    /// Universal auth client secret.
    pub client_secret: SecretRef,
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

/// The cloud supplier: exactly one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cloud {
    /// Amazon Web Services.
    Aws(Aws),
    /// Hetzner Cloud.
    Hetzner(Hetzner),
}

/// A castle on AWS.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aws {
    /// Region, for example `eu-central-1`.
    pub region: String,
    /// Access key id.
    pub access_key_id: SecretRef,
    /// Secret access key.
    pub secret_access_key: SecretRef,
    /// Session token, when the keys are temporary ones. They must outlive the rebirth.
    #[serde(default)]
    pub session_token: Option<SecretRef>,
    /// ARN of a role that is assumed with the keys, `arn:aws:iam::...:role/...`.
    #[serde(default)]
    pub assume_role: Option<String>,
    /// The castle's own network; /16 to /20.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "cidr::read")]
    pub vpc_cidr: Ipv4Net,
    /// Availability zones, three for three control planes.
    pub zones: Vec<String>,
    /// Image id (`ami-...`) of a stock Debian 12 cloud image, or `ssm:` and the name of the SSM parameter that holds it.
    pub image: String,
    /// Control-plane nodes.
    pub control_planes: NodeGroup,
    /// Worker nodes.
    pub workers: NodeGroup,
}

/// A group of equal nodes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// How many.
    pub count: u8,
    /// Instance type, for example `t3.large`.
    pub instance_type: String,
    /// Types to take, in this order, when AWS has no machine of `instanceType` left in a zone.
    #[serde(default)]
    pub alternatives: Vec<String>,
    /// Root disk, GiB.
    #[serde(rename = "diskGiB")]
    pub disk_gib: u32,
}

/// A castle at Hetzner Cloud.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hetzner {
    /// API token of the project, with read and write permission.
    pub token: SecretRef,
    /// Network zone that all locations lie in, for example `eu-central`.
    pub network_zone: String,
    /// Locations, for example `[fsn1, nbg1, hel1]`, three for three control planes. The load balancer stands in the first.
    pub locations: Vec<String>,
    /// The castle's own network; /16 to /20.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "cidr::read")]
    pub network_cidr: Ipv4Net,
    /// Name of Hetzner's stock Debian 12 image: `debian-12`.
    pub image: String,
    /// Control-plane nodes.
    pub control_planes: ServerGroup,
    /// Worker nodes.
    pub workers: ServerGroup,
    /// Type of the load balancer, for example `lb11`.
    pub load_balancer_type: String,
}

/// A group of equal nodes at Hetzner Cloud. The disk belongs to the type.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerGroup {
    /// How many.
    pub count: u8,
    /// Server type, for example `cpx31`.
    pub server_type: String,
    /// Types to take, in this order, when Hetzner has no server of `serverType` left in a location.
    #[serde(default)]
    pub alternatives: Vec<String>,
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

/// The owner's Git repository, in the layout of `flux bootstrap`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gitops {
    /// HTTPS URL.
    pub url: Url,
    /// Branch.
    pub branch: String,
    /// The root path, for example `clusters/home`.
    pub path: String,
    /// User name that goes with the token.
    #[serde(default = "git_user")]
    pub username: String,
    /// The token.
    pub token: SecretRef,
    /// A commit to be reborn from; the branch's head when absent.
    #[serde(default)]
    pub revision: Option<String>,
}

fn git_user() -> String {
    "git".into()
}

/// The contract with the repository: what it expects to find before Flux starts.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeforeFlux {
    /// Namespaces.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// ConfigMaps, for example the variables for substitution.
    #[serde(default)]
    pub config_maps: Vec<ConfigMapSpec>,
    /// Secrets and where their values come from.
    #[serde(default)]
    pub secrets: Vec<SecretSpec>,
    /// StorageClass names that the repository uses, and what they mean here.
    #[serde(default)]
    pub storage_classes: Vec<StorageClassSpec>,
}

/// A ConfigMap to create.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapSpec {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Contents.
    pub data: BTreeMap<String, String>,
}

/// A Secret to create.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretSpec {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kubernetes secret type.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Key -> where its value is.
    pub data: BTreeMap<String, SecretRef>,
}

/// A StorageClass name and its provisioner.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageClassSpec {
    /// Name that claims use.
    pub name: String,
    /// Provisioner, for example `rancher.io/local-path`.
    pub provisioner: String,
    /// Whether claims without a class get this one.
    #[serde(default)]
    pub default: bool,
}

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
    /// The backup is a restic repository. Exactly one of `restic` and `postgres` is given.
    #[serde(default)]
    pub restic: Option<Restic>,
    /// The backup is a pgBackRest repository, the treasure a PostgreSQL database.
    #[serde(default)]
    pub postgres: Option<Postgres>,
}

/// Where a treasure's backup is.
#[derive(Debug, Clone, Copy)]
pub enum Backup<'a> {
    /// In a restic repository.
    Restic(&'a Restic),
    /// In a pgBackRest repository.
    Postgres(&'a Postgres),
}

impl Treasure {
    /// Where its backup is; `None` when the castle file gives none, or two.
    pub fn backup(&self) -> Option<Backup<'_>> {
        match (&self.restic, &self.postgres) {
            (Some(restic), None) => Some(Backup::Restic(restic)),
            (None, Some(postgres)) => Some(Backup::Postgres(postgres)),
            _ => None,
        }
    }
}

impl Treasure {
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

impl Serialize for SecretRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
