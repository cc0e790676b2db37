//! A certificate authority whose certificate is byte-identical wherever it is made: derived key, subject, serial and validity
//! from the generation, deterministic signature (RFC 6979).

use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use sha2::{Digest, Sha256};
use skykeep_core::{Generation, Secret};
use time::{Duration, OffsetDateTime};

use super::keys;
use crate::ClusterError;

/// A certificate authority: certificate and key.
pub struct Authority {
    /// The self-signed certificate, PEM.
    pub certificate: String,
    /// The private key, PKCS #8 PEM.
    pub key: Secret,
    der: Vec<u8>,
    params: CertificateParams,
    signer: Signing,
}

impl Authority {
    pub(super) fn new(
        common_name: &str,
        castle: &str,
        generation: &Generation,
        key: SecretKey,
    ) -> Result<Authority, ClusterError> {
        let problem = |e: rcgen::Error| ClusterError::pki(common_name, e);
        let began =
            OffsetDateTime::from_unix_timestamp(generation.began()).map_err(|e| ClusterError::pki(common_name, e))?;
        let signer = Signing::new(&key);

        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, format!("skykeep {castle} {generation}"));
        name.push(DnType::CommonName, common_name);
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.not_before = began - Duration::days(1);
        params.not_after = began + Duration::days(3653);
        params.serial_number = Some(serial(&[b"skykeep ca", common_name.as_bytes(), &signer.public]));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];

        let certificate = params.self_signed(&signer).map_err(problem)?;
        Ok(Authority {
            certificate: certificate.pem(),
            der: certificate.der().to_vec(),
            key: keys::private_pem(&key)?,
            params,
            signer,
        })
    }

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// `sha256:<hex>` of the public key, as kubeadm pins a CA.
    pub fn pin(&self) -> String {
        format!(
            "sha256:{}",
            hex::encode(Sha256::digest(self.signer.subject_public_key_info()))
        )
    }

    pub(super) fn sign(&self, params: &CertificateParams, key: &SecretKey) -> Result<String, ClusterError> {
        let issuer = rcgen::Issuer::from_params(&self.params, &self.signer);
        let certificate = params
            .signed_by(&Signing::new(key), &issuer)
            .map_err(|e| ClusterError::pki("certificate", e))?;
        Ok(certificate.pem())
    }
}

/// A positive serial number of 16 bytes made from the hash of some texts.
pub(super) fn serial(parts: &[&[u8]]) -> SerialNumber {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    let mut bytes: Vec<u8> = hash.finalize().into_iter().take(16).collect();
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    SerialNumber::from(bytes)
}

/// rcgen signs with this.
pub(super) struct Signing {
    key: SigningKey,
    public: Vec<u8>,
}

impl Signing {
    fn new(key: &SecretKey) -> Self {
        let signing = SigningKey::from(key);
        let public = signing.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Signing { key: signing, public }
    }
}

impl PublicKeyData for Signing {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Signing {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.key.try_sign(message).map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
