//! The open vault.

use std::collections::BTreeMap;

use skykeep_core::Secret;

use crate::{
    crypt,
    error::VaultError,
    format::{self, Header, MAX_SLOTS, Slot, SlotBody, SlotId, SlotKind, slot_aad},
    kdf::{self, KdfParams},
    payload,
};

/// One secret of the vault.
pub struct Entry {
    /// The secret.
    pub value: Secret,
    /// What it is for, in the owner's words; may be empty.
    pub note: String,
}

/// A slot as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its number.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// What opening it costs; `None` for reserved kinds.
    pub params: Option<KdfParams>,
}

/// A vault that is open. Its secrets lie in locked memory and are wiped when it is dropped.
pub struct Vault {
    header: Header,
    data_key: Secret,
    root: Secret,
    entries: BTreeMap<String, Entry>,
}

impl Vault {
    /// A new vault with a fresh root, no entries, and one slot for this passphrase.
    pub fn create(passphrase: &Secret, params: KdfParams) -> Result<Self, VaultError> {
        let mut vault = Vault {
            header: Header {
                vault_id: crypt::random()?,
                counter: 0,
                slots: Vec::new(),
            },
            data_key: crypt::random_key()?,
            root: crypt::random_key()?,
            entries: BTreeMap::new(),
        };
        vault.add_slot(SlotKind::Passphrase, passphrase, params)?;
        Ok(vault)
    }

    /// Opens a sealed vault.
    pub fn open(file: &[u8], passphrase: &Secret) -> Result<Self, VaultError> {
        let passphrase = kdf::normalise(passphrase)?;
        open_with(file, |salt, params| kdf::argon2id(&passphrase, salt, params))
    }

    /// The file that holds this vault, one version higher than the last: the counter rises with each call.
    pub fn seal(&mut self) -> Result<Vec<u8>, VaultError> {
        let plain = payload::encode(&self.root, &self.entries)?;
        self.header.counter += 1;
        let prefix = self.header.prefix();
        let nonce = crypt::random()?;
        let sealed = crypt::seal(&self.data_key, nonce, &prefix, &plain)?;
        Ok(format::assemble(&prefix, nonce, &sealed))
    }

    /// The castle's root: 32 bytes from which everything of ours is derived.
    pub fn root(&self) -> &Secret {
        &self.root
    }

    /// How often this vault was sealed: of two copies with the same [`Vault::id`], the higher is the later.
    pub fn counter(&self) -> u64 {
        self.header.counter
    }

    /// What all copies of this vault have in common.
    pub fn id(&self) -> [u8; 16] {
        self.header.vault_id
    }

    /// The secret under a path.
    pub fn get(&self, path: &str) -> Option<&Secret> {
        self.entries.get(path).map(|entry| &entry.value)
    }

    /// Stores a secret, in place of what the path held.
    pub fn put(&mut self, path: &str, value: Secret, note: &str) -> Result<(), VaultError> {
        payload::check_path(path)?;
        self.entries.insert(
            path.to_owned(),
            Entry {
                value,
                note: note.to_owned(),
            },
        );
        Ok(())
    }

    /// Removes a secret; whether there was one.
    pub fn rm(&mut self, path: &str) -> bool {
        self.entries.remove(path).is_some()
    }

    /// Paths and notes, sorted by path.
    pub fn ls(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry.note.as_str()))
    }

    /// The slots.
    pub fn slots(&self) -> Vec<SlotInfo> {
        let info = |slot: &Slot| SlotInfo {
            id: slot.id,
            kind: slot.kind,
            params: match &slot.body {
                SlotBody::Argon2 { params, .. } => Some(*params),
                SlotBody::Opaque(_) => None,
            },
        };
        self.header.slots.iter().map(info).collect()
    }

    /// Adds a way to open the vault. Old copies of the file keep their old slots.
    pub fn add_slot(&mut self, kind: SlotKind, secret: &Secret, params: KdfParams) -> Result<SlotId, VaultError> {
        if matches!(kind, SlotKind::Reserved(_)) {
            return Err(VaultError::Slot("this program can't make a slot of that kind"));
        }
        if self.header.slots.len() >= MAX_SLOTS {
            return Err(VaultError::Slot("there are 8 already"));
        }
        params.check()?;
        let id = (1..=u8::MAX)
            .find(|id| self.header.slots.iter().all(|s| s.id != *id))
            .unwrap_or(u8::MAX);
        let salt = crypt::random()?;
        let key = kdf::argon2id(&kdf::normalise(secret)?, &salt, params)?;
        let nonce = crypt::random()?;
        let aad = slot_aad(&self.header.vault_id, id, kind, params, &salt);
        let wrapped = crypt::seal(&key, nonce, &aad, self.data_key.expose())?;
        let wrapped = wrapped
            .try_into()
            .map_err(|_| VaultError::Machine("a wrapped key has not its length".into()))?;
        self.header.slots.push(Slot {
            id,
            kind,
            body: SlotBody::Argon2 {
                params,
                salt,
                nonce,
                wrapped,
            },
        });
        Ok(id)
    }

    /// Removes a slot; the last one that this program can open stays.
    pub fn rm_slot(&mut self, id: SlotId) -> Result<(), VaultError> {
        if self.header.slots.iter().all(|s| s.id != id) {
            return Err(VaultError::Slot("there is no slot with this number"));
        }
        let others = self
            .header
            .slots
            .iter()
            .filter(|s| s.id != id && matches!(s.body, SlotBody::Argon2 { .. }));
        if others.count() == 0 {
            return Err(VaultError::Slot("it is the last one that opens this vault"));
        }
        self.header.slots.retain(|s| s.id != id);
        Ok(())
    }
}

/// Opens with whatever turns a slot's salt and parameters into its key.
pub(crate) fn open_with(
    file: &[u8],
    mut key_of: impl FnMut(&[u8; 32], KdfParams) -> Result<Secret, VaultError>,
) -> Result<Vault, VaultError> {
    let parts = format::take_apart(file)?;
    for slot in &parts.header.slots {
        let SlotBody::Argon2 {
            params,
            salt,
            nonce,
            wrapped,
        } = &slot.body
        else {
            continue;
        };
        let key = key_of(salt, *params)?;
        let aad = slot_aad(&parts.header.vault_id, slot.id, slot.kind, *params, salt);
        let Some(mut data_key) = crypt::open(&key, *nonce, &aad, wrapped)? else {
            continue;
        };
        let data_key = Secret::new(std::mem::take(&mut *data_key));
        let plain = crypt::open(&data_key, parts.nonce, parts.prefix, parts.sealed)?.ok_or(VaultError::Damaged(
            "its seal does not fit its content: somebody changed this copy",
        ))?;
        let (root, entries) = payload::decode(&plain)?;
        return Ok(Vault {
            header: parts.header,
            data_key,
            root,
            entries,
        });
    }
    Err(VaultError::WrongPassphrase)
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
