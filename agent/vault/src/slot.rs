//! One way to open the vault, as it stands in the header. See `docs/FORMATS.md`.

use crate::{
    crypt::NONCE,
    error::VaultError,
    format::{MAGIC, VERSION},
    kdf::KdfParams,
    read::Reader,
};

/// Most slots of a vault.
pub(crate) const MAX_SLOTS: usize = 8;
const WRAPPED: usize = 48;
const ARGON2ID: u8 = 1;
const LONGEST_NAME: usize = 32;

/// What opens a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// A passphrase.
    Passphrase,
    /// A recovery code.
    Recovery,
    /// Something of a later program (3 is meant for FIDO2 hmac-secret); kept, never opened.
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
    pub(crate) kind: SlotKind,
    pub(crate) name: String,
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

/// Whether a slot may have this name.
pub(crate) fn check_name(name: &str) -> Result<(), VaultError> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(good) {
        return Err(VaultError::Slot(
            "its name has not 1 to 32 lower-case letters, digits and hyphens".into(),
        ));
    }
    Ok(())
}

/// What a slot's wrapped key is bound to: this vault, this slot, these parameters.
pub(crate) fn aad(vault_id: &[u8; 16], kind: SlotKind, name: &str, params: KdfParams, salt: &[u8; 32]) -> Vec<u8> {
    let mut aad = Vec::with_capacity(112);
    aad.extend_from_slice(&MAGIC);
    aad.extend_from_slice(&VERSION.to_be_bytes());
    aad.extend_from_slice(vault_id);
    front(&mut aad, kind, name);
    derivation(&mut aad, params, salt);
    aad
}

fn front(out: &mut Vec<u8>, kind: SlotKind, name: &str) {
    out.push(kind.code());
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
}

fn derivation(out: &mut Vec<u8>, params: KdfParams, salt: &[u8; 32]) {
    out.push(ARGON2ID);
    for number in [params.m_kib, params.t, params.p] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(salt);
}

impl Slot {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        front(&mut bytes, self.kind, &self.name);
        match &self.body {
            SlotBody::Argon2 {
                params,
                salt,
                nonce,
                wrapped,
            } => {
                derivation(&mut bytes, *params, salt);
                bytes.extend_from_slice(nonce);
                bytes.extend_from_slice(wrapped);
            }
            SlotBody::Opaque(rest) => bytes.extend_from_slice(rest),
        }
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, VaultError> {
        let mut reader = Reader(bytes);
        let code = reader.u8()?;
        let length = usize::from(reader.u8()?);
        let name = std::str::from_utf8(reader.take(length)?)
            .ok()
            .filter(|name| check_name(name).is_ok())
            .ok_or_else(|| VaultError::Absurd("a slot has a name that can't be".into()))?
            .to_owned();
        let kind = match code {
            1 => SlotKind::Passphrase,
            2 => SlotKind::Recovery,
            code => {
                return Ok(Slot {
                    kind: SlotKind::Reserved(code),
                    name,
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
        Ok(Slot { kind, name, body })
    }
}
