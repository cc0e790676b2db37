//! The outside of the file: magic, version, header with its slots, checksum. See `docs/FORMATS.md`.

use sha2::{Digest, Sha256};

use crate::{crypt::NONCE, error::VaultError, kdf::KdfParams, read::Reader};

pub(crate) const MAGIC: [u8; 8] = *b"SKYKEEP\0";
pub(crate) const VERSION: u16 = 1;
/// Most bytes a vault file may have.
pub(crate) const MAX_FILE: usize = 4 * 1024 * 1024;
pub(crate) const MAX_SLOTS: usize = 8;
const CHECKSUM: usize = 32;
const WRAPPED: usize = 48;
const ARGON2ID: u8 = 1;

/// The number of a slot, unique within a vault.
pub type SlotId = u8;

/// What opens a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// A passphrase.
    Passphrase,
    /// A recovery code.
    Recovery,
    /// Something of a later program; kept, never opened.
    Reserved(u8),
}

impl SlotKind {
    fn code(self) -> u8 {
        match self {
            SlotKind::Passphrase => 1,
            SlotKind::Recovery => 2,
            SlotKind::Reserved(code) => code,
        }
    }
}

/// One way to open the vault.
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    pub(crate) kind: SlotKind,
    pub(crate) body: SlotBody,
}

pub(crate) enum SlotBody {
    Argon2 {
        params: KdfParams,
        salt: [u8; 32],
        nonce: [u8; NONCE],
        wrapped: [u8; WRAPPED],
    },
    Opaque(Vec<u8>),
}

/// What stands before the body.
pub(crate) struct Header {
    pub(crate) vault_id: [u8; 16],
    pub(crate) counter: u64,
    pub(crate) slots: Vec<Slot>,
}

/// A file taken apart; nothing in it is believed yet.
pub(crate) struct Parts<'a> {
    pub(crate) header: Header,
    /// Everything before the body: its associated data.
    pub(crate) prefix: &'a [u8],
    pub(crate) nonce: [u8; NONCE],
    pub(crate) sealed: &'a [u8],
}

/// What a slot's wrapped key is bound to: this vault, this slot, these parameters.
pub(crate) fn slot_aad(vault_id: &[u8; 16], id: SlotId, kind: SlotKind, params: KdfParams, salt: &[u8; 32]) -> Vec<u8> {
    let mut aad = Vec::with_capacity(80);
    aad.extend_from_slice(&MAGIC);
    aad.extend_from_slice(&VERSION.to_be_bytes());
    aad.extend_from_slice(vault_id);
    slot_front(&mut aad, id, kind, params, salt);
    aad
}

fn slot_front(out: &mut Vec<u8>, id: SlotId, kind: SlotKind, params: KdfParams, salt: &[u8; 32]) {
    out.extend_from_slice(&[id, kind.code(), ARGON2ID]);
    for number in [params.m_kib, params.t, params.p] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(salt);
}

impl Header {
    /// Magic, version, length and header: everything before the body.
    pub(crate) fn prefix(&self) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend_from_slice(&self.vault_id);
        header.extend_from_slice(&self.counter.to_be_bytes());
        header.push(u8::try_from(self.slots.len()).unwrap_or(u8::MAX));
        for slot in &self.slots {
            let mut bytes = Vec::new();
            match &slot.body {
                SlotBody::Argon2 {
                    params,
                    salt,
                    nonce,
                    wrapped,
                } => {
                    slot_front(&mut bytes, slot.id, slot.kind, *params, salt);
                    bytes.extend_from_slice(nonce);
                    bytes.extend_from_slice(wrapped);
                }
                SlotBody::Opaque(rest) => {
                    bytes.extend_from_slice(&[slot.id, slot.kind.code()]);
                    bytes.extend_from_slice(rest);
                }
            }
            header.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
            header.extend_from_slice(&bytes);
        }
        let mut prefix = Vec::with_capacity(header.len() + 14);
        prefix.extend_from_slice(&MAGIC);
        prefix.extend_from_slice(&VERSION.to_be_bytes());
        prefix.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_be_bytes());
        prefix.extend_from_slice(&header);
        prefix
    }

    fn parse(bytes: &[u8]) -> Result<Self, VaultError> {
        let mut reader = Reader(bytes);
        let vault_id = reader.array()?;
        let counter = reader.u64()?;
        let count = usize::from(reader.u8()?);
        if count == 0 || count > MAX_SLOTS {
            return Err(VaultError::Absurd(format!("it has {count} slots")));
        }
        let mut slots: Vec<Slot> = Vec::with_capacity(count);
        for _ in 0..count {
            let slot = Slot::parse(reader.short()?)?;
            if slots.iter().any(|s| s.id == slot.id) {
                return Err(VaultError::Absurd(format!(
                    "two of its slots have the number {}",
                    slot.id
                )));
            }
            slots.push(slot);
        }
        reader.end()?;
        Ok(Header {
            vault_id,
            counter,
            slots,
        })
    }
}

impl Slot {
    fn parse(bytes: &[u8]) -> Result<Self, VaultError> {
        let mut reader = Reader(bytes);
        let id = reader.u8()?;
        let kind = match reader.u8()? {
            1 => SlotKind::Passphrase,
            2 => SlotKind::Recovery,
            code => {
                return Ok(Slot {
                    id,
                    kind: SlotKind::Reserved(code),
                    body: SlotBody::Opaque(reader.0.to_vec()),
                });
            }
        };
        if reader.u8()? != ARGON2ID {
            return Err(VaultError::Absurd("a slot uses an unknown key derivation".into()));
        }
        let params = KdfParams {
            m_kib: reader.u32()?,
            t: reader.u32()?,
            p: reader.u32()?,
        };
        params.check()?;
        let body = SlotBody::Argon2 {
            params,
            salt: reader.array()?,
            nonce: reader.array()?,
            wrapped: reader.array()?,
        };
        reader.end()?;
        Ok(Slot { id, kind, body })
    }
}

/// Puts a file together.
pub(crate) fn assemble(prefix: &[u8], nonce: [u8; NONCE], sealed: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(prefix.len() + NONCE + sealed.len() + CHECKSUM);
    file.extend_from_slice(prefix);
    file.extend_from_slice(&nonce);
    file.extend_from_slice(sealed);
    let checksum = Sha256::digest(&file);
    file.extend_from_slice(&checksum);
    file
}

/// Takes a file apart. The checksum comes first, so that accidental damage is never taken for a wrong passphrase.
pub(crate) fn take_apart(file: &[u8]) -> Result<Parts<'_>, VaultError> {
    if file.len() > MAX_FILE {
        return Err(VaultError::Damaged("it is larger than 4 MiB"));
    }
    let (content, checksum) = file
        .split_last_chunk::<CHECKSUM>()
        .ok_or(VaultError::Damaged("it is shorter than a checksum"))?;
    if Sha256::digest(content).as_slice() != checksum {
        return Err(VaultError::Damaged("its checksum does not fit its content"));
    }
    let mut reader = Reader(content);
    if reader.array::<8>()? != MAGIC {
        return Err(VaultError::Damaged("it does not begin as a vault does"));
    }
    match reader.u16()? {
        VERSION => {}
        0 => return Err(VaultError::Damaged("there is no format version 0")),
        later => return Err(VaultError::TooNew(later)),
    }
    let length = usize::try_from(reader.u32()?).map_err(|_| VaultError::Damaged("its header is too long"))?;
    let header = Header::parse(reader.take(length)?)?;
    let prefix = content.get(..content.len() - reader.0.len()).unwrap_or_default();
    let nonce = reader.array()?;
    Ok(Parts {
        header,
        prefix,
        nonce,
        sealed: reader.0,
    })
}
