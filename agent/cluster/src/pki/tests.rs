use std::str::FromStr;

use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject};

use super::*;

/// Not HKDF: any function of the label will do here. The real one lives with the vault.
pub(crate) fn derive(label: &str) -> Secret {
    Secret::new(Sha256::digest(label.as_bytes()).to_vec())
}

pub(crate) fn generation() -> Generation {
    Generation::from_str("01KAS0000000000000000000RS").unwrap()
}

fn pki() -> Pki {
    Pki::derive("rossi", &generation(), &derive).unwrap()
}

#[test]
fn two_laptops_make_the_same_bytes() {
    let pki = pki();
    let mut text = String::new();
    for authority in [&pki.ca, &pki.front_proxy_ca, &pki.etcd_ca] {
        text.push_str(&authority.certificate);
        text.push_str(authority.key.expose_str().unwrap());
    }
    text.push_str(pki.service_account_key.expose_str().unwrap());
    text.push_str(&pki.service_account_public);
    text.push_str(&format!(
        "{}\n{}\n{}\n{}\n",
        pki.ca.pin(),
        pki.bootstrap_token.expose_str().unwrap(),
        pki.etcd_cluster_token,
        hex::encode(pki.encryption_key.expose())
    ));
    // The test vector: it may never change for a released version.
    insta::assert_snapshot!(text);
}

#[test]
fn a_derived_value_that_is_no_scalar_is_never_used_or_reduced() {
    let too_big = |label: &str| {
        if label == "x" {
            Secret::new(vec![0xff; 32])
        } else {
            derive(label)
        }
    };
    let key = keys::p256(&too_big, "x").unwrap();
    assert_eq!(key.to_bytes().as_slice(), derive("x/1").expose());
    assert!(keys::p256(&|_| Secret::new(vec![0; 32]), "x").is_err());
    assert!(keys::p256(&|_| Secret::new(vec![1; 31]), "x").is_err());
}

#[test]
fn the_bootstrap_token_has_the_form_kubeadm_wants_even_when_bytes_are_skipped() {
    let skipping = |label: &str| {
        let mut bytes = derive(label).expose().to_vec();
        bytes[..20].fill(255);
        Secret::new(bytes)
    };
    for token in [pki().bootstrap_token, keys::bootstrap_token(&skipping)] {
        let token = token.expose_str().unwrap().to_owned();
        let (id, secret) = token.split_once('.').unwrap();
        assert_eq!((id.len(), secret.len()), (6, 16), "{token}");
        assert!(
            token
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.'),
            "{token}"
        );
    }
}

#[test]
fn the_admin_certificate_is_accepted_for_a_day_and_not_longer() {
    let pki = pki();
    let now = generation().began() + 3600;
    let admin = pki.admin(now).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(admin.ca_der.clone())).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .build()
        .unwrap();
    let leaf = CertificateDer::from_pem_slice(admin.certificate.as_bytes()).unwrap();
    let check = |at: i64| {
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.try_into().unwrap()));
        verifier.verify_client_cert(&leaf, &[], at).is_ok()
    };
    assert!(check(now) && check(now + 23 * 3600));
    assert!(!check(now + 25 * 3600));
    assert!(!check(now - 2 * 3600));
}

#[test]
fn another_generation_has_other_keys_only_by_its_derivation_but_always_other_certificates() {
    let other = Generation::from_str("01KAS0000000000000000000RT").unwrap();
    let again = Pki::derive("rossi", &other, &derive).unwrap();
    assert_ne!(pki().ca.certificate, again.ca.certificate);
}
