//! pgBackRest's configuration of a repository: the part that holds its keys. It lies in a Secret, which is mounted as a folder
//! of configuration files; nothing of it is ever an argument or a variable of the environment.

use skykeep_core::Secret;
use url::Url;

use super::Fault;
use crate::RestoreError;

/// Where the cluster's Secret is mounted: by our job, and by the owner's StatefulSet. pgBackRest reads it there by itself.
pub const FOLDER: &str = "/etc/pgbackrest/conf.d";
/// The configuration's name in that folder.
pub const FILE: &str = "skykeep.conf";
/// The extra authorities' name in that folder.
pub const AUTHORITIES: &str = "ca.pem";

/// A repository on S3.
pub struct Repository<'a> {
    /// Bucket.
    pub bucket: &'a str,
    /// Path in it.
    pub path: &'a str,
    /// AWS region.
    pub region: &'a str,
    /// Endpoint when it is not AWS.
    pub endpoint: Option<&'a Url>,
    /// Access key id.
    pub access_key_id: &'a Secret,
    /// Secret access key.
    pub secret_access_key: &'a Secret,
    /// Passphrase, when it is encrypted.
    pub cipher_pass: Option<&'a Secret>,
    /// Whether authorities besides the public ones lie beside the configuration.
    pub own_authorities: bool,
}

impl Repository<'_> {
    /// `bucket/path`, for messages.
    pub fn place(&self) -> String {
        place(self.bucket, self.path)
    }

    /// The configuration, for the folder in which it will lie.
    pub fn configuration(&self, folder: &str) -> Result<Secret, RestoreError> {
        let (host, port) = match self.endpoint {
            None => (format!("s3.{}.amazonaws.com", self.region), None),
            Some(url) => (url.host_str().unwrap_or_default().to_owned(), url.port()),
        };
        let mut text = format!(
            "[global]\nrepo1-type=s3\nrepo1-path=/{}\nrepo1-s3-bucket={}\nrepo1-s3-region={}\nrepo1-s3-endpoint={host}\n\
             repo1-s3-uri-style=path\n",
            self.path.trim_matches('/'),
            self.bucket,
            self.region,
        );
        if let Some(port) = port {
            text += &format!("repo1-storage-port={port}\n");
        }
        if self.own_authorities {
            // The file alone would shut the public ones out; most images have those here.
            text += &format!("repo1-storage-ca-file={folder}/{AUTHORITIES}\nrepo1-storage-ca-path=/etc/ssl/certs\n");
        }
        if self.cipher_pass.is_some() {
            text += "repo1-cipher-type=aes-256-cbc\n";
        }
        self.with_keys(text)
    }

    /// The keys alone: for an operator, which writes the rest of the configuration itself (pgBackRest refuses an option given twice).
    pub fn keys(&self) -> Result<Secret, RestoreError> {
        self.with_keys("[global]\n".into())
    }

    fn with_keys(&self, text: String) -> Result<Secret, RestoreError> {
        let mut bytes = text.into_bytes();
        // Never grown, so that no copy of a key stays behind.
        bytes.reserve_exact(4096);
        for (option, value) in [
            ("repo1-s3-key", Some(self.access_key_id)),
            ("repo1-s3-key-secret", Some(self.secret_access_key)),
            ("repo1-cipher-pass", self.cipher_pass),
        ] {
            let Some(value) = value else { continue };
            let value = value.expose().trim_ascii();
            if value.is_empty() || value.len() > 1000 || value.iter().any(u8::is_ascii_control) {
                return Err(Fault::Repository {
                    place: self.place(),
                    why: format!("the value for {option} is empty, too long, or of more than one line"),
                }
                .into());
            }
            bytes.extend([option.as_bytes(), b"=", value, b"\n"].concat());
        }
        Ok(Secret::new(bytes))
    }
}

/// `bucket/path`, for messages.
pub(super) fn place(bucket: &str, path: &str) -> String {
    format!("{bucket}/{}", path.trim_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn the_configuration_is_what_pgbackrest_reads() {
        let (id, key, pass) = (secret("AKIAEXAMPLE"), secret("key\n"), secret("pass"));
        let endpoint = Url::parse("https://s3.example.net:9000").unwrap();
        let mut repository = Repository {
            bucket: "backups",
            path: "pgbackrest/01JD",
            region: "eu-central-1",
            endpoint: None,
            access_key_id: &id,
            secret_access_key: &key,
            cipher_pass: None,
            own_authorities: false,
        };
        let plain = repository.configuration(FOLDER).unwrap();
        repository.endpoint = Some(&endpoint);
        repository.cipher_pass = Some(&pass);
        repository.own_authorities = true;
        let whole = repository.configuration(FOLDER).unwrap();
        insta::assert_snapshot!(format!(
            "{}\n{}",
            plain.expose_str().unwrap(),
            whole.expose_str().unwrap()
        ));
    }

    #[test]
    fn a_key_can_not_bring_options_of_its_own() {
        let (id, key) = (secret("AKIA\nrepo1-path=/elsewhere"), secret("key"));
        let repository = Repository {
            bucket: "b",
            path: "p",
            region: "r",
            endpoint: None,
            access_key_id: &id,
            secret_access_key: &key,
            cipher_pass: None,
            own_authorities: false,
        };
        let error = repository.configuration(FOLDER).err().unwrap();
        assert!(matches!(error, RestoreError::Database(Fault::Repository { why, .. }) if !why.contains("AKIA")));
    }
}
