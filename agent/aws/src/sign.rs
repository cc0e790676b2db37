//! Signature Version 4 by the official signer.

use std::time::{Duration, SystemTime};

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
        UriPathNormalizationMode,
    },
    sign::v4,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::{AwsError, Credentials};

/// For whom and for when a request is signed.
pub(crate) struct Scope<'a> {
    pub credentials: &'a Credentials,
    pub region: &'a str,
    pub service: &'a str,
    pub at: SystemTime,
}

/// Adds the headers that authorize the request to `headers`; all headers that are there already get signed.
pub(crate) fn headers(
    scope: &Scope<'_>,
    method: &Method,
    url: &Url,
    headers: &mut HeaderMap,
    body: &[u8],
) -> Result<(), AwsError> {
    let given: Vec<(&str, &str)> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let mut settings = settings(scope.service);
    settings.signature_location = SignatureLocation::Headers;
    let output = run(scope, settings, method, url, given, SignableBody::Bytes(body))?;
    let (added, _) = output.into_parts();
    for header in added {
        let name = HeaderName::from_bytes(header.name().as_bytes()).map_err(fault)?;
        let mut value = HeaderValue::from_str(header.value()).map_err(fault)?;
        value.set_sensitive(header.sensitive());
        headers.insert(name, value);
    }
    Ok(())
}

/// The URL with the signature in its query, good for `expires` from the scope's time on. Same inputs, same URL.
pub(crate) fn presigned(
    scope: &Scope<'_>,
    method: &Method,
    mut url: Url,
    expires: Duration,
) -> Result<String, AwsError> {
    let mut settings = settings(scope.service);
    settings.signature_location = SignatureLocation::QueryParams;
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    settings.expires_in = Some(expires);
    let output = run(scope, settings, method, &url, Vec::new(), SignableBody::UnsignedPayload)?;
    let (_, added) = output.into_parts();
    let mut query = url.query().map(str::to_owned).unwrap_or_default();
    for (name, value) in added {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        query.push_str(&encode(&value, false));
    }
    url.set_query(Some(&query));
    Ok(url.into())
}

fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        // S3 signs the path as it is sent and wants the body's hash in a header.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}

fn run(
    scope: &Scope<'_>,
    settings: SigningSettings,
    method: &Method,
    url: &Url,
    headers: Vec<(&str, &str)>,
    body: SignableBody<'_>,
) -> Result<aws_sigv4::http_request::SigningInstructions, AwsError> {
    let text = |secret: &skykeep_core::Secret| {
        secret
            .expose_str()
            .map(str::to_owned)
            .ok_or_else(|| fault("the secret key is not text"))
    };
    let token = scope.credentials.session_token.as_ref().map(text).transpose()?;
    let identity = aws_credential_types::Credentials::new(
        scope.credentials.access_key_id.clone(),
        text(&scope.credentials.secret)?,
        token,
        None,
        "skykeep",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(scope.at)
        .settings(settings)
        .build()
        .map_err(fault)?
        .into();
    let request = SignableRequest::new(method.as_str(), url.as_str(), headers.into_iter(), body).map_err(fault)?;
    let (instructions, _) = aws_sigv4::http_request::sign(request, &params)
        .map_err(fault)?
        .into_parts();
    Ok(instructions)
}

fn fault(why: impl std::fmt::Display) -> AwsError {
    AwsError::Unsigned { why: why.to_string() }
}

/// Percent-encodes everything but unreserved characters, as AWS asks (and `/` when it separates segments of a key).
pub(crate) fn encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b'/' if keep_slash => out.push('/'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use skykeep_core::Secret;

    #[test]
    fn the_presigned_url_of_amazons_manual_comes_out() {
        let credentials = Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            Secret::from_string("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
        );
        let scope = Scope {
            credentials: &credentials,
            region: "us-east-1",
            service: "s3",
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600),
        };
        let url = Url::parse("https://examplebucket.s3.amazonaws.com/test.txt").unwrap();
        let signed = presigned(&scope, &Method::GET, url, Duration::from_secs(86_400)).unwrap();
        assert_eq!(
            signed,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn a_key_keeps_its_slashes_and_nothing_else_special() {
        assert_eq!(encode("a b/c+d~é", true), "a%20b/c%2Bd~%C3%A9");
        assert_eq!(encode("a/b", false), "a%2Fb");
    }
}
