//! From references to secrets: all of them, or one error.

use std::collections::BTreeMap;

use skykeep_core::{
    Secret,
    castle::{Infisical, SecretRef},
};

use crate::{error::SecretsError, infisical::Client};

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
}

/// Finds every reference: first in the vault, then, with one login and one list, in Infisical.
///
/// `vault` gives a copy of a vault entry. Infisical is left alone when nothing refers to it.
pub async fn resolve(
    references: &[SecretRef],
    vault: impl Fn(&str) -> Option<Secret>,
    infisical: Option<&Infisical>,
    http: &reqwest::Client,
) -> Result<Secrets, SecretsError> {
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    let mut names = Vec::new();
    for reference in references {
        match reference {
            SecretRef::Vault(path) => match vault(path) {
                Some(secret) => drop(found.insert(reference.clone(), secret)),
                None => missing.push(format!("{reference} is not in the vault")),
            },
            SecretRef::Infisical(name) => names.push((reference, name)),
        }
    }
    if !names.is_empty() {
        let config = infisical.ok_or(SecretsError::NoProject)?;
        let mut key = |reference: &SecretRef| {
            let SecretRef::Vault(path) = reference else { return None };
            let secret = vault(path);
            let line = format!("{reference} is not in the vault");
            if secret.is_none() && !missing.contains(&line) {
                missing.push(line);
            }
            secret
        };
        let (id, secret) = (key(&config.client_id), key(&config.client_secret));
        let (Some(id), Some(secret)) = (id, secret) else {
            return Err(SecretsError::Missing { missing });
        };
        let client = Client { config, http };
        let token = client.login(&id, &secret).await?;
        let mut listed = client.list(&token).await?;
        for (reference, name) in names {
            match listed.remove(name) {
                Some(secret) => drop(found.insert(reference.clone(), secret)),
                None if found.contains_key(reference) => {}
                None => missing.push(format!(
                    "{reference} is not in environment {}, folder {} at {}",
                    config.environment,
                    config.path,
                    config.url.host_str().unwrap_or_default()
                )),
            }
        }
    }
    if missing.is_empty() {
        Ok(Secrets(found))
    } else {
        Err(SecretsError::Missing { missing })
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
