//! API tokens at Cloudflare, as far as one can be switched off and on.

use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use skykeep_core::Secret;

use super::Cloudflare;
use crate::error::DnsError;

/// What an update wants to be told again of a token; all else in an answer is Cloudflare's to say.
const OURS: [&str; 5] = ["name", "policies", "condition", "expires_on", "not_before"];

/// Who may edit API tokens.
pub struct Tokens {
    api: Cloudflare,
    folder: String,
}

/// A token as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Token {
    /// The name that its owner gave it.
    #[serde(default)]
    pub name: String,
    /// `active`, `disabled` or `expired`.
    pub status: String,
}

impl Token {
    /// Whether it can be used.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

impl Tokens {
    /// A client with a token that may edit tokens: those of an account, or those of its own user.
    pub fn new(http: reqwest::Client, with: &Secret, account: Option<&str>) -> Self {
        let folder = match account {
            Some(id) => format!("/accounts/{id}/tokens"),
            None => "/user/tokens".into(),
        };
        let api = Cloudflare::new(http, with);
        Tokens { api, folder }
    }

    /// The id of our own token.
    pub async fn own(&self) -> Result<String, DnsError> {
        #[derive(Deserialize)]
        struct Verified {
            id: String,
        }
        let verified: Verified = self.send(Method::GET, "verify", None).await?;
        Ok(verified.id)
    }

    /// The id of another token, as it says itself; `None` when it is not of this user or account, or can't be used.
    pub async fn id_of(&self, token: &Secret) -> Result<Option<String>, DnsError> {
        let api = Cloudflare {
            http: self.api.http.clone(),
            token: token.duplicate(),
            base: self.api.base.clone(),
        };
        let folder = self.folder.clone();
        match (Tokens { api, folder }).own().await {
            Ok(id) => Ok(Some(id)),
            Err(DnsError::EditsTokens(_) | DnsError::NoToken { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// How a token stands.
    pub async fn look(&self, id: &str) -> Result<Token, DnsError> {
        self.send(Method::GET, id, None).await
    }

    /// Switches a token on or off; to do it twice is to do it once. Its rights, its name and its value stay as they are.
    pub async fn set(&self, id: &str, active: bool) -> Result<(), DnsError> {
        let now: Map<String, Value> = self.send(Method::GET, id, None).await?;
        let mut wish: Map<String, Value> = now
            .into_iter()
            .filter(|(field, value)| OURS.contains(&field.as_str()) && !value.is_null())
            .collect();
        let status = if active { "active" } else { "disabled" };
        wish.insert("status".into(), status.into());
        let after: Token = self.send(Method::PUT, id, Some(Value::Object(wish))).await?;
        if after.status == status {
            return Ok(());
        }
        Err(DnsError::Rubbish {
            why: format!("a token that should be {status} is {} now", after.status),
            passing: false,
        })
    }

    async fn send<T: DeserializeOwned>(&self, method: Method, id: &str, body: Option<Value>) -> Result<T, DnsError> {
        let mut request = self.api.request(method, &format!("{}/{id}", self.folder), &[])?;
        if let Some(body) = body {
            request = request.json(&body);
        }
        // The words for a zone would mislead somebody whose token is about tokens.
        let answer = self.api.call::<T>(request, "").await.map_err(|e| match e {
            DnsError::Token(why) | DnsError::Permission { why, .. } => DnsError::EditsTokens(why),
            DnsError::Refused(why) => DnsError::NoToken { id: id.to_owned(), why },
            e => e,
        })?;
        answer.result.ok_or_else(|| DnsError::Rubbish {
            why: "it says nothing of the token".into(),
            passing: false,
        })
    }
}
