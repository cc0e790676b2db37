//! Objects in a bucket of S3, or of any store that speaks its language.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use url::Url;

use crate::{
    AwsError, Credentials,
    sign::{self, Scope, encode},
};

/// One bucket. Cheap to clone.
#[derive(Clone)]
pub struct S3 {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    region: String,
    base: Url,
    bucket: String,
}

/// An object with its content.
#[derive(Debug, Clone)]
pub struct Object {
    /// The content.
    pub bytes: Bytes,
    /// Its entity tag, with quotes, as `If-Match` wants it back.
    pub etag: String,
    /// How long ago it was written, in whole seconds by the store's own clock (`Date` less `Last-Modified`); `None` when
    /// the store does not say.
    pub age: Option<Duration>,
}

/// An object without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Size in bytes.
    pub size: u64,
    /// Its entity tag, with quotes.
    pub etag: String,
}

/// A line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Its entity tag, with quotes.
    pub etag: String,
}

/// Under which condition an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Whatever is there.
    Always,
    /// Only when nothing is there (`If-None-Match: *`).
    Absent,
    /// Only when this very object is there (`If-Match`).
    Is(&'a str),
}

/// How a conditional write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Put {
    /// Written.
    Done {
        /// The new entity tag.
        etag: String,
    },
    /// Not written: the condition does not hold (412).
    PreconditionFailed,
    /// Not written: another write was under way (409). Look again, then decide.
    Conflict,
    /// Not written: there is nothing that could match (404; some stores say 412 here).
    NotFound,
}

struct Answer {
    bucket: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn etag(&self) -> String {
        self.headers
            .get(header::ETAG)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    }

    /// A success without an entity tag comes from something between us and the store: a proxy, a captive portal.
    fn is_of_a_store(&self, action: &str) -> Result<(), AwsError> {
        if self.etag().is_empty() {
            return Err(AwsError::Unreadable {
                action: action.to_owned(),
                why: "it has no entity tag, so no store of objects gave it".into(),
            });
        }
        Ok(())
    }

    fn age(&self) -> Option<Duration> {
        let date = |name| httpdate::parse_http_date(self.headers.get(name)?.to_str().ok()?).ok();
        date(header::DATE)?.duration_since(date(header::LAST_MODIFIED)?).ok()
    }

    fn refusal(&self, action: &str) -> AwsError {
        // Several buckets, with keys of their own, take part in a rebirth: which one refused is half of the answer.
        let action = format!("{action} in the S3 bucket `{}`", self.bucket);
        AwsError::from_answer(&action, self.status.as_u16(), &String::from_utf8_lossy(&self.body))
    }
}

impl S3 {
    /// A bucket at AWS, or at `endpoint`. The path style is used everywhere: names with dots have no certificate.
    pub fn new(
        http: reqwest::Client,
        credentials: Arc<Credentials>,
        region: impl Into<String>,
        endpoint: Option<Url>,
        bucket: impl Into<String>,
    ) -> Result<Self, AwsError> {
        let region = region.into();
        let base = match endpoint {
            Some(url) => url,
            None => {
                Url::parse(&format!("https://{}/", crate::host("s3", &region))).map_err(|e| AwsError::Unsigned {
                    why: format!("the region `{region}` gives no host name: {e}"),
                })?
            }
        };
        Ok(S3 {
            http,
            credentials,
            region,
            base,
            bucket: bucket.into(),
        })
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The object, or `None` when there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, AwsError> {
        let answer = self
            .steady("GetObject", &Method::GET, self.url(key, "")?, HeaderMap::new())
            .await?;
        self.found(answer, "GetObject")
    }

    /// `length` bytes from `offset` on, fewer where the object ends before; `None` when there is no such object.
    pub async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Object>, AwsError> {
        if length == 0 {
            return Ok(self.head(key).await?.map(|h| Object {
                bytes: Bytes::new(),
                etag: h.etag,
                age: None,
            }));
        }
        let mut headers = HeaderMap::new();
        let last = offset.saturating_add(length).saturating_sub(1);
        headers.insert(header::RANGE, value(&format!("bytes={offset}-{last}"))?);
        let answer = self
            .steady("GetObject", &Method::GET, self.url(key, "")?, headers)
            .await?;
        let whole = answer.status == StatusCode::OK;
        let Some(mut object) = self.found(answer, "GetObject")? else {
            return Ok(None);
        };
        if whole {
            // A store without ranges sends everything.
            let all = object.bytes.len();
            let from = usize::try_from(offset).unwrap_or(all).min(all);
            let to = from.saturating_add(usize::try_from(length).unwrap_or(all)).min(all);
            object.bytes = object.bytes.slice(from..to);
        }
        Ok(Some(object))
    }

    /// Size and tag, or `None` when there is no such object.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, AwsError> {
        let answer = self
            .steady("HeadObject", &Method::HEAD, self.url(key, "")?, HeaderMap::new())
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(answer.refusal("HeadObject"));
        }
        let length = answer
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse().ok());
        let size = length.ok_or_else(|| AwsError::Unreadable {
            action: "HeadObject".into(),
            why: format!("the size of {key} is missing"),
        })?;
        Ok(Some(Head {
            size,
            etag: answer.etag(),
        }))
    }

    /// Writes an object under a condition. Nothing is repeated by itself but "slow down": after a lost answer only the
    /// caller can tell whether the object that is there now is its own.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>, condition: Condition<'_>) -> Result<Put, AwsError> {
        let bytes: Bytes = bytes.into();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        match condition {
            Condition::Always => {}
            Condition::Absent => {
                headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
            }
            Condition::Is(etag) => {
                headers.insert(header::IF_MATCH, value(etag)?);
            }
        }
        let url = self.url(key, "")?;
        let mut pause = Duration::from_millis(300);
        for _ in 0..4 {
            let answer = self
                .send("PutObject", &Method::PUT, url.clone(), headers.clone(), bytes.clone())
                .await?;
            if answer.status.is_success() {
                answer.is_of_a_store("PutObject")?;
                return Ok(Put::Done { etag: answer.etag() });
            }
            let refusal = answer.refusal("PutObject");
            match answer.status.as_u16() {
                412 => return Ok(Put::PreconditionFailed),
                409 if refusal.is("ConditionalRequestConflict") || refusal.is("OperationAborted") => {
                    return Ok(Put::Conflict);
                }
                404 if !refusal.is("NoSuchBucket") && matches!(condition, Condition::Is(_)) => {
                    return Ok(Put::NotFound);
                }
                _ if refusal.is_throttled() => {}
                _ => return Err(refusal),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let answer = self.send("PutObject", &Method::PUT, url, headers, bytes).await?;
        if answer.status.is_success() {
            answer.is_of_a_store("PutObject")?;
            Ok(Put::Done { etag: answer.etag() })
        } else {
            Err(answer.refusal("PutObject"))
        }
    }

    /// Deletes an object; that it is gone already is fine.
    pub async fn delete(&self, key: &str) -> Result<(), AwsError> {
        let answer = self
            .steady("DeleteObject", &Method::DELETE, self.url(key, "")?, HeaderMap::new())
            .await?;
        let refusal = answer.refusal("DeleteObject");
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND if !refusal.is("NoSuchBucket") => Ok(()),
            _ => Err(refusal),
        }
    }

    /// All objects whose key begins with `prefix`, page after page, in the order of their keys.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Entry>, AwsError> {
        let mut entries = Vec::new();
        let mut token: Option<String> = None;
        loop {
            // In the order of their names, as the signature wants them.
            let next = token
                .take()
                .map(|t| format!("continuation-token={}&", encode(&t, false)))
                .unwrap_or_default();
            let query = format!("{next}list-type=2&prefix={}", encode(prefix, false));
            let answer = self
                .steady("ListObjectsV2", &Method::GET, self.url("", &query)?, HeaderMap::new())
                .await?;
            if !answer.status.is_success() {
                return Err(answer.refusal("ListObjectsV2"));
            }
            let page = page(&answer.body)?;
            entries.extend(page.contents.into_iter().map(|c| Entry {
                key: c.key,
                size: c.size,
                etag: c.etag,
            }));
            match page.next {
                Some(next) if page.truncated => token = Some(next),
                _ => return Ok(entries),
            }
        }
    }

    /// A URL by which anybody can read the object until `at` + `expires`. The same inputs give the same URL.
    pub fn presign_get(&self, key: &str, at: SystemTime, expires: Duration) -> Result<String, AwsError> {
        sign::presigned(&self.scope(at), &Method::GET, self.url(key, "")?, expires)
    }

    fn scope(&self, at: SystemTime) -> Scope<'_> {
        Scope {
            credentials: &self.credentials,
            region: &self.region,
            service: "s3",
            at,
        }
    }

    fn url(&self, key: &str, query: &str) -> Result<Url, AwsError> {
        let base = self.base.as_str().trim_end_matches('/');
        let bucket = encode(&self.bucket, false);
        let mut text = if key.is_empty() {
            format!("{base}/{bucket}")
        } else {
            format!("{base}/{bucket}/{}", encode(key, true))
        };
        if !query.is_empty() {
            text.push('?');
            text.push_str(query);
        }
        Url::parse(&text).map_err(|e| AwsError::Unsigned {
            why: format!("`{key}` gives no URL: {e}"),
        })
    }

    fn found(&self, answer: Answer, action: &str) -> Result<Option<Object>, AwsError> {
        if answer.status.is_success() {
            answer.is_of_a_store(action)?;
            return Ok(Some(Object {
                etag: answer.etag(),
                age: answer.age(),
                bytes: answer.body,
            }));
        }
        let refusal = answer.refusal(action);
        if answer.status == StatusCode::NOT_FOUND && !refusal.is("NoSuchBucket") {
            Ok(None)
        } else {
            Err(refusal)
        }
    }

    /// Sends what may safely be sent twice; passing trouble is repeated a few times.
    async fn steady(&self, action: &str, method: &Method, url: Url, headers: HeaderMap) -> Result<Answer, AwsError> {
        let mut pause = Duration::from_millis(300);
        for _ in 0..4 {
            match self
                .send(action, method, url.clone(), headers.clone(), Bytes::new())
                .await
            {
                Ok(answer) if !(answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS) => {
                    return Ok(answer);
                }
                Err(error @ (AwsError::Unsigned { .. } | AwsError::Unreadable { .. })) => return Err(error),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.send(action, method, url, headers, Bytes::new()).await
    }

    /// Once; and once more, signed with a corrected clock, when it was refused because of ours.
    async fn send(
        &self,
        action: &str,
        method: &Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, AwsError> {
        let answer = self
            .sign_and_send(action, method, url.clone(), headers.clone(), body.clone())
            .await?;
        match self.credentials.clock.learns(answer.status, &answer.headers) {
            true => self.sign_and_send(action, method, url, headers, body).await,
            false => Ok(answer),
        }
    }

    async fn sign_and_send(
        &self,
        action: &str,
        method: &Method,
        url: Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, AwsError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let now = self.credentials.clock.now();
        sign::headers(&self.scope(now), method, &url, &mut headers, &body)?;
        let answer = self
            .http
            .request(method.clone(), url)
            .headers(headers)
            .body(body)
            .send()
            .await
            .map_err(|e| AwsError::no_answer(action, &host, &e))?;
        let status = answer.status();
        let headers = answer.headers().clone();
        let body = answer
            .bytes()
            .await
            .map_err(|e| AwsError::no_answer(action, &host, &e))?;
        Ok(Answer {
            bucket: self.bucket.clone(),
            status,
            headers,
            body,
        })
    }
}

fn value(text: &str) -> Result<HeaderValue, AwsError> {
    HeaderValue::from_str(text).map_err(|e| AwsError::Unsigned {
        why: format!("`{text}` is no header value: {e}"),
    })
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "Contents", default)]
    contents: Vec<Contents>,
    #[serde(rename = "IsTruncated", default)]
    truncated: bool,
    #[serde(rename = "NextContinuationToken")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Contents {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "ETag", default)]
    etag: String,
}

fn page(body: &[u8]) -> Result<Page, AwsError> {
    let text = String::from_utf8_lossy(body);
    let unreadable = |why: String| AwsError::Unreadable {
        action: "ListObjectsV2".into(),
        why,
    };
    // Every element may be absent from a page, so that any XML could be an empty one: the page of a captive portal, too.
    if !text.contains("<ListBucketResult") {
        return Err(unreadable("it is no listing".into()));
    }
    quick_xml::de::from_str(&text).map_err(|e| unreadable(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_listing_is_read() {
        let page = page(
            br#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix/><NextContinuationToken>1ueG/x=</NextContinuationToken><KeyCount>2</KeyCount><MaxKeys>2</MaxKeys><IsTruncated>true</IsTruncated>
<Contents><Key>a &amp; b</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified><ETag>&quot;fba9&quot;</ETag><Size>434234</Size><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>c</Key><ETag>"x"</ETag><Size>0</Size></Contents></ListBucketResult>"#,
        )
        .unwrap();
        assert!(page.truncated);
        assert_eq!(page.next.as_deref(), Some("1ueG/x="));
        assert_eq!(page.contents.len(), 2);
        assert_eq!(
            (page.contents[0].key.as_str(), page.contents[0].etag.as_str()),
            ("a & b", "\"fba9\"")
        );
    }

    #[test]
    fn an_empty_listing_is_read() {
        let page =
            page(b"<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>").unwrap();
        assert!(page.contents.is_empty() && !page.truncated);
    }

    #[test]
    fn the_page_of_a_captive_portal_is_no_empty_listing() {
        assert!(page(b"<html><body>Welcome to the hotel.</body></html>").is_err());
    }
}
