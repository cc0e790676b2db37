//! Signature version 4, the verifier's side: nothing is taken from the client but what the signature covers.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Credential;
use crate::error::{ApiError, Service};
use crate::params::unescape;

/// What of a request is signed.
pub struct Request<'a> {
    /// POST or GET.
    pub method: &'a str,
    /// Path as sent.
    pub path: &'a str,
    /// Query string as sent.
    pub query: &'a str,
    /// Headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// Body.
    pub body: &'a [u8],
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No Authorization header.
    Missing,
    /// The header cannot be read, or does not cover what it must.
    Incomplete(String),
    /// Nobody has this access key, or the token does not belong to it.
    UnknownKey,
    /// The scope is for another region, service or day.
    Scope(String),
    /// Too old; the sentence tells the times.
    Old(String),
    /// From the future; the sentence tells the times.
    Early(String),
    /// Temporary credentials that have ended.
    Expired,
    /// The signature is another one.
    Mismatch,
}

const UNRESERVED: &[u8] = b"-_.~";

fn escape(text: &[u8], slash: bool) -> String {
    let mut out = String::new();
    for b in text {
        if b.is_ascii_alphanumeric() || UNRESERVED.contains(b) || (slash && *b == b'/') {
            out.push(*b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// Path with dots and doubled slashes removed, then encoded once more (all services but S3).
fn canonical_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            p => parts.push(p),
        }
    }
    let mut out = format!("/{}", parts.join("/"));
    if path.len() > 1 && path.ends_with('/') && out != "/" {
        out.push('/');
    }
    escape(out.as_bytes(), true)
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|s| !s.is_empty())
        .map(|pair| {
            let (k, v) = pair.split_once('=').unwrap_or((pair, ""));
            (
                escape(unescape(k, false).as_bytes(), false),
                escape(unescape(v, false).as_bytes(), false),
            )
        })
        .collect();
    pairs.sort();
    pairs
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>()
        .join("&")
}

fn canonical_header(headers: &[(String, String)], name: &str) -> Option<String> {
    let values: Vec<String> = headers
        .iter()
        .filter(|(k, _)| k == name)
        .map(|(_, v)| v.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The canonical request, or the name of a signed header that is not there.
pub fn canonical_request(r: &Request, signed: &[&str]) -> Result<String, String> {
    let mut out = format!(
        "{}\n{}\n{}\n",
        r.method,
        canonical_path(r.path),
        canonical_query(r.query)
    );
    for name in signed {
        let value = canonical_header(r.headers, name).ok_or_else(|| (*name).to_owned())?;
        out.push_str(&format!("{name}:{value}\n"));
    }
    out.push_str(&format!(
        "\n{}\n{}",
        signed.join(";"),
        hex::encode(Sha256::digest(r.body))
    ));
    Ok(out)
}

fn hmac(key: &[u8], data: &str) -> Vec<u8> {
    // An HMAC key may have any length, so this cannot fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(data.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The signature of a canonical request; `scope` is date/region/service/aws4_request.
pub fn sign(secret: &str, date: &str, scope: &str, canonical: &str) -> String {
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex::encode(Sha256::digest(canonical.as_bytes()))
    );
    let key = scope
        .split('/')
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part));
    hex::encode(hmac(&key, &text))
}

fn parse_date(date: &str) -> Option<Timestamp> {
    let t = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
    Some(t.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn short(t: Timestamp) -> String {
    t.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Verifies a request; the answer is whose it is.
pub fn verify<'c>(
    r: &Request,
    service: &str,
    region: &str,
    credentials: &'c [Credential],
    now: Timestamp,
    skew: std::time::Duration,
) -> Result<&'c Credential, Refusal> {
    let header = |name: &str| canonical_header(r.headers, name);
    let auth = header("authorization").ok_or(Refusal::Missing)?;
    let incomplete = |why: &str| Refusal::Incomplete(why.to_owned());
    let fields = auth
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or_else(|| incomplete("Authorization header must begin with 'AWS4-HMAC-SHA256'."))?;
    let field = |name: &str| {
        let found = fields
            .split(',')
            .find_map(|f| f.trim().strip_prefix(name)?.strip_prefix('='));
        found.ok_or_else(|| Refusal::Incomplete(format!("Authorization header requires '{name}' parameter.")))
    };
    let (credential, signed, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    let (access_key, scope) = credential
        .split_once('/')
        .filter(|(_, scope)| scope.split('/').count() == 4)
        .ok_or_else(|| incomplete("Credential must have exactly 5 slash-delimited elements."))?;
    let date = header("x-amz-date").ok_or_else(|| {
        incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    })?;
    let when = parse_date(&date).ok_or_else(|| incomplete("Date must be in ISO-8601 'basic format'."))?;
    let signed: Vec<&str> = signed.split(';').collect();
    if !signed.is_sorted() {
        return Err(incomplete("SignedHeaders must be sorted."));
    }
    let must = r
        .headers
        .iter()
        .map(|(k, _)| k.as_str())
        .filter(|k| k.starts_with("x-amz-"))
        .chain(["host"]);
    for name in must {
        if !signed.contains(&name) {
            return Err(Refusal::Incomplete(format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization."
            )));
        }
    }
    let owner = credentials
        .iter()
        .find(|c| c.access_key == access_key)
        .ok_or(Refusal::UnknownKey)?;
    if owner.session_token != header("x-amz-security-token") {
        return Err(Refusal::UnknownKey);
    }
    let day = date.get(..8).unwrap_or_default();
    let scope_parts: Vec<&str> = scope.split('/').collect();
    match scope_parts.as_slice() {
        [d, ..] if *d != day => {
            return Err(Refusal::Scope(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{d}' != '{day}', from '{date}'."
            )));
        }
        [_, r, ..] if *r != region => {
            return Err(Refusal::Scope(format!(
                "Credential should be scoped to a valid region, not '{r}'. "
            )));
        }
        [_, _, s, _] if *s != service => {
            return Err(Refusal::Scope(format!(
                "Credential should be scoped to correct service: '{service}'. "
            )));
        }
        [_, _, _, "aws4_request"] => {}
        _ => {
            return Err(Refusal::Scope(
                "Credential should be scoped with a valid terminator: 'aws4_request'.".to_owned(),
            ));
        }
    }
    let canonical = canonical_request(r, &signed)
        .map_err(|name| Refusal::Incomplete(format!("The signed header '{name}' is not in the request.")))?;
    let wanted = sign(&owner.secret_key, &date, scope, &canonical);
    if !bool::from(wanted.as_bytes().ct_eq(signature.as_bytes())) {
        return Err(Refusal::Mismatch);
    }
    if header("x-amz-content-sha256").is_some_and(|h| h != hex::encode(Sha256::digest(r.body))) {
        return Err(Refusal::Mismatch);
    }
    let limit = i64::try_from(skew.as_secs()).unwrap_or(i64::MAX);
    let age = now.as_second() - when.as_second();
    if age > limit {
        let earliest = short(now - jiff::SignedDuration::from_secs(limit));
        return Err(Refusal::Old(format!(
            "Signature expired: {date} is now earlier than {earliest} ({} - {} min.)",
            short(now),
            limit / 60
        )));
    }
    if -age > limit {
        let latest = short(now + jiff::SignedDuration::from_secs(limit));
        return Err(Refusal::Early(format!(
            "Signature not yet current: {date} is still later than {latest} ({} + {} min.)",
            short(now),
            limit / 60
        )));
    }
    if owner.expires.is_some_and(|e| e <= now) {
        return Err(Refusal::Expired);
    }
    Ok(owner)
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
const NOT_VALIDATED: &str = "AWS was not able to validate the provided access credentials";

impl Refusal {
    /// The error as this service says it.
    pub fn error(self, service: Service) -> ApiError {
        match service {
            Service::Ec2 => match self {
                Self::Missing => ApiError::bad(
                    "MissingParameter",
                    "The request must contain the parameter AWSAccessKeyId",
                ),
                Self::Old(_) | Self::Expired => ApiError::bad("RequestExpired", "Request has expired."),
                Self::Scope(why) => ApiError::new(401, "AuthFailure", why.trim_end()),
                Self::Incomplete(why) => ApiError::new(400, "IncompleteSignature", why),
                Self::UnknownKey | Self::Early(_) | Self::Mismatch => ApiError::new(401, "AuthFailure", NOT_VALIDATED),
            },
            Service::Elb | Service::Sts | Service::Iam => match self {
                Self::Missing => ApiError::new(
                    403,
                    "MissingAuthenticationToken",
                    "Request is missing Authentication Token",
                ),
                Self::UnknownKey => ApiError::new(
                    403,
                    "InvalidClientTokenId",
                    "The security token included in the request is invalid.",
                ),
                Self::Expired => ApiError::new(
                    403,
                    "ExpiredToken",
                    "The security token included in the request is expired",
                ),
                Self::Incomplete(why) => ApiError::new(400, "IncompleteSignature", why),
                Self::Scope(why) | Self::Old(why) | Self::Early(why) => {
                    ApiError::new(403, "SignatureDoesNotMatch", why)
                }
                Self::Mismatch => ApiError::new(403, "SignatureDoesNotMatch", MISMATCH),
            },
            Service::Ssm | Service::Quotas => match self {
                Self::Missing => ApiError::bad("MissingAuthenticationTokenException", "Missing Authentication Token"),
                Self::UnknownKey => ApiError::bad(
                    "UnrecognizedClientException",
                    "The security token included in the request is invalid.",
                ),
                Self::Expired => ApiError::bad(
                    "ExpiredTokenException",
                    "The security token included in the request is expired",
                ),
                Self::Incomplete(why) => ApiError::bad("IncompleteSignatureException", why),
                Self::Scope(why) | Self::Old(why) | Self::Early(why) => ApiError::bad("InvalidSignatureException", why),
                Self::Mismatch => ApiError::bad("InvalidSignatureException", MISMATCH),
            },
        }
    }
}

#[cfg(test)]
#[path = "sigv4_tests.rs"]
mod tests;
