use skykeep_core::Secret;

/// A key pair of AWS or of an S3-compatible store; temporary ones carry a session token.
pub struct Credentials {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret: Secret,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
}

impl Credentials {
    /// A permanent key pair.
    pub fn new(access_key_id: impl Into<String>, secret: Secret) -> Self {
        Credentials {
            access_key_id: access_key_id.into(),
            secret,
            session_token: None,
        }
    }

    /// A second copy, on purpose and by name (there is no `Clone`).
    pub fn duplicate(&self) -> Self {
        Credentials {
            access_key_id: self.access_key_id.clone(),
            secret: self.secret.duplicate(),
            session_token: self.session_token.as_ref().map(Secret::duplicate),
        }
    }
}
