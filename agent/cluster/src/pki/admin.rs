//! The administrator's client certificate: short-lived, minted anew each time, so nothing has to be fetched from a node.

use p256::SecretKey;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use skykeep_core::Secret;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::{
    authority::{Authority, serial},
    keys,
};
use crate::{API_NAME, API_PORT, ClusterError};

/// Who we are to the API, and whom we believe there.
pub struct AdminIdentity {
    /// The only root the API's certificate may come from (PEM).
    pub ca: String,
    /// The same, DER.
    pub ca_der: Vec<u8>,
    /// The client certificate (PEM).
    pub certificate: String,
    /// Its key (PKCS #8 PEM).
    pub key: Secret,
}

impl AdminIdentity {
    pub(super) fn mint(ca: &Authority, now: i64) -> Result<AdminIdentity, ClusterError> {
        let now = OffsetDateTime::from_unix_timestamp(now).map_err(|e| ClusterError::pki("admin certificate", e))?;
        let key = random_key()?;
        let mut nonce = [0_u8; 16];
        getrandom::fill(&mut nonce).map_err(|e| ClusterError::pki("admin certificate", e))?;

        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "system:masters");
        name.push(DnType::CommonName, "skykeep-admin");
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        // Node clocks may be behind ours.
        params.not_before = now - Duration::hours(1);
        params.not_after = now + Duration::hours(24);
        params.serial_number = Some(serial(&[b"skykeep admin", &nonce]));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;

        Ok(AdminIdentity {
            ca: ca.certificate.clone(),
            ca_der: ca.der().to_vec(),
            certificate: ca.sign(&params, &key)?,
            key: keys::private_pem(&key)?,
        })
    }

    /// A kubeconfig for `kubectl` that reaches the API at this address and checks it by its fixed name.
    pub fn kubeconfig(&self, address: &str) -> Result<Secret, ClusterError> {
        use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "castle",
            "contexts": [{"name": "castle", "context": {"cluster": "castle", "user": "skykeep-admin"}}],
            "clusters": [{"name": "castle", "cluster": {
                "server": format!("https://{address}:{API_PORT}"), "tls-server-name": API_NAME,
                "certificate-authority-data": BASE64.encode(&self.ca)}}],
            "users": [{"name": "skykeep-admin", "user": {
                "client-certificate-data": BASE64.encode(&self.certificate),
                "client-key-data": BASE64.encode(self.key.expose())}}],
        });
        serde_json::to_vec_pretty(&config)
            .map(Secret::new)
            .map_err(|e| ClusterError::pki("kubeconfig", e))
    }
}

fn random_key() -> Result<SecretKey, ClusterError> {
    loop {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut()).map_err(|e| ClusterError::pki("random key", e))?;
        if let Ok(key) = SecretKey::from_slice(bytes.as_ref()) {
            return Ok(key);
        }
    }
}
