//! AES-256-GCM and randomness, as the vault uses them.

use aes_gcm::{Aes256Gcm, KeyInit, Nonce, aead::AeadInOut};
use skykeep_core::Secret;
use skykeep_sys::wipe_stack;
use zeroize::Zeroizing;

use crate::error::VaultError;

/// Bytes of a nonce.
pub(crate) const NONCE: usize = 12;
/// Bytes that sealing adds.
pub(crate) const TAG: usize = 16;

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| VaultError::Machine(format!("the kernel gives no random bytes: {e}")))?;
    Ok(bytes)
}

/// A new 32-byte key.
pub(crate) fn random_key() -> Result<Secret, VaultError> {
    let bytes = Zeroizing::new(random::<32>()?);
    Ok(Secret::new(bytes.to_vec()))
}

fn cipher(key: &Secret) -> Result<Aes256Gcm, VaultError> {
    Aes256Gcm::new_from_slice(key.expose()).map_err(|e| VaultError::Machine(e.to_string()))
}

/// Encrypts; the tag is appended.
pub(crate) fn seal(key: &Secret, nonce: [u8; NONCE], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let sealed = encrypt(key, nonce, aad, plain);
    // A cipher wipes itself, but not the places where it stood before it was moved.
    wipe_stack();
    sealed
}

/// Decrypts; `None` when key, nonce, associated data or text do not belong together.
pub(crate) fn open(
    key: &Secret,
    nonce: [u8; NONCE],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let opened = decrypt(key, nonce, aad, sealed);
    wipe_stack();
    opened
}

/// In a frame of its own, below the one that has it wiped.
#[inline(never)]
fn encrypt(key: &Secret, nonce: [u8; NONCE], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    // With room for the tag the buffer never moves, so no copy of the plain text is left behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + TAG));
    buffer.extend_from_slice(plain);
    cipher(key)?
        .encrypt_in_place(&Nonce::from(nonce), aad, &mut *buffer)
        .map_err(|e| VaultError::Machine(e.to_string()))?;
    Ok(std::mem::take(&mut *buffer))
}

#[inline(never)]
fn decrypt(
    key: &Secret,
    nonce: [u8; NONCE],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let opened = cipher(key)?
        .decrypt_in_place(&Nonce::from(nonce), aad, &mut *buffer)
        .is_ok();
    Ok(opened.then_some(buffer))
}
