//! Cloudflare's v4 API: zones and their records here, API tokens in `tokens`.

mod tokens;

use futures::future::BoxFuture;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use skykeep_core::{Secret, explain::chain};

use crate::{
    change::{Change, Record},
    error::DnsError,
    zone::Zone,
};

pub use tokens::{Token, Tokens};

const API: &str = "https://api.cloudflare.com/client/v4";
const PER_PAGE: usize = 100;
/// More pages than any zone has; an endless list must not keep us for ever.
const MAX_PAGES: usize = 100;

/// Cloudflare with a token.
pub struct Cloudflare {
    http: reqwest::Client,
    token: Secret,
    base: String,
}

/// A zone that the token can see and that Cloudflare serves.
struct Seen {
    api: Cloudflare,
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    success: bool,
    result: Option<T>,
    #[serde(default)]
    errors: Vec<ApiError>,
    result_info: Option<Pages>,
}

#[derive(Deserialize)]
struct ApiError {
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Pages {
    #[serde(default)]
    total_pages: usize,
}

#[derive(Deserialize)]
struct FoundZone {
    id: String,
    name: String,
    status: String,
    #[serde(default)]
    permissions: Vec<String>,
}

impl Cloudflare {
    /// A client; nothing is asked yet.
    pub fn new(http: reqwest::Client, token: &Secret) -> Self {
        Cloudflare {
            http,
            token: token.duplicate(),
            base: API.into(),
        }
    }

    /// Checks the token and finds the zone.
    pub async fn connect(self, zone: &str) -> Result<Box<dyn Zone>, DnsError> {
        let name = zone.trim_end_matches('.').to_ascii_lowercase();
        self.verify_token(&name).await?;
        let request = self.request(Method::GET, "/zones", &[("name", &name)])?;
        let found = self
            .call::<Vec<FoundZone>>(request, &name)
            .await?
            .result
            .unwrap_or_default();
        let zone = found
            .into_iter()
            .find(|z| z.name == name)
            .ok_or_else(|| DnsError::NoZone(name.clone()))?;
        if zone.status != "active" {
            return Err(DnsError::NotActive {
                zone: name,
                status: zone.status,
            });
        }
        // Cloudflare lists what the token may do; only a list that speaks of records without editing them is a "no".
        let may = |what: &str| zone.permissions.iter().any(|p| p == what);
        if may("#dns_records:read") && !may("#dns_records:edit") {
            let why = "it may read them only".into();
            return Err(DnsError::Permission { zone: name, why });
        }
        Ok(Box::new(Seen {
            api: self,
            id: zone.id,
            name,
        }))
    }

    async fn verify_token(&self, zone: &str) -> Result<(), DnsError> {
        #[derive(Deserialize)]
        struct Token {
            status: String,
        }
        // Tokens that belong to an account are not known under /user; for them the next call is the test.
        if self.token.expose().starts_with(b"cfat_") {
            return Ok(());
        }
        let token = self
            .call::<Token>(self.request(Method::GET, "/user/tokens/verify", &[])?, zone)
            .await?;
        match token.result {
            Some(t) if t.status == "active" => Ok(()),
            Some(t) => Err(DnsError::Token(format!("its status is `{}`", t.status))),
            None => Err(DnsError::Rubbish {
                why: "no status of the token".into(),
                passing: false,
            }),
        }
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Result<RequestBuilder, DnsError> {
        let token = self
            .token
            .expose_str()
            .map(str::trim)
            .filter(|t| t.bytes().all(|b| b.is_ascii_graphic()));
        let token = token.ok_or_else(|| DnsError::Token("what is stored is no token but something else".into()))?;
        let url = format!("{}{path}", self.base);
        let url = match query {
            [] => reqwest::Url::parse(&url),
            _ => reqwest::Url::parse_with_params(&url, query),
        };
        let url = url.map_err(|e| DnsError::Refused(e.to_string()))?;
        Ok(self.http.request(method, url).bearer_auth(token))
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder, zone: &str) -> Result<Envelope<T>, DnsError> {
        let response = request.send().await.map_err(|e| DnsError::Unreachable(chain(&e)))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|e| DnsError::Unreachable(chain(&e)))?;
        if !status.is_success() {
            return Err(refused(status, &body, zone));
        }
        let envelope: Envelope<T> = serde_json::from_slice(&body).map_err(|e| DnsError::Rubbish {
            why: e.to_string(),
            passing: false,
        })?;
        if envelope.success {
            Ok(envelope)
        } else {
            Err(refused(status, &body, zone))
        }
    }
}

fn refused(status: StatusCode, body: &[u8], zone: &str) -> DnsError {
    let errors = serde_json::from_slice::<Envelope<Value>>(body)
        .map(|e| e.errors)
        .unwrap_or_default();
    let mut words: Vec<String> = errors.iter().map(|e| format!("{} ({})", e.message, e.code)).collect();
    words.insert(0, format!("it answered {}", status.as_u16()));
    let why = words.join("; ");
    let code = |wanted: &[i64]| errors.iter().any(|e| wanted.contains(&e.code));
    match status {
        StatusCode::TOO_MANY_REQUESTS => DnsError::Throttled(why),
        s if s.is_server_error() => DnsError::Rubbish { why, passing: true },
        // 1000 invalid token, 6003 and 6111 malformed header, 9109 and 9106 invalid or missing credentials.
        _ if code(&[1000, 6003, 6111, 9106, 9109]) || status == StatusCode::UNAUTHORIZED => DnsError::Token(why),
        // 10000 "Authentication error": a good token without the permission.
        _ if code(&[10000]) || status == StatusCode::FORBIDDEN => DnsError::Permission { zone: zone.into(), why },
        _ => DnsError::Refused(why),
    }
}

impl Seen {
    async fn read(&self) -> Result<Vec<Record>, DnsError> {
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let path = format!("/zones/{}/dns_records", self.id);
            let query = [("per_page", PER_PAGE.to_string()), ("page", page.to_string())];
            let query: Vec<(&str, &str)> = query.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let request = self.api.request(Method::GET, &path, &query)?;
            let answer = self.api.call::<Vec<Record>>(request, &self.name).await?;
            let some = answer.result.unwrap_or_default();
            let last = some.is_empty() || answer.result_info.is_none_or(|pages| page >= pages.total_pages);
            all.extend(some);
            if last {
                return Ok(all);
            }
        }
        Err(DnsError::Rubbish {
            why: format!("its list of records has more than {MAX_PAGES} pages"),
            passing: false,
        })
    }

    async fn write(&self, change: &Change) -> Result<(), DnsError> {
        if change.already_done() {
            return Ok(());
        }
        let mut batch = serde_json::Map::new();
        let value = |part: Result<Value, serde_json::Error>| part.map_err(|e| DnsError::Refused(e.to_string()));
        let deletes: Vec<Value> = change.deletes.iter().map(|r| json!({"id": r.id})).collect();
        for (name, part) in [
            ("deletes", Value::Array(deletes)),
            ("patches", value(serde_json::to_value(&change.patches))?),
            ("posts", value(serde_json::to_value(&change.posts))?),
        ] {
            if part.as_array().is_some_and(|a| !a.is_empty()) {
                batch.insert(name.into(), part);
            }
        }
        let request = self
            .api
            .request(Method::POST, &format!("/zones/{}/dns_records/batch", self.id), &[])?
            .json(&batch);
        self.api.call::<Value>(request, &self.name).await?;
        Ok(())
    }
}

impl Zone for Seen {
    fn name(&self) -> &str {
        &self.name
    }

    fn records(&self) -> BoxFuture<'_, Result<Vec<Record>, DnsError>> {
        Box::pin(self.read())
    }

    fn apply<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(self.write(change))
    }
}

#[cfg(test)]
mod tests;
