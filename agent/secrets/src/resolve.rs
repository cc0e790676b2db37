//! From references to secrets: all of them, or one error.

use std::collections::{BTreeMap, BTreeSet};

use skykeep_core::{
    Secret,
    castle::{Infisical, SecretRef, Sops},
};

use crate::{
    error::SecretsError,
    infisical::InInfisical,
    sops::InSops,
    store::{Fetched, InVault, Store},
};

/// Every secret that was asked for.
pub struct Secrets(BTreeMap<SecretRef, Secret>);

impl Secrets {
    /// The secret of a reference. The error names it; it can't come for references that were given to [`resolve`].
    pub fn get(&self, reference: &SecretRef) -> Result<&Secret, SecretsError> {
        let missing = || SecretsError::Missing {
            missing: vec![format!("{reference} was not among those fetched")],
        };
        self.0.get(reference).ok_or_else(missing)
    }

    /// The references, sorted.
    pub fn references(&self) -> impl Iterator<Item = &SecretRef> {
        self.0.keys()
    }

    /// These secrets and those.
    pub fn and(mut self, others: Secrets) -> Self {
        self.0.extend(others.0);
        self
    }
}

/// Finds every reference to the vault and, with one login and one list, to Infisical. Those into SOPS files are left to
/// [`resolve_sops`], because reading the repository takes one of these.
///
/// `vault` gives a copy of a vault entry. Infisical is left alone when nothing refers to it.
pub async fn resolve(
    references: &[SecretRef],
    vault: impl Fn(&str) -> Option<Secret> + Sync,
    infisical: Option<&Infisical>,
    http: &reqwest::Client,
) -> Result<Secrets, SecretsError> {
    let infisical = InInfisical {
        config: infisical,
        vault: &vault,
        http,
    };
    gather(references, &[&InVault(&vault), &infisical]).await
}

/// Finds every reference into SOPS files of the Git repository, with the age identity that lies in the vault.
///
/// `file` gives a file of the repository. No file is decrypted when nothing refers to one.
pub async fn resolve_sops<'f>(
    references: &[SecretRef],
    vault: impl Fn(&str) -> Option<Secret> + Sync,
    sops: Option<&Sops>,
    file: impl Fn(&str) -> Option<&'f [u8]> + Sync,
) -> Result<Secrets, SecretsError> {
    let sops = InSops {
        config: sops,
        vault: &vault,
        file: &file,
    };
    gather(references, &[&sops]).await
}

/// Asks each store for what it keeps; what is missing anywhere is one error.
async fn gather(references: &[SecretRef], stores: &[&dyn Store]) -> Result<Secrets, SecretsError> {
    let mut all = Fetched::default();
    for store in stores {
        let wanted: BTreeSet<&SecretRef> = references.iter().filter(|r| store.keeps(r)).collect();
        if wanted.is_empty() {
            continue;
        }
        let wanted: Vec<&SecretRef> = wanted.into_iter().collect();
        let fetched = store.fetch(&wanted).await?;
        all.found.extend(fetched.found);
        for line in fetched.missing {
            if !all.missing.contains(&line) {
                all.missing.push(line);
            }
        }
    }
    if all.missing.is_empty() {
        Ok(Secrets(all.found))
    } else {
        Err(SecretsError::Missing { missing: all.missing })
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
