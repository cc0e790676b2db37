//! Every key of one generation of the cluster, derived: the same on every laptop, stored nowhere.
//!
//! | label | what it becomes |
//! |---|---|
//! | `pki/ca`, `pki/front-proxy-ca`, `pki/etcd-ca` | P-256 keys of the three certificate authorities |
//! | `pki/service-account` | P-256 key that signs service-account tokens |
//! | `bootstrap-token` | kubelet bootstrap token |
//! | `etcd/cluster-token` | etcd's initial cluster token |
//! | `encryption-at-rest` | 32 bytes for secretbox |
//!
//! When a 32-byte string is not usable (probability about 2^-32), the label gets `/1`, `/2` ... appended.

mod admin;
mod authority;
mod keys;

use sha2::{Digest, Sha256};
use skykeep_core::{Generation, Secret};

pub use admin::AdminIdentity;
pub use authority::Authority;

use crate::ClusterError;

/// Derives 32 secret bytes for a label, from the castle's root and the generation.
pub type Derive<'a> = &'a dyn Fn(&str) -> Secret;

/// The keys and certificates of one generation.
pub struct Pki {
    /// Signs everything that speaks to the API, and the API's own certificates.
    pub ca: Authority,
    /// Signs the aggregation layer's client certificate.
    pub front_proxy_ca: Authority,
    /// Signs etcd's certificates.
    pub etcd_ca: Authority,
    /// Signs service-account tokens (PKCS #8 PEM).
    pub service_account_key: Secret,
    /// Checks service-account tokens (PEM).
    pub service_account_public: String,
    /// `[a-z0-9]{6}.[a-z0-9]{16}`, lets a kubelet ask for its certificate.
    pub bootstrap_token: Secret,
    /// Keeps etcd members of different generations apart. Not a secret.
    pub etcd_cluster_token: String,
    /// Key for encryption at rest, 32 bytes.
    pub encryption_key: Secret,
}

impl Pki {
    /// Everything, for one generation of one castle. Validity begins a day before the generation and lasts ten years.
    pub fn derive(castle: &str, generation: &Generation, derive: Derive<'_>) -> Result<Pki, ClusterError> {
        let authority = |label: &str, common_name: &str| {
            Authority::new(common_name, castle, generation, keys::p256(derive, label)?)
        };
        let service_account = keys::p256(derive, "pki/service-account")?;
        Ok(Pki {
            ca: authority("pki/ca", "kubernetes")?,
            front_proxy_ca: authority("pki/front-proxy-ca", "front-proxy-ca")?,
            etcd_ca: authority("pki/etcd-ca", "etcd-ca")?,
            service_account_public: keys::public_pem(&service_account)?,
            service_account_key: keys::private_pem(&service_account)?,
            bootstrap_token: keys::bootstrap_token(derive),
            etcd_cluster_token: format!("skykeep-{}", hex::encode(short(derive("etcd/cluster-token").expose()))),
            encryption_key: derive("encryption-at-rest"),
        })
    }

    /// A new client certificate for an administrator, valid for 24 hours around `now` (seconds since 1970), with a new random key.
    pub fn admin(&self, now: i64) -> Result<AdminIdentity, ClusterError> {
        AdminIdentity::mint(&self.ca, now)
    }
}

/// The first 16 bytes of the hash of a secret: enough to tell generations apart, says nothing about the secret.
fn short(secret: &[u8]) -> Vec<u8> {
    Sha256::digest(secret).into_iter().take(16).collect()
}

#[cfg(test)]
mod tests;
