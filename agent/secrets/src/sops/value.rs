//! A single encrypted value: `ENC[AES256_GCM,data:...,iv:...,tag:...,type:...]`.

use aes_gcm::{
    AesGcm, KeyInit, Nonce,
    aead::{Aead, Payload, consts::U32},
    aes::Aes256,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use skykeep_core::Secret;
use zeroize::Zeroizing;

/// AES-256-GCM with SOPS's nonces of 32 bytes.
type Cipher = AesGcm<Aes256, U32>;

/// A value, decrypted.
pub(crate) struct Value {
    /// Its bytes, as SOPS hashes them.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// It is a truth value, which SOPS writes as `True` or `False`.
    pub(crate) truth: bool,
}

/// Whether this is an encrypted value.
pub(crate) fn is_encrypted(text: &str) -> bool {
    text.starts_with("ENC[AES256_GCM,")
}

/// Decrypts a value that stands under `place` (the names that lead to it, each followed by a colon). `None` when it is not
/// written as it must be, or was changed, or moved here from elsewhere.
pub(crate) fn open(text: &str, key: &Secret, place: &str) -> Option<Value> {
    let mut fields = text.strip_prefix("ENC[AES256_GCM,")?.strip_suffix(']')?.split(',');
    let mut field = |name: &str| fields.next()?.strip_prefix(name);
    let mut sealed = STANDARD.decode(field("data:")?).ok()?;
    let nonce = <[u8; 32]>::try_from(STANDARD.decode(field("iv:")?).ok()?).ok()?;
    let tag = <[u8; 16]>::try_from(STANDARD.decode(field("tag:")?).ok()?).ok()?;
    let kind = field("type:")?;
    if !matches!(kind, "str" | "int" | "float" | "bool" | "bytes" | "time") || fields.next().is_some() {
        return None;
    }
    sealed.extend_from_slice(&tag);
    let payload = Payload {
        msg: &sealed,
        aad: place.as_bytes(),
    };
    let bytes = Cipher::new_from_slice(key.expose())
        .ok()?
        .decrypt(&Nonce::from(nonce), payload)
        .ok()?;
    Some(Value {
        bytes: Zeroizing::new(bytes),
        truth: kind == "bool",
    })
}
