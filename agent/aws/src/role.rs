//! Temporary credentials of a role, taken anew before they end.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use skykeep_core::Secret;
use tokio::sync::Mutex;

use crate::{AwsError, Credentials, Params, Query, Service};

/// Taken anew this long before they end.
const EARLY: Duration = Duration::from_secs(300);
/// What every role allows without configuration.
const LIFE: Duration = Duration::from_secs(3600);

/// A role, and the credentials that it last gave.
pub(crate) struct Role {
    arn: String,
    session: String,
    current: Mutex<Option<(Arc<Credentials>, SystemTime)>>,
}

#[derive(Deserialize)]
struct Assumed {
    #[serde(rename = "AssumeRoleResult")]
    result: AssumedResult,
}

#[derive(Deserialize)]
struct AssumedResult {
    #[serde(rename = "Credentials")]
    credentials: Given,
}

#[derive(Deserialize)]
struct Given {
    #[serde(rename = "AccessKeyId")]
    id: String,
    #[serde(rename = "SecretAccessKey")]
    secret: String,
    #[serde(rename = "SessionToken")]
    token: String,
}

impl Role {
    pub(crate) fn new(arn: String, session: String) -> Self {
        Role {
            arn,
            session,
            current: Mutex::new(None),
        }
    }

    /// Credentials that live for some minutes at least. `own` asks as ourselves.
    pub(crate) async fn credentials(&self, own: &Query) -> Result<Arc<Credentials>, AwsError> {
        let mut current = self.current.lock().await;
        if let Some((credentials, _)) = current.as_ref().filter(|(_, until)| *until > SystemTime::now()) {
            return Ok(credentials.clone());
        }
        let params = Params::new()
            .with("RoleArn", &self.arn)
            .with("RoleSessionName", &self.session)
            .with("DurationSeconds", LIFE.as_secs());
        let asked = SystemTime::now();
        // Boxed: asking may itself ask for credentials, though never for a role's.
        let text = Secret::from_string(Box::pin(own.ask(Service::Sts, "AssumeRole", &params)).await?);
        let given: Assumed =
            quick_xml::de::from_str(text.expose_str().unwrap_or_default()).map_err(|e| AwsError::Unreadable {
                action: "AssumeRole".into(),
                why: e.to_string(),
            })?;
        let given = given.result.credentials;
        let (secret, token) = (Secret::from_string(given.secret), Secret::from_string(given.token));
        let credentials = Arc::new(Credentials::temporary(given.id, secret, token));
        *current = Some((credentials.clone(), asked + LIFE.saturating_sub(EARLY)));
        Ok(credentials)
    }

    /// Forgets credentials that AWS refuses.
    pub(crate) async fn forget(&self) {
        *self.current.lock().await = None;
    }
}
