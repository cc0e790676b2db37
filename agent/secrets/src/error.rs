//! What can go wrong while secrets are fetched.

use skykeep_core::Explain;

use crate::sops::SopsError;

/// An error of a secret store.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", Explain::what(self), Explain::why(self))]
pub enum SecretsError {
    /// Some references lead to nothing.
    Missing {
        /// Each missing reference, with the place where it was looked for.
        missing: Vec<String>,
    },
    /// References to Infisical, but no project in the castle file.
    NoProject,
    /// References into SOPS files, but no identity in the castle file.
    NoIdentity,
    /// The vault's age identity is none.
    BadIdentity {
        /// The vault entry.
        entry: String,
        /// The line that is no identity; 0 when there is none at all.
        line: usize,
    },
    /// A SOPS file of the repository gives no secret.
    Sops {
        /// Its path.
        file: String,
        /// What is wrong with it.
        why: SopsError,
    },
    /// The store did not answer.
    Unreachable {
        /// Host of the store.
        host: String,
        /// The network's own words.
        why: String,
    },
    /// The store does not know this identity.
    Login {
        /// Host of the store.
        host: String,
        /// Its words.
        why: String,
    },
    /// The identity may not read there.
    Forbidden {
        /// Host of the store.
        host: String,
        /// Project, environment and folder.
        place: String,
        /// Its words.
        why: String,
    },
    /// No such project, environment or folder.
    NotFound {
        /// Host of the store.
        host: String,
        /// Project, environment and folder.
        place: String,
        /// Its words.
        why: String,
    },
    /// Too many requests.
    Throttled {
        /// Host of the store.
        host: String,
        /// Its words.
        why: String,
    },
    /// Names whose values the store hides from this identity.
    Hidden {
        /// Host of the store.
        host: String,
        /// The names.
        names: Vec<String>,
    },
    /// An answer that makes no sense.
    Rubbish {
        /// Host of the store.
        host: String,
        /// What is wrong with it.
        why: String,
        /// Whether it may pass by itself (5xx).
        passing: bool,
    },
}

/// Infisical's cloud has two regions that know nothing of each other.
fn region(host: &str) -> &'static str {
    match host {
        "eu.infisical.com" => " (Infisical's EU cloud)",
        "app.infisical.com" | "us.infisical.com" => " (Infisical's US cloud)",
        _ => "",
    }
}

impl Explain for SecretsError {
    fn what(&self) -> String {
        match self {
            Self::Missing { missing } => format!("{} secrets that castle.yaml names are not there", missing.len()),
            Self::NoProject => "Secrets are to come from Infisical, but castle.yaml names no project".into(),
            Self::NoIdentity => "Secrets are to come from SOPS files, but castle.yaml names no age identity".into(),
            Self::BadIdentity { entry, .. } => format!("{entry} holds no age identity that opens SOPS files"),
            Self::Sops { file, why } => match why {
                SopsError::NotSops(_) => format!("{file} of the repository is no file that SOPS wrote"),
                SopsError::Unsupported(_) => {
                    format!("{file} of the repository is encrypted in a way that is not read here")
                }
                SopsError::NoKey(_) => format!("{file} of the repository is not encrypted to the vault's age identity"),
                SopsError::Damaged(_) => format!("{file} of the repository was changed since SOPS encrypted it"),
            },
            Self::Unreachable { host, .. } => format!("Infisical at {host} can't be reached"),
            Self::Login { host, .. } => format!("Infisical at {host}{} refused the login", region(host)),
            Self::Forbidden { host, .. } => format!("Infisical at {host}{} refuses to show its secrets", region(host)),
            Self::NotFound { host, .. } => format!("Infisical at {host}{} has no such place", region(host)),
            Self::Throttled { host, .. } => format!("Infisical at {host} asks us to slow down"),
            Self::Hidden { host, .. } => format!("Infisical at {host} hides values from our identity"),
            Self::Rubbish { host, .. } => format!("Infisical at {host} gave an answer that can't be used"),
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Missing { missing } => missing.join("; "),
            Self::NoProject => "the section `secrets.infisical` is absent".into(),
            Self::NoIdentity => "the section `secrets.sops` is absent".into(),
            Self::BadIdentity { line: 0, .. } => "it is empty".into(),
            Self::BadIdentity { line, .. } => format!("line {line} is no X25519 identity"),
            Self::Sops {
                why:
                    SopsError::NotSops(why) | SopsError::Unsupported(why) | SopsError::NoKey(why) | SopsError::Damaged(why),
                ..
            } => why.clone(),
            Self::Unreachable { why, .. }
            | Self::Login { why, .. }
            | Self::Throttled { why, .. }
            | Self::Rubbish { why, .. } => why.clone(),
            Self::Forbidden { place, why, .. } | Self::NotFound { place, why, .. } => format!("{place}: {why}"),
            Self::Hidden { names, .. } => format!("it sent a mask in place of {}", names.join(", ")),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Missing { .. } => {
                "Add each one (`skykeep vault put PATH`, in Infisical, or with `sops`), or mend its name in castle.yaml."
            }
            Self::NoProject => "Add `secrets.infisical` to castle.yaml.",
            Self::NoIdentity => "Add `secrets.sops: {ageIdentity: \"vault:<path>\"}` to castle.yaml.",
            Self::BadIdentity { .. } => {
                "Put the file of `age-keygen` into that entry (`skykeep vault put --from keys.txt`): lines that begin with \
                 AGE-SECRET-KEY-1, and comments. Hardware and post-quantum identities are not read."
            }
            Self::Sops { why, .. } => match why {
                SopsError::NotSops(_) => "Mend the path in castle.yaml, or encrypt the file with `sops encrypt`.",
                SopsError::Unsupported(_) => {
                    "Encrypt it as one YAML document, JSON, dotenv (.env) or binary, to age recipients, without key groups."
                }
                SopsError::NoKey(_) => {
                    "Add the vault's age recipient to .sops.yaml and run `sops updatekeys` on that file; then push it."
                }
                SopsError::Damaged(_) => {
                    "Nothing of it is used. Look at its history in Git: edit it with `sops`, never by hand."
                }
            },
            Self::Unreachable { .. } => "Look at the network and at `secrets.infisical.url` in castle.yaml.",
            Self::Login { .. } => {
                "Check `secrets.infisical.url` first: an identity of the EU cloud is unknown in the US cloud. Then client id and secret in \
                 the vault. Don't try often: after 3 failures Infisical locks the identity for 5 minutes."
            }
            Self::Forbidden { .. } => {
                "In Infisical, give this machine identity a role of the project that may read that environment and folder."
            }
            Self::NotFound { .. } => "Check `projectId`, `environment` and `path` of `secrets.infisical` in castle.yaml.",
            Self::Throttled { .. } => "Wait a minute and start again.",
            Self::Hidden { .. } => {
                "In Infisical, give this machine identity a role that may read secret values, not only see their names."
            }
            Self::Rubbish { .. } => {
                "Check that `secrets.infisical.url` is really Infisical (and no login page of this network); then start again."
            }
        }
        .into()
    }

    fn is_transient(&self) -> bool {
        // Never a login: repeating it locks the identity.
        matches!(
            self,
            Self::Unreachable { .. } | Self::Throttled { .. } | Self::Rubbish { passing: true, .. }
        )
    }
}
