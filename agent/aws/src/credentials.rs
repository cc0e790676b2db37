use skykeep_core::Secret;

use crate::clock::Clock;

/// A key pair of AWS or of an S3-compatible store; temporary ones carry a session token. What was learned about this machine's
/// clock goes with it.
pub struct Credentials {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret: Secret,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
    pub(crate) clock: Clock,
}

impl Credentials {
    /// A permanent key pair.
    pub fn new(access_key_id: impl Into<String>, secret: Secret) -> Self {
        Credentials {
            access_key_id: access_key_id.into(),
            secret,
            session_token: None,
            clock: Clock::default(),
        }
    }

    /// A key pair with its session token.
    pub fn temporary(access_key_id: impl Into<String>, secret: Secret, token: Secret) -> Self {
        Credentials {
            session_token: Some(token),
            ..Credentials::new(access_key_id, secret)
        }
    }

    /// A second copy, on purpose and by name (there is no `Clone`).
    pub fn duplicate(&self) -> Self {
        Credentials {
            session_token: self.session_token.as_ref().map(Secret::duplicate),
            ..Credentials::new(self.access_key_id.clone(), self.secret.duplicate())
        }
    }
}
