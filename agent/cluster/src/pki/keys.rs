//! From 32 derived bytes to keys and tokens.

use p256::{
    SecretKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};
use skykeep_core::Secret;

use super::Derive;
use crate::ClusterError;

/// The label of the n-th try.
fn tried(label: &str, attempt: u32) -> String {
    if attempt == 0 {
        label.to_owned()
    } else {
        format!("{label}/{attempt}")
    }
}

/// A P-256 private key by rejection: derived bytes are the scalar if they lie in 1..n, else the next label is tried.
/// No reduction, so no bias.
pub(super) fn p256(derive: Derive<'_>, label: &str) -> Result<SecretKey, ClusterError> {
    for attempt in 0..8 {
        let bytes = derive(&tried(label, attempt));
        if bytes.len() != 32 {
            return Err(ClusterError::pki(
                label,
                format!("32 derived bytes are needed, not {}", bytes.len()),
            ));
        }
        if let Ok(key) = SecretKey::from_slice(bytes.expose()) {
            return Ok(key);
        }
    }
    Err(ClusterError::pki(
        label,
        "eight derived values in a row were no P-256 scalar: the derivation is broken",
    ))
}

/// PKCS #8 PEM of a private key.
pub(super) fn private_pem(key: &SecretKey) -> Result<Secret, ClusterError> {
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|e| ClusterError::pki("private key", e))?;
    Ok(Secret::new(pem.as_bytes().to_vec()))
}

/// PEM of the public key.
pub(super) fn public_pem(key: &SecretKey) -> Result<String, ClusterError> {
    key.public_key()
        .to_public_key_pem(LineEnding::LF)
        .map_err(|e| ClusterError::pki("public key", e))
}

/// 22 characters of `[a-z0-9]`, each equally likely (bytes of 252 and above are skipped), with the dot kubeadm wants.
pub(super) fn bootstrap_token(derive: Derive<'_>) -> Secret {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut token = Vec::with_capacity(23);
    let mut attempt = 0;
    while token.len() < 23 {
        for byte in derive(&tried("bootstrap-token", attempt)).expose() {
            if token.len() == 6 {
                token.push(b'.');
            }
            if *byte < 252 && token.len() < 23 {
                token.extend(ALPHABET.get(usize::from(byte % 36)));
            }
        }
        attempt += 1;
    }
    Secret::new(token)
}
