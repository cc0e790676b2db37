//! The open vault.

use std::collections::BTreeMap;

use skykeep_core::Secret;

use crate::{
    crypt,
    error::VaultError,
    format::{self, Header},
    kdf::{self, KdfParams},
    payload, recovery,
    slot::{self, MAX_SLOTS, Slot, SlotBody, SlotKind},
};

/// Where a compromised vault keeps the roots it had, by the counter at which each was given up.
const RETIRED: &str = "retired/root-";

/// One secret of the vault.
pub struct Entry {
    /// The secret.
    pub value: Secret,
    /// What it is for, in the owner's words; may be empty.
    pub note: String,
    /// It was in a vault that was declared compromised, and was not replaced since.
    pub roll: bool,
}

/// An entry as it is listed: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryInfo<'a> {
    /// Its path.
    pub path: &'a str,
    /// What it is for.
    pub note: &'a str,
    /// Bytes of its value.
    pub size: usize,
    /// When it expires, seconds since 1970, if its owner said so.
    pub expires: Option<u64>,
    /// It has to be replaced: the vault was declared compromised.
    pub roll: bool,
}

/// A slot as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its name, unique within a vault.
    pub name: String,
    /// What opens it.
    pub kind: SlotKind,
    /// What opening it costs; `None` for reserved kinds.
    pub params: Option<KdfParams>,
}

/// A vault that is open. Its secrets lie in locked memory and are wiped when it is dropped.
pub struct Vault {
    pub(crate) header: Header,
    pub(crate) data_key: Secret,
    pub(crate) root: Secret,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// The slot that opened it.
    pub(crate) opened_by: String,
}

impl Vault {
    /// A new vault with a fresh root, no entries, and one slot named `passphrase`.
    pub fn create(passphrase: &Secret, params: KdfParams) -> Result<Self, VaultError> {
        let mut vault = Vault {
            header: Header {
                vault_id: crypt::random()?,
                counter: 0,
                slots: Vec::new(),
                expiries: BTreeMap::new(),
                unknown: Vec::new(),
            },
            data_key: crypt::random_key()?,
            root: crypt::random_key()?,
            entries: BTreeMap::new(),
            opened_by: "passphrase".into(),
        };
        vault.add_slot("passphrase", SlotKind::Passphrase, passphrase, params)?;
        Ok(vault)
    }

    /// The file that holds this vault, one version higher than the last: the counter rises with each call.
    pub fn seal(&mut self) -> Result<Vec<u8>, VaultError> {
        let plain = payload::encode(&self.root, &self.entries)?;
        self.header.counter += 1;
        let prefix = self.header.prefix()?;
        let nonce = crypt::random()?;
        let sealed = crypt::seal(&self.data_key, nonce, &prefix, &plain)?;
        format::assemble(&prefix, nonce, &sealed)
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

    /// The name of the slot that opened it.
    pub fn opened_by(&self) -> &str {
        &self.opened_by
    }

    /// The secret under a path.
    pub fn get(&self, path: &str) -> Option<&Secret> {
        self.entries.get(path).map(|entry| &entry.value)
    }

    /// Stores a secret, in place of what the path held. `expires` (seconds since 1970) is written into the part of the
    /// file that anybody can read, with the path, so that `skykeep check` can warn without a passphrase.
    pub fn put(&mut self, path: &str, value: Secret, note: &str, expires: Option<u64>) -> Result<(), VaultError> {
        payload::check_path(path)?;
        let entry = Entry {
            value,
            note: note.to_owned(),
            roll: false,
        };
        self.entries.insert(path.to_owned(), entry);
        match expires {
            Some(when) => drop(self.header.expiries.insert(path.to_owned(), when)),
            None => drop(self.header.expiries.remove(path)),
        }
        Ok(())
    }

    /// Removes a secret; whether there was one.
    pub fn rm(&mut self, path: &str) -> bool {
        self.header.expiries.remove(path);
        self.entries.remove(path).is_some()
    }

    /// The entries without their values, sorted by path.
    pub fn ls(&self) -> impl Iterator<Item = EntryInfo<'_>> {
        self.entries.iter().map(|(path, entry)| EntryInfo {
            path,
            note: &entry.note,
            size: entry.value.len(),
            expires: self.header.expiries.get(path).copied(),
            roll: entry.roll,
        })
    }

    /// The slots.
    pub fn slots(&self) -> Vec<SlotInfo> {
        self.header.slots.iter().map(SlotInfo::from).collect()
    }

    /// Adds a way to open the vault. Old copies of the file keep their old slots.
    /// A recovery code is taken in any spelling that [`Vault::open`] would take.
    pub fn add_slot(
        &mut self,
        name: &str,
        kind: SlotKind,
        secret: &Secret,
        params: KdfParams,
    ) -> Result<(), VaultError> {
        self.may_add_slot(name)?;
        let slot = self.wrap(name, kind, secret, params)?;
        self.header.slots.push(slot);
        Ok(())
    }

    /// Whether a slot of this name can be added: known before anybody types or writes down anything.
    pub fn may_add_slot(&self, name: &str) -> Result<(), VaultError> {
        slot::check_name(name)?;
        if self.header.slots.iter().any(|s| s.name == name) {
            return Err(VaultError::Slot(format!("there is a slot called `{name}` already")));
        }
        if self.header.slots.len() >= MAX_SLOTS {
            return Err(VaultError::Slot("there are 8 already".into()));
        }
        Ok(())
    }

    /// Gives a slot another passphrase or code, and its work. Old copies of the file still open with the old one.
    pub fn change_slot(&mut self, name: &str, secret: &Secret, params: KdfParams) -> Result<(), VaultError> {
        let changed = self.wrap(name, self.slot(name)?.kind, secret, params)?;
        // The name is unique: the new slot takes the old one's place in the list.
        if let Some(place) = self.header.slots.iter_mut().find(|s| s.name == name) {
            *place = changed;
        }
        Ok(())
    }

    /// Removes a slot; the last one that this program can open stays.
    pub fn rm_slot(&mut self, name: &str) -> Result<(), VaultError> {
        self.slot(name)?;
        let others = self
            .header
            .slots
            .iter()
            .filter(|s| s.name != name && matches!(s.body, SlotBody::Argon2 { .. }));
        if others.count() == 0 {
            return Err(VaultError::Slot("it is the last one that opens this vault".into()));
        }
        self.header.slots.retain(|s| s.name != name);
        Ok(())
    }

    fn slot(&self, name: &str) -> Result<&Slot, VaultError> {
        let found = self.header.slots.iter().find(|s| s.name == name);
        found.ok_or_else(|| VaultError::Slot(format!("there is no slot called `{name}`")))
    }

    fn wrap(&self, name: &str, kind: SlotKind, secret: &Secret, params: KdfParams) -> Result<Slot, VaultError> {
        params.check()?;
        let secret = match kind {
            SlotKind::Passphrase => kdf::normalise(secret)?,
            SlotKind::Recovery => recovery::canonical(secret)?,
            SlotKind::Reserved(_) => {
                return Err(VaultError::Slot("this program can't make a slot of that kind".into()));
            }
        };
        let salt = crypt::random()?;
        let key = kdf::argon2id(&secret, &salt, params)?;
        let nonce = crypt::random()?;
        let aad = slot::aad(&self.header.vault_id, kind, name, params, &salt);
        let wrapped = crypt::seal(&key, nonce, &aad, self.data_key.expose())?
            .try_into()
            .map_err(|_| VaultError::Machine("a wrapped key has not its length".into()))?;
        let body = SlotBody::Argon2 {
            params,
            salt,
            nonce,
            wrapped,
        };
        Ok(Slot {
            kind,
            name: name.to_owned(),
            body,
        })
    }

    /// The answer to a vault that others can open: a fresh root and data key, all slots gone but one for a new
    /// passphrase. Every entry is kept and marked as one to roll; the old root is kept as an entry, because the state
    /// that the living castle sealed with it must stay readable. Old copies of the file still open as before.
    pub fn compromised(mut self, passphrase: &Secret, params: KdfParams) -> Result<Self, VaultError> {
        let old = std::mem::replace(&mut self.root, crypt::random_key()?);
        self.data_key = crypt::random_key()?;
        self.header.slots.clear();
        self.add_slot("passphrase", SlotKind::Passphrase, passphrase, params)?;
        self.opened_by = "passphrase".into();
        self.entries.values_mut().for_each(|entry| entry.roll = true);
        let path = format!("{RETIRED}{}", self.header.counter);
        self.put(&path, old, "the root until the vault was declared compromised", None)?;
        Ok(self)
    }
}

impl From<&Slot> for SlotInfo {
    fn from(slot: &Slot) -> Self {
        SlotInfo {
            name: slot.name.clone(),
            kind: slot.kind,
            params: match &slot.body {
                SlotBody::Argon2 { params, .. } => Some(*params),
                SlotBody::Opaque(_) => None,
            },
        }
    }
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
