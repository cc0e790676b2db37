//! Where a secret is, never what it is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use url::Url;

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

impl Serialize for SecretRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
