//! The traffic keys of TLS 1.3 (RFC 8446, 7.3), from the secrets that a server's key log gives.

use hkdf::Hkdf;
use sha2::{Sha256, Sha384};

/// The keys that a secret may have been made into: its length tells the hash, the hash the ciphers.
pub fn keys(secret: &[u8]) -> Vec<Vec<u8>> {
    match secret.len() {
        // AES-128-GCM, and ChaCha20-Poly1305.
        32 => [16, 32].map(|length| expand(secret, length)).to_vec(),
        // AES-256-GCM; in TLS 1.2 a master secret has this length too, and then this is no key.
        48 => vec![expand(secret, 32)],
        _ => Vec::new(),
    }
}

/// HKDF-Expand-Label(secret, "key", "", length).
fn expand(secret: &[u8], length: u8) -> Vec<u8> {
    let info = [&[0, length, 9][..], b"tls13 key", &[0]].concat();
    let mut key = vec![0; usize::from(length)];
    let made = match secret.len() {
        32 => Hkdf::<Sha256>::from_prk(secret).map(|h| h.expand(&info, &mut key)),
        _ => Hkdf::<Sha384>::from_prk(secret).map(|h| h.expand(&info, &mut key)),
    };
    assert!(matches!(made, Ok(Ok(()))), "HKDF takes every secret of these lengths");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_that_of_the_standards_own_example() {
        // RFC 8448, 3: the server's handshake traffic.
        let secret = hex::decode("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38").unwrap();
        assert_eq!(hex::encode(&keys(&secret)[0]), "3fce516009c21727d0f2e4e86ee403bc");
    }
}
