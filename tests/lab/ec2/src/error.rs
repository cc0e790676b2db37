//! What goes wrong, with the code, sentence and HTTP status that AWS uses, and the envelope of each service.

use crate::xml;

/// The services this double speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// EC2, query protocol, version 2016-11-15.
    Ec2,
    /// Elastic Load Balancing v2, query protocol, version 2015-12-01.
    Elb,
    /// Security Token Service, query protocol, version 2011-06-15.
    Sts,
    /// Identity and Access Management, query protocol, version 2010-05-08 (only access keys).
    Iam,
    /// Systems Manager, JSON 1.1 protocol (only GetParameter).
    Ssm,
    /// Service Quotas, JSON 1.1 protocol (only reading).
    Quotas,
}

impl Service {
    /// Whether it speaks JSON.
    pub fn json(self) -> bool {
        matches!(self, Self::Ssm | Self::Quotas)
    }

    /// What comes before the action in `X-Amz-Target`.
    pub fn target(self) -> &'static str {
        match self {
            Self::Ssm => "AmazonSSM.",
            Self::Quotas => "ServiceQuotasV20190624.",
            _ => "",
        }
    }

    /// The name in a credential's scope.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Elb => "elasticloadbalancing",
            Self::Sts => "sts",
            Self::Iam => "iam",
            Self::Ssm => "ssm",
            Self::Quotas => "servicequotas",
        }
    }

    /// The XML namespace of replies.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Ec2 => "http://ec2.amazonaws.com/doc/2016-11-15/",
            Self::Elb => "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Ssm | Self::Quotas => "",
        }
    }

    /// The version of the query protocol that this double speaks.
    pub fn version(self) -> &'static str {
        match self {
            Self::Ec2 => "2016-11-15",
            Self::Elb => "2015-12-01",
            Self::Sts => "2011-06-15",
            Self::Iam => "2010-05-08",
            Self::Ssm | Self::Quotas => "",
        }
    }
}

/// An error as AWS says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// AWS error code.
    pub code: String,
    /// AWS sentence.
    pub message: String,
}

/// Result of an action.
pub type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    /// Any status.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// The usual 400.
    pub fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// EC2's InvalidParameterValue.
    pub fn value(message: impl Into<String>) -> Self {
        Self::bad("InvalidParameterValue", message)
    }

    /// EC2's DependencyViolation.
    pub fn dependency(message: impl Into<String>) -> Self {
        Self::bad("DependencyViolation", message)
    }

    /// ELB's ValidationError.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::bad("ValidationError", message)
    }

    /// The body of the reply in the envelope of `service`.
    pub fn render(&self, service: Service, request_id: &str) -> String {
        let (code, message) = (xml::escape(&self.code), xml::escape(&self.message));
        let kind = if self.status >= 500 { "Receiver" } else { "Sender" };
        match service {
            Service::Ec2 => format!(
                "{}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>",
                xml::PROLOGUE
            ),
            Service::Elb | Service::Sts | Service::Iam => format!(
                "<ErrorResponse xmlns=\"{}\"><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
                service.namespace()
            ),
            Service::Ssm | Service::Quotas => {
                serde_json::json!({"__type": self.code, "message": self.message}).to_string()
            }
        }
    }
}
