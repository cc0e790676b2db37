//! Opening: with what a person typed, or, for another copy of an open vault, with the key at hand.

use skykeep_core::Secret;

use crate::{
    crypt,
    error::VaultError,
    format::{self, Parts},
    kdf::{self, KdfParams},
    payload,
    recovery::{self, Typed},
    slot::{self, SlotBody, SlotKind},
    vault::{SlotInfo, Vault},
};

/// What a closed vault shows to anybody. Nothing of it is proven until the vault is opened.
pub struct Outside {
    /// What all copies of this vault have in common.
    pub id: [u8; 16],
    /// Version of this copy.
    pub counter: u64,
    /// The slots.
    pub slots: Vec<SlotInfo>,
    /// When entries expire: path and seconds since 1970.
    pub expiries: Vec<(String, u64)>,
}

/// Reads what can be read without a passphrase.
pub fn outside(file: &[u8]) -> Result<Outside, VaultError> {
    let header = format::take_apart(file)?.header;
    Ok(Outside {
        id: header.vault_id,
        counter: header.counter,
        slots: header.slots.iter().map(SlotInfo::from).collect(),
        expiries: header.expiries.into_iter().collect(),
    })
}

impl Vault {
    /// Opens a sealed vault with a passphrase or a recovery code. Costs one Argon2id for each slot that is tried.
    pub fn open(file: &[u8], typed: &Secret) -> Result<Self, VaultError> {
        let passphrase = kdf::normalise(typed)?;
        let code = passphrase.expose_str().map_or(Typed::Other, recovery::read);
        let opened = open_with(file, |kind, salt, params| {
            let secret = match (kind, &code) {
                (SlotKind::Passphrase, _) => &passphrase,
                (SlotKind::Recovery, Typed::Code(code)) => code,
                _ => return Ok(None),
            };
            kdf::argon2id(secret, salt, params).map(Some)
        });
        match (opened, code) {
            (Err(VaultError::WrongPassphrase), Typed::Misspelt) => Err(VaultError::Recovery),
            (opened, _) => opened,
        }
    }

    /// Another copy of this vault, opened with the data key of this one: no passphrase has to be kept for it.
    /// Fails for a copy of another vault, and for one made after this one was declared compromised.
    pub fn open_copy(&self, file: &[u8]) -> Result<Vault, VaultError> {
        let parts = format::take_apart(file)?;
        if parts.header.vault_id != self.header.vault_id {
            return Err(VaultError::Foreign("it is a copy of another vault"));
        }
        let plain = crypt::open(&self.data_key, parts.nonce, parts.prefix, parts.sealed)?.ok_or(VaultError::Foreign(
            "the key of the copy at hand does not open it: it is forged, or was made after this vault was declared compromised",
        ))?;
        let (root, entries) = payload::decode(&plain)?;
        Ok(Vault {
            header: parts.header,
            data_key: self.data_key.duplicate(),
            root,
            entries,
            opened_by: self.opened_by.clone(),
        })
    }

    /// Proves that a file holds exactly this vault: done with what was written before it replaces anything.
    pub fn verify_copy(&self, file: &[u8]) -> Result<(), VaultError> {
        let copy = self.open_copy(file)?;
        let same = copy.header.prefix()? == self.header.prefix()?
            && *payload::encode(&copy.root, &copy.entries)? == *payload::encode(&self.root, &self.entries)?;
        if same {
            Ok(())
        } else {
            Err(VaultError::Damaged("what was written is not what was to be written"))
        }
    }
}

/// Opens with whatever turns a slot's salt and parameters into its key; `None` passes the slot over.
pub(crate) fn open_with(
    file: &[u8],
    mut key_of: impl FnMut(SlotKind, &[u8; 32], KdfParams) -> Result<Option<Secret>, VaultError>,
) -> Result<Vault, VaultError> {
    let Parts {
        header,
        prefix,
        nonce,
        sealed,
    } = format::take_apart(file)?;
    for slot in &header.slots {
        let SlotBody::Argon2 {
            params,
            salt,
            nonce: slot_nonce,
            wrapped,
        } = &slot.body
        else {
            continue;
        };
        let Some(key) = key_of(slot.kind, salt, *params)? else {
            continue;
        };
        let aad = slot::aad(&header.vault_id, slot.kind, &slot.name, *params, salt);
        let Some(mut data_key) = crypt::open(&key, *slot_nonce, &aad, wrapped)? else {
            continue;
        };
        let data_key = Secret::new(std::mem::take(&mut *data_key));
        let plain = crypt::open(&data_key, nonce, prefix, sealed)?.ok_or(VaultError::Damaged(
            "its seal does not fit its content: somebody changed this copy",
        ))?;
        let (root, entries) = payload::decode(&plain)?;
        let opened_by = slot.name.clone();
        return Ok(Vault {
            header,
            data_key,
            root,
            entries,
            opened_by,
        });
    }
    Err(VaultError::WrongPassphrase)
}
