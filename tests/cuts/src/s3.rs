//! A bucket in memory with S3's conditional writes. Signatures are not checked: SeaweedFS and the laboratory do that. Its clock can be
//! set forward, so that a lease gets old without anybody waiting.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

#[derive(Clone)]
struct Stored {
    bytes: Vec<u8>,
    etag: u64,
    written: SystemTime,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Stored>,
    etags: u64,
    ahead: Duration,
}

/// The bucket.
#[derive(Default)]
pub struct Bucket(Mutex<Inner>);

impl Bucket {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets this much time pass at the store.
    pub fn pass(&self, time: Duration) {
        self.inner().ahead += time;
    }

    /// Puts an object there that is so old.
    pub fn leave(&self, key: &str, bytes: &[u8], age: Duration) {
        let mut inner = self.inner();
        inner.etags += 1;
        let stored = Stored {
            bytes: bytes.to_vec(),
            etag: inner.etags,
            written: SystemTime::now() + inner.ahead - age,
        };
        inner.objects.insert(key.to_owned(), stored);
    }

    /// Takes an object away.
    pub fn take_away(&self, key: &str) {
        self.inner().objects.remove(key);
    }

    /// Every key.
    pub fn keys(&self) -> Vec<String> {
        self.inner().objects.keys().cloned().collect()
    }

    /// Answers one request in the path style: `/<bucket>/<key>`.
    pub async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let Ok(bytes) = body.collect().await.map(|b| b.to_bytes().to_vec()) else {
            return refusal(StatusCode::BAD_REQUEST, "IncompleteBody");
        };
        let key = parts
            .uri
            .path()
            .trim_start_matches('/')
            .split_once('/')
            .map_or("", |(_, key)| key);
        let mut inner = self.inner();
        let now = SystemTime::now() + inner.ahead;
        let mut answer = match parts.method {
            Method::GET if key.is_empty() => list(&inner, parts.uri.query().unwrap_or_default()),
            Method::GET | Method::HEAD => match inner.objects.get(key) {
                None => refusal(StatusCode::NOT_FOUND, "NoSuchKey"),
                Some(stored) => found(stored),
            },
            Method::PUT => put(&mut inner, key, bytes, &parts.headers, now),
            Method::DELETE => {
                inner.objects.remove(key);
                status(StatusCode::NO_CONTENT)
            }
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        };
        drop(inner);
        set(&mut answer, header::DATE, &httpdate::fmt_http_date(now));
        answer
    }
}

fn put(inner: &mut Inner, key: &str, bytes: Vec<u8>, headers: &HeaderMap, now: SystemTime) -> Response<Body> {
    let wanted = headers.get(header::IF_MATCH).and_then(|v| v.to_str().ok());
    match (inner.objects.get(key), wanted) {
        (None, Some(_)) => return refusal(StatusCode::NOT_FOUND, "NoSuchKey"),
        (Some(there), Some(wanted)) if wanted != tag(there) => {
            return refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        (Some(_), None) if headers.contains_key(header::IF_NONE_MATCH) => {
            return refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        _ => {}
    }
    inner.etags += 1;
    let stored = Stored {
        bytes,
        etag: inner.etags,
        written: now,
    };
    let mut answer = status(StatusCode::OK);
    set(&mut answer, header::ETAG, &tag(&stored));
    inner.objects.insert(key.to_owned(), stored);
    answer
}

fn list(inner: &Inner, query: &str) -> Response<Body> {
    let prefix = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("prefix="))
        .unwrap_or_default();
    let prefix = prefix.replace("%2F", "/");
    let line = |(key, stored): (&String, &Stored)| {
        format!(
            "<Contents><Key>{key}</Key><Size>{}</Size><ETag>{}</ETag></Contents>",
            stored.bytes.len(),
            stored.etag
        )
    };
    let lines: String = inner
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(&prefix))
        .map(line)
        .collect();
    Response::new(Body::from(format!(
        "<ListBucketResult><IsTruncated>false</IsTruncated>{lines}</ListBucketResult>"
    )))
}

fn found(stored: &Stored) -> Response<Body> {
    let mut answer = Response::new(Body::from(stored.bytes.clone()));
    set(&mut answer, header::ETAG, &tag(stored));
    set(
        &mut answer,
        header::LAST_MODIFIED,
        &httpdate::fmt_http_date(stored.written),
    );
    answer
}

fn tag(stored: &Stored) -> String {
    format!("\"{:x}\"", stored.etag)
}

fn status(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

fn refusal(code: StatusCode, word: &str) -> Response<Body> {
    let mut answer = Response::new(Body::from(format!(
        "<Error><Code>{word}</Code><Message>{word}</Message></Error>"
    )));
    *answer.status_mut() = code;
    answer
}

fn set(answer: &mut Response<Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
}
