//! Every secret of the laboratory. The values are fixed, so that a vault made yesterday opens today's laboratory, but they are
//! derived from labels and not written down: no scanner for leaked keys has anything to find in this repository.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// The Infisical project of the example castle (an identifier, not a secret; the castle file holds it).
pub const INFISICAL_PROJECT: &str = "6f0e2b1c-7d43-4c5a-9e21-0c5d8b7a4f10";
/// The Cloudflare zone's identifier.
pub const CLOUDFLARE_ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

const UPPER32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";

/// The credentials that the services of the world accept.
#[derive(Clone, Debug, Serialize)]
pub struct Credentials {
    /// AWS access key id, valid at S3 and to be accepted by the EC2 double.
    pub aws_access_key_id: String,
    /// Its secret.
    pub aws_secret_access_key: String,
    /// Access key id of the pulse: at S3 it may write and read the castle's pulses, and read its lease.
    pub pulse_access_key_id: String,
    /// Its secret.
    pub pulse_secret_access_key: String,
    /// Machine identity at Infisical (goes into the vault as `infisical/client-id`).
    pub infisical_client_id: String,
    /// Its secret (goes into the vault as `infisical/client-secret`).
    pub infisical_client_secret: String,
    /// Infisical project id.
    pub infisical_project_id: String,
    /// Token that reads the private repository.
    pub github_token: String,
    /// Token that edits the zone.
    pub cloudflare_token: String,
    /// Token that may edit API tokens.
    pub cloudflare_keys_token: String,
    /// Token by which the old castle writes records.
    pub old_cloudflare_token: String,
    /// Its id (an identifier; the castle file holds it).
    pub old_cloudflare_token_id: String,
    /// Access key id at AWS of a user that may switch the old castle's access keys.
    pub keys_access_key_id: String,
    /// Its secret.
    pub keys_secret_access_key: String,
    /// Access key id of the old castle's own user (an identifier; the castle file holds it).
    pub old_access_key_id: String,
    /// Its secret.
    pub old_secret_access_key: String,
    /// Token of the project at Hetzner Cloud.
    pub hcloud_token: String,
    /// Password of the restic repository.
    pub restic_password: String,
    /// The password by which the reborn castle's shop logs in to its database. The old database knew another one.
    pub database_password: String,
}

impl Credentials {
    /// The laboratory's fixed values, in the shapes of the real services.
    pub fn laboratory() -> Self {
        let id = derive("infisical client id", HEX, 32);
        Self {
            aws_access_key_id: format!("AKIA{}", derive("aws access key", UPPER32, 16)),
            aws_secret_access_key: derive("aws secret key", ALNUM, 40),
            pulse_access_key_id: format!("AKIA{}", derive("pulse access key", UPPER32, 16)),
            pulse_secret_access_key: derive("pulse secret key", ALNUM, 40),
            infisical_client_id: format!(
                "{}-{}-4{}-a{}-{}",
                &id[..8],
                &id[8..12],
                &id[12..15],
                &id[15..18],
                &id[18..30]
            ),
            infisical_client_secret: derive("infisical client secret", HEX, 64),
            infisical_project_id: INFISICAL_PROJECT.to_owned(),
            github_token: format!("ghp_{}", derive("github token", ALNUM, 36)),
            cloudflare_token: derive("cloudflare token", ALNUM, 40),
            cloudflare_keys_token: derive("cloudflare keys token", ALNUM, 40),
            old_cloudflare_token: derive("old castle's cloudflare token", ALNUM, 40),
            old_cloudflare_token_id: derive("old castle's token id", HEX, 32),
            keys_access_key_id: format!("AKIA{}", derive("keys access key", UPPER32, 16)),
            keys_secret_access_key: derive("keys secret key", ALNUM, 40),
            old_access_key_id: format!("AKIA{}", derive("old castle's access key", UPPER32, 16)),
            old_secret_access_key: derive("old castle's secret key", ALNUM, 40),
            hcloud_token: derive("hcloud token", ALNUM, 64),
            restic_password: derive("restic password", ALNUM, 32),
            database_password: derive("database password", ALNUM, 32),
        }
    }
}

/// `len` characters of `alphabet` that follow from `label` alone.
pub(crate) fn derive(label: &str, alphabet: &[u8], len: usize) -> String {
    let mut out = String::with_capacity(len);
    let mut counter = 0u32;
    while out.len() < len {
        let block = Sha256::digest(format!("skykeep laboratory: {label}: {counter}"));
        for byte in block.iter().take(len - out.len()) {
            out.push(alphabet[usize::from(*byte) % alphabet.len()] as char);
        }
        counter += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_the_same_every_time_and_have_the_real_shapes() {
        let (a, b) = (Credentials::laboratory(), Credentials::laboratory());
        assert_eq!(a.aws_secret_access_key, b.aws_secret_access_key);
        assert_eq!((a.aws_access_key_id.len(), &a.aws_access_key_id[..4]), (20, "AKIA"));
        assert_eq!(a.infisical_client_id.len(), 36);
        assert_eq!(a.github_token.len(), 40);
        assert_ne!(a.aws_secret_access_key, a.cloudflare_token);
    }
}
