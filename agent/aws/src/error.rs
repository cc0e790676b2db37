use serde::Deserialize;
use skykeep_core::Explain;

use crate::remedy;

/// What can go wrong between us and AWS.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AwsError {
    /// AWS answered, and the answer is no.
    #[error("{action}: {code} ({status}): {message}")]
    Refused {
        /// What was asked, for example `RunInstances`.
        action: String,
        /// HTTP status.
        status: u16,
        /// AWS's error code, for example `UnauthorizedOperation`.
        code: String,
        /// AWS's own words.
        message: String,
        /// By which AWS support finds the request again; may be empty.
        request_id: String,
    },
    /// No whole answer came.
    #[error("{action}: no answer from {host}: {why}")]
    NoAnswer {
        /// What was asked.
        action: String,
        /// The host that was asked.
        host: String,
        /// The chain of causes.
        why: String,
    },
    /// An answer came that does not have the documented shape.
    #[error("{action}: unreadable answer: {why}")]
    Unreadable {
        /// What was asked.
        action: String,
        /// What was wrong with it.
        why: String,
    },
    /// The request could not be signed.
    #[error("not signed: {why}")]
    Unsigned {
        /// Why not.
        why: String,
    },
}

impl AwsError {
    /// AWS's error code, when AWS answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            AwsError::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether AWS answered with exactly this code.
    pub fn is(&self, code: &str) -> bool {
        self.code() == Some(code)
    }

    /// Whether AWS says that a named thing does not exist (yet, or any more): `InvalidVpcID.NotFound`, `TargetGroupNotFound`...
    pub fn is_not_found(&self) -> bool {
        self.code()
            .is_some_and(|c| c.ends_with("NotFound") || c.ends_with("NotFoundException") || c == "NoSuchKey")
    }

    /// Whether AWS asked us to slow down; the request was then certainly not carried out.
    pub fn is_throttled(&self) -> bool {
        self.code().is_some_and(remedy::is_throttle)
    }

    /// Reads the error envelope of any of the services (EC2's, the one of ELB and STS, S3's, JSON).
    pub(crate) fn from_answer(action: &str, status: u16, body: &str) -> Self {
        if let Ok(json) = serde_json::from_str::<JsonEnvelope>(body) {
            return AwsError::Refused {
                action: action.to_owned(),
                status,
                // It may come as `com.amazonaws...#Code`.
                code: json.kind.rsplit('#').next().unwrap_or_default().to_owned(),
                message: json.message.unwrap_or_else(|| "(no text)".to_owned()),
                request_id: String::new(),
            };
        }
        let envelope: Envelope = quick_xml::de::from_str(body).unwrap_or_default();
        let request_id = envelope.request_id.or(envelope.request_id_capital).unwrap_or_default();
        let inner = envelope
            .error
            .or(envelope.errors.and_then(|e| e.error.into_iter().next()));
        let (code, message) = match inner {
            Some(one) => (one.code, one.message),
            None => (envelope.code, envelope.message),
        };
        AwsError::Refused {
            action: action.to_owned(),
            status,
            code: code.unwrap_or_else(|| status_code(status).to_owned()),
            message: message.unwrap_or_else(|| "(no text)".to_owned()),
            request_id,
        }
    }

    pub(crate) fn no_answer(action: &str, host: &str, error: &reqwest::Error) -> Self {
        AwsError::NoAnswer {
            action: action.to_owned(),
            host: host.to_owned(),
            // The URL may be presigned: it stays out of the text.
            why: skykeep_core::explain::chain(error).replace(error.url().map_or("\u{0}", url::Url::as_str), "(url)"),
        }
    }
}

/// HEAD has no body, and proxies have bodies of their own: then the status is all we know.
fn status_code(status: u16) -> &'static str {
    match status {
        403 => "AccessDenied",
        404 => "NotFound",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "Unknown",
    }
}

#[derive(Deserialize)]
struct JsonEnvelope {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: Option<String>,
}

#[derive(Default, Deserialize)]
struct Envelope {
    #[serde(rename = "Errors")]
    errors: Option<Errors>,
    #[serde(rename = "Error")]
    error: Option<One>,
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
    #[serde(rename = "RequestId")]
    request_id: Option<String>,
    #[serde(rename = "RequestID")]
    request_id_capital: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(rename = "Error", default)]
    error: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
}

impl Explain for AwsError {
    fn what(&self) -> String {
        match self {
            AwsError::Refused { action, .. } => format!("AWS refused {action}"),
            AwsError::NoAnswer { action, host, .. } => format!("{host} did not answer {action}"),
            AwsError::Unreadable { action, .. } => format!("The answer to {action} can't be read"),
            AwsError::Unsigned { .. } => "A request to AWS can't be signed".into(),
        }
    }

    fn why(&self) -> String {
        match self {
            AwsError::Refused {
                status,
                code,
                message,
                request_id,
                ..
            } => {
                let known = remedy::of(code).map(|r| format!("{}; ", r.why)).unwrap_or_default();
                let request = if request_id.is_empty() {
                    String::new()
                } else {
                    format!(", request {request_id}")
                };
                format!("{known}AWS says {code} ({status}{request}): {message}")
            }
            AwsError::NoAnswer { why, .. } | AwsError::Unreadable { why, .. } | AwsError::Unsigned { why } => {
                why.clone()
            }
        }
    }

    fn remedy(&self) -> String {
        match self {
            AwsError::Refused { code, status, .. } => match remedy::of(code) {
                Some(known) => known.remedy.to_owned(),
                None if *status >= 500 => "AWS has trouble of its own: try again in some minutes, look at its status page.".into(),
                None => "Look the code up in the EC2 or ELB API reference; mend what it names and start again: what stands is adopted.".into(),
            },
            AwsError::NoAnswer { .. } => {
                "Check that this machine reaches the internet and that the region's name is right, then start again.".into()
            }
            AwsError::Unreadable { .. } => {
                "Something between us and AWS may rewrite answers (a proxy, a captive portal); try another network.".into()
            }
            AwsError::Unsigned { .. } => "Check the access key in the vault or in Infisical: it must be plain text.".into(),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            AwsError::Refused { code, status, .. } => {
                remedy::is_throttle(code) || remedy::of(code).map_or(*status >= 500, |known| known.transient)
            }
            AwsError::NoAnswer { .. } => true,
            AwsError::Unreadable { .. } | AwsError::Unsigned { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(error: AwsError) -> (String, String, String) {
        match error {
            AwsError::Refused {
                code,
                message,
                request_id,
                ..
            } => (code, message, request_id),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_error_of_ec2_is_read() {
        let body = r#"<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not &amp; authorized.</Message></Error></Errors><RequestID>ea966190-f9aa</RequestID></Response>"#;
        let error = AwsError::from_answer("RunInstances", 403, body);
        assert!(!error.is_transient());
        assert_eq!(
            parts(error),
            (
                "UnauthorizedOperation".into(),
                "You are not & authorized.".into(),
                "ea966190-f9aa".into()
            )
        );
    }

    #[test]
    fn the_error_of_elb_and_sts_is_read() {
        let body = r#"<ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>f9880f01</RequestId></ErrorResponse>"#;
        let error = AwsError::from_answer("CreateLoadBalancer", 400, body);
        assert!(error.is_transient() && error.is_throttled());
        assert_eq!(
            parts(error),
            ("Throttling".into(), "Rate exceeded".into(), "f9880f01".into())
        );
    }

    #[test]
    fn the_error_of_s3_is_read() {
        let body = r#"<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>gone</Message><Key>a</Key><RequestId>4442587FB7D0A2F9</RequestId></Error>"#;
        let error = AwsError::from_answer("GetObject", 404, body);
        assert!(error.is_not_found());
        assert_eq!(
            parts(error),
            ("NoSuchKey".into(), "gone".into(), "4442587FB7D0A2F9".into())
        );
    }

    #[test]
    fn the_error_of_the_json_services_is_read() {
        let body = r#"{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"none"}"#;
        let error = AwsError::from_answer("GetParameter", 400, body);
        assert!(error.is_not_found());
        assert_eq!(parts(error), ("ParameterNotFound".into(), "none".into(), String::new()));
    }

    #[test]
    fn a_page_of_a_proxy_is_still_an_error_with_its_status() {
        let error = AwsError::from_answer("DescribeVpcs", 503, "<html><body>busy</html>");
        assert!(error.is_transient());
        assert_eq!(error.code(), Some("ServiceUnavailable"));
    }
}
