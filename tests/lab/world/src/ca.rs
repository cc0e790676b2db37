//! The laboratory's certificate authority. It lives as long as its work folder, so that an image made for one run fits the next.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate chain and its key, as PEM.
pub struct Issued {
    /// The certificate, followed by the intermediate.
    pub chain_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: String,
}

/// The authority: a root, and what it has signed for the front so far.
pub struct Ca {
    root: Issuer<'static, KeyPair>,
    minted: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

impl Ca {
    /// Opens the authority kept in `dir`, or makes one: `ca.pem` is its public root, `ca.key` stays there.
    pub fn open(dir: &Path) -> Result<Self> {
        let (key_path, cert_path) = (dir.join("ca.key"), dir.join("ca.pem"));
        let params = ca_params("Skykeep Laboratory Root")?;
        let key = if key_path.exists() && cert_path.exists() {
            KeyPair::from_pem(&fs::read_to_string(&key_path)?)?
        } else {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            fs::write(&key_path, key.serialize_pem())?;
            fs::write(&cert_path, params.self_signed(&key)?.pem())?;
            key
        };
        Ok(Self {
            root: Issuer::new(params, key),
            minted: Mutex::default(),
        })
    }

    /// A certificate for an owner's own site, signed through an intermediate as public authorities do.
    pub fn issue_chain(&self, name: &str) -> Result<Issued> {
        let middle_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let middle_params = ca_params("Skykeep Laboratory Intermediate")?;
        let middle_pem = middle_params.signed_by(&middle_key, &self.root)?.pem();
        let middle = Issuer::new(middle_params, middle_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = leaf_params(name)?.signed_by(&key, &middle)?;
        Ok(Issued {
            chain_pem: format!("{}{middle_pem}", leaf.pem()),
            key_pem: key.serialize_pem(),
        })
    }

    /// The TLS configuration for one name; its certificate is minted at the first call.
    pub fn server_config(&self, name: &str, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>> {
        if let Some(known) = self.minted.lock().map_err(|_| anyhow!("poisoned"))?.get(name) {
            return Ok(Arc::clone(known));
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = leaf_params(name)?.signed_by(&key, &self.root)?;
        let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone()];
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                chain,
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .with_context(|| format!("certificate of {name}"))?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let config = Arc::new(config);
        self.minted
            .lock()
            .map_err(|_| anyhow!("poisoned"))?
            .insert(name.to_owned(), Arc::clone(&config));
        Ok(config)
    }
}

fn ca_params(common_name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Skykeep Laboratory");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.use_authority_key_identifier_extension = true;
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2045, 1, 1);
    Ok(params)
}

fn leaf_params(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // As short as a public one, so that a laptop whose clock is years off fails here as it would outside.
    let now = SystemTime::now();
    params.not_before = OffsetDateTime::from(now - DAY);
    params.not_after = OffsetDateTime::from(now + DAY * 90);
    Ok(params)
}
