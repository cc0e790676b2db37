//! What every store of secrets has in common.

use std::collections::BTreeMap;

use async_trait::async_trait;
use skykeep_core::{Secret, castle::SecretRef};

use crate::error::SecretsError;

/// What a store answered.
#[derive(Default)]
pub(crate) struct Fetched {
    /// What it has.
    pub(crate) found: BTreeMap<SecretRef, Secret>,
    /// One line for each thing that it does not have, with the place where it was looked for.
    pub(crate) missing: Vec<String>,
}

/// A place where secrets are kept. It is asked once for everything that is wanted of it, and only if something is.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Whether this reference leads here.
    fn keeps(&self, reference: &SecretRef) -> bool;

    /// Everything that is wanted. A store that is down, refuses or answers rubbish is an error.
    async fn fetch(&self, wanted: &[&SecretRef]) -> Result<Fetched, SecretsError>;
}

/// Gives a copy of a vault entry.
pub(crate) type Look<'a> = &'a (dyn Fn(&str) -> Option<Secret> + Sync);

/// The open vault.
pub(crate) struct InVault<'a>(pub(crate) Look<'a>);

#[async_trait]
impl Store for InVault<'_> {
    fn keeps(&self, reference: &SecretRef) -> bool {
        matches!(reference, SecretRef::Vault(_))
    }

    async fn fetch(&self, wanted: &[&SecretRef]) -> Result<Fetched, SecretsError> {
        let mut fetched = Fetched::default();
        for reference in wanted {
            fetched.take(reference, entry(self.0, reference));
        }
        Ok(fetched)
    }
}

impl Fetched {
    /// A secret that must come from the vault, or a line that says that it is missing there.
    pub(crate) fn take(&mut self, reference: &SecretRef, secret: Option<Secret>) {
        match secret {
            Some(secret) => drop(self.found.insert(reference.clone(), secret)),
            None => self.missing.push(format!("{reference} is not in the vault")),
        }
    }
}

/// The vault entry behind a reference; `None` as well when it leads elsewhere.
pub(crate) fn entry(vault: Look<'_>, reference: &SecretRef) -> Option<Secret> {
    match reference {
        SecretRef::Vault(path) => vault(path),
        _ => None,
    }
}
