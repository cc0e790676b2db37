//! A double of Cloudflare's v4 API for DNS. What it commits is served by a real authoritative name server at the same moment.
//! Judged by Cloudflare's own client (tests/lab/judge-world).

mod batch;
mod knot;
mod records;
mod render;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tracing::error;

use crate::credentials::{CLOUDFLARE_ZONE, Credentials};
use crate::http::{self as web, Body, Request};

pub use knot::{Knot, NAME_SERVERS};
pub use records::Record;

/// The zone of the example castle.
pub const ZONE: &str = "rossi.example";

/// One answer that is not a success.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: u32,
    message: String,
    chain: Option<(u32, String)>,
}

impl Refusal {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            chain: None,
        }
    }

    fn invalid(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }
}

/// The API with its one zone.
pub struct Cloudflare {
    tokens: Mutex<tokens::Tokens>,
    // Held while the name server is being told: two changes never overlap, as in one database.
    records: Mutex<Vec<Record>>,
    knot: Option<Arc<Knot>>,
    changes: AtomicUsize,
}

impl Cloudflare {
    /// Knows the laboratory's tokens; starts with the records of the castle that burnt down.
    pub fn new(keys: &Credentials, knot: Arc<Knot>) -> Self {
        Self {
            tokens: Mutex::new(tokens::Tokens::of(keys)),
            records: Mutex::new(records::old_castle()),
            knot: Some(knot),
            changes: AtomicUsize::new(0),
        }
    }

    /// How many changes of records were carried out; a batch is one.
    pub fn changes(&self) -> usize {
        self.changes.load(Ordering::SeqCst)
    }

    /// The same without a name server behind it: for tests of what talks to the API only.
    pub fn without_servers(keys: &Credentials) -> Self {
        Self {
            tokens: Mutex::new(tokens::Tokens::of(keys)),
            records: Mutex::new(records::old_castle()),
            knot: None,
            changes: AtomicUsize::new(0),
        }
    }

    /// The records as they are now.
    pub async fn records(&self) -> Vec<Record> {
        self.records.lock().await.clone()
    }

    /// Whether a token is switched on.
    pub async fn accepts(&self, token: &str) -> bool {
        self.tokens.lock().await.accepts(token)
    }

    /// Points the first record of a name elsewhere, as its owner would by hand. A name server behind the API is not told.
    pub async fn point(&self, name: &str, content: &str) {
        if let Some(record) = self.records.lock().await.iter_mut().find(|record| record.name == name) {
            record.content = content.to_owned();
        }
    }

    /// Answers one request.
    pub async fn serve(&self, request: Request) -> Response<Body> {
        let answer = match self.answer(request).await {
            Ok(response) => response,
            Err(refusal) => render::refusal(&refusal),
        };
        render::finish(answer)
    }

    async fn answer(&self, request: Request) -> Result<Response<Body>, Refusal> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/client/v4") else {
            return Err(no_route(&path));
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let headers = request.headers().clone();
        self.tokens.lock().await.admit(&headers, &parts)?;
        let method = request.method().clone();
        let query = web::query(&request);
        match (&method, parts.as_slice()) {
            (_, ["user", "tokens", id]) => {
                let body = if method == Method::PUT {
                    body(request).await?
                } else {
                    Value::Null
                };
                self.tokens.lock().await.answer(&method, id, &headers, &body)
            }
            (&Method::GET, ["zones"]) => Ok(render::zones(&query)),
            (&Method::GET, ["zones", id]) => {
                known_zone(id)?;
                Ok(render::one(StatusCode::OK, render::zone()))
            }
            (_, ["zones", id, "dns_records", rest @ ..]) => {
                known_zone(id)?;
                let rest: Vec<String> = rest.iter().map(|part| (*part).to_owned()).collect();
                let body = match method {
                    Method::GET | Method::DELETE => Value::Null,
                    _ => body(request).await?,
                };
                self.dns_records(&method, &rest, &query, &body).await
            }
            _ => Err(no_route(path)),
        }
    }

    async fn dns_records(
        &self,
        method: &Method,
        rest: &[String],
        query: &[(String, String)],
        body: &Value,
    ) -> Result<Response<Body>, Refusal> {
        let mut records = self.records.lock().await;
        let mut next = records.clone();
        let result = match (method.as_str(), rest) {
            ("GET", []) => return Ok(render::list(&records, query)),
            ("GET", [id]) => {
                let found = records
                    .iter()
                    .find(|record| record.id == *id)
                    .ok_or_else(records::absent)?;
                return Ok(render::one(StatusCode::OK, found.to_json()));
            }
            ("POST", []) => records::create(&mut next, body)?.to_json(),
            ("POST", [word]) if word == "batch" => batch::apply(&mut next, body)?,
            ("PUT", [id]) => records::overwrite(&mut next, id, body)?.to_json(),
            ("PATCH", [id]) => records::edit(&mut next, id, body)?.to_json(),
            ("DELETE", [id]) => {
                let gone = records::delete(&mut next, id)?;
                json!({"id": gone.id})
            }
            _ => return Err(no_route("dns_records")),
        };
        let published = match &self.knot {
            Some(knot) => knot.publish(&records, &next).await,
            None => Ok(()),
        };
        if let Err(error) = published {
            error!("knot: {error:#}");
            return Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                1000,
                format!("the laboratory's name server refused: {error:#}"),
            ));
        }
        *records = next;
        self.changes.fetch_add(1, Ordering::SeqCst);
        Ok(render::one(StatusCode::OK, result))
    }
}

fn known_zone(id: &str) -> Result<(), Refusal> {
    if id == CLOUDFLARE_ZONE {
        return Ok(());
    }
    if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, 10000, "Authentication error"));
    }
    Err(no_route(&format!("/zones/{id}")))
}

fn no_route(path: &str) -> Refusal {
    let message = format!("Could not route to /client/v4{path}, perhaps your object identifier is invalid?");
    Refusal {
        chain: Some((7000, "No route for that URI".to_owned())),
        ..Refusal::new(StatusCode::NOT_FOUND, 7003, message)
    }
}

async fn body(request: Request) -> Result<Value, Refusal> {
    let bytes = web::read(request.into_body(), 4 << 20)
        .await
        .map_err(|error| Refusal::invalid(9207, format!("{error:#}")))?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::invalid(9207, "Request body is invalid."))
}
