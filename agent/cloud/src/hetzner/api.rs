//! How Hetzner's API is called: JSON over HTTPS with a token, pages, a rate limit, errors with codes.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, Response, Url, header::HeaderMap};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use skykeep_core::{Secret, explain::chain};
use tokio::time::Instant;

use super::HetznerError;

const API: &str = "https://api.hetzner.cloud/v1/";
const PER_PAGE: &str = "50";
/// More pages than any project has; an endless list must not keep us for ever.
const MAX_PAGES: u32 = 100;
/// How long passing trouble is borne in one request that may be repeated.
const PATIENCE: Duration = Duration::from_secs(60);
/// When fewer requests than this are left of the hour's, each waits for the one that comes back each second.
const FEW: u32 = 20;

/// The API with a token.
pub(super) struct Api {
    http: reqwest::Client,
    token: Secret,
    base: String,
    /// Requests that may still be sent at once.
    left: AtomicU32,
}

#[derive(Deserialize)]
struct Refusal {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Meta {
    meta: Option<Pages>,
}

#[derive(Deserialize)]
struct Pages {
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    next_page: Option<u32>,
}

impl Api {
    pub(super) fn new(http: reqwest::Client, token: Secret, base: Option<Url>) -> Self {
        Api {
            http,
            token,
            base: base.map_or_else(|| API.to_owned(), String::from),
            left: AtomicU32::new(u32::MAX),
        }
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Result<RequestBuilder, HetznerError> {
        let token = self.token.expose_str().map(str::trim);
        let token = token.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic()));
        let token = token.ok_or(HetznerError::NoToken)?;
        let url = format!("{}{path}", self.base);
        let url = match query {
            [] => Url::parse(&url),
            _ => Url::parse_with_params(&url, query),
        };
        let url = url.map_err(|e| HetznerError::Unreadable(e.to_string()))?;
        Ok(self.http.request(method, url).bearer_auth(token))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, HetznerError> {
        if self.left.load(Ordering::Relaxed) < FEW {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let answer = request
            .send()
            .await
            .map_err(|e| HetznerError::NoAnswer(chain(&e.without_url())))?;
        self.note_limit(answer.headers());
        let status = answer.status();
        let body = body(answer).await?;
        if !status.is_success() {
            let said = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error);
            let (code, message) = match said {
                Ok(said) => (said.code, said.message),
                Err(_) => ("unknown".into(), format!("status {status}, without a reason")),
            };
            return Err(HetznerError::Refused {
                status: status.as_u16(),
                code,
                message,
            });
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(unreadable)
    }

    fn note_limit(&self, headers: &HeaderMap) {
        let left = headers
            .get("RateLimit-Remaining")
            .and_then(|v| v.to_str().ok()?.parse().ok());
        self.left.store(left.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Sends what may be sent twice until it is answered.
    async fn insist(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, HetznerError> {
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(500);
        loop {
            let request = self.request(method.clone(), path, query)?;
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            match self.send(request).await {
                Err(e) if skykeep_core::Explain::is_transient(&e) && Instant::now() + pause < until => {}
                done => return done,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// One thing.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, key: &str) -> Result<T, HetznerError> {
        let answer = self.insist(Method::GET, path, &[], None).await?;
        pick(answer, key)
    }

    /// All pages of a listing; `key` is also the path.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, HetznerError> {
        let mut all = Vec::new();
        let mut page = 1;
        while page <= MAX_PAGES {
            let number = page.to_string();
            let mut query = query.to_vec();
            query.extend([("per_page", PER_PAGE), ("page", number.as_str())]);
            let answer = self.insist(Method::GET, key, &query, None).await?;
            let meta: Meta = serde_json::from_value(answer.clone()).map_err(unreadable)?;
            all.extend(pick::<Vec<T>>(answer, key)?);
            match meta.meta.and_then(|m| m.pagination.next_page) {
                Some(next) if next > page => page = next,
                _ => return Ok(all),
            }
        }
        Err(HetznerError::Unreadable(format!("the list of {key} has no end")))
    }

    /// Makes a thing. Sent once: whoever calls looks by the thing's name whether a lost answer was a thing made.
    pub(super) async fn create(&self, path: &str, body: &Value) -> Result<Value, HetznerError> {
        self.send(self.request(Method::POST, path, &[])?.json(body)).await
    }

    /// Changes a thing into a state that it may be in already. Codes in `fine` count as done.
    pub(super) async fn change(&self, path: &str, body: &Value, fine: &[&str]) -> Result<Value, HetznerError> {
        match self.insist(Method::POST, path, &[], Some(body)).await {
            Err(e) if e.code().is_some_and(|code| fine.contains(&code)) => Ok(Value::Null),
            done => done,
        }
    }

    /// Deletes a thing; one that is gone is fine.
    pub(super) async fn delete(&self, path: &str) -> Result<Value, HetznerError> {
        match self.insist(Method::DELETE, path, &[], None).await {
            Err(e) if e.is_not_found() => Ok(Value::Null),
            done => done,
        }
    }
}

async fn body(answer: Response) -> Result<Vec<u8>, HetznerError> {
    let bytes = answer.bytes().await;
    bytes
        .map(|b| b.to_vec())
        .map_err(|e| HetznerError::NoAnswer(chain(&e.without_url())))
}

fn unreadable(e: serde_json::Error) -> HetznerError {
    HetznerError::Unreadable(e.to_string())
}

/// One field of an answer.
pub(super) fn pick<T: DeserializeOwned>(mut answer: Value, key: &str) -> Result<T, HetznerError> {
    let found = answer.get_mut(key).map(Value::take).unwrap_or_default();
    serde_json::from_value(found).map_err(|e| HetznerError::Unreadable(format!("`{key}`: {e}")))
}
