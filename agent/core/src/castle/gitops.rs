//! The repository, and what must stand before Flux.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::SecretRef;

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
    /// What a castle is reborn from when no `revision` is named.
    #[serde(default)]
    pub from: RebornFrom,
    /// A commit of that branch to be reborn from, 40 hex digits, whatever `from` says.
    #[serde(default)]
    pub revision: Option<String>,
}

/// Which commit a castle is reborn from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RebornFrom {
    /// The last one at which the castle before was all green, as its pulse said; the branch's head when it never said one.
    #[default]
    Green,
    /// The branch's head.
    Head,
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
