use std::{future::Future, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use skykeep_core::Explain;
use url::Url;

use crate::{
    AwsError, Credentials, region,
    role::Role,
    sign::{self, Scope, encode},
};

/// A service that speaks the query protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Networks and instances.
    Ec2,
    /// Load balancers (version 2).
    Elb,
    /// Who am I.
    Sts,
    /// Users and their keys; one for all regions of a partition.
    Iam,
    /// Parameters; JSON.
    Ssm,
    /// What the account may have; JSON.
    Quotas,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Ec2 => "ec2",
            Service::Elb => "elasticloadbalancing",
            Service::Sts => "sts",
            Service::Iam => "iam",
            Service::Ssm => "ssm",
            Service::Quotas => "servicequotas",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Service::Ec2 => "2016-11-15",
            Service::Elb => "2015-12-01",
            Service::Sts => "2011-06-15",
            Service::Iam => "2010-05-08",
            // Of the JSON services, what their actions' names begin with.
            Service::Ssm => "AmazonSSM",
            Service::Quotas => "ServiceQuotasV20190624",
        }
    }
}

/// The parameters of a call, in the flat form of the query protocol (`Filter.1.Name`).
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// None yet.
    pub fn new() -> Self {
        Params::default()
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.push(name, value);
        self
    }

    /// Adds one.
    pub fn push(&mut self, name: impl Into<String>, value: impl ToString) {
        self.0.push((name.into(), value.to_string()));
    }

    /// Adds a list: `name.1`, `name.2`...
    #[must_use]
    pub fn list<V: ToString>(mut self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        for (i, value) in values.into_iter().enumerate() {
            self.push(format!("{name}.{}", i + 1), value);
        }
        self
    }

    fn body(&self, service: Service, action: &str) -> String {
        let mut body = format!("Action={}&Version={}", encode(action, false), service.version());
        for (name, value) in &self.0 {
            body.push('&');
            body.push_str(&encode(name, false));
            body.push('=');
            body.push_str(&encode(value, false));
        }
        body
    }
}

/// A client of the query protocol in one region. Cheap to clone.
#[derive(Clone)]
pub struct Query {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    region: String,
    relay: Option<Url>,
    role: Option<Arc<Role>>,
}

impl Query {
    /// A client of a region's public endpoints.
    pub fn new(http: reqwest::Client, credentials: Arc<Credentials>, region: impl Into<String>) -> Self {
        Query {
            http,
            credentials,
            region: region.into(),
            relay: None,
            role: None,
        }
    }

    /// The same, but all requests go to this one address, under the services' own names (a relay, or a double of AWS).
    #[must_use]
    pub fn through(mut self, relay: Option<Url>) -> Self {
        self.relay = relay;
        self
    }

    /// The same, as a role: with our own credentials it asks STS for the role's, and again before they end. `session` shows in
    /// the account's audit log.
    #[must_use]
    pub fn assuming(mut self, role: Option<String>, session: &str) -> Self {
        self.role = role.map(|arn| Arc::new(Role::new(arn, session.to_owned())));
        self
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Calls an action that changes something. Only "slow down" is repeated by itself: that request surely did nothing.
    pub async fn call(&self, service: Service, action: &str, params: &Params) -> Result<String, AwsError> {
        again(AwsError::is_throttled, || self.once(service, action, params)).await
    }

    /// Calls an action that only reads, or that may safely be done twice: every passing trouble is repeated a few times.
    pub async fn ask(&self, service: Service, action: &str, params: &Params) -> Result<String, AwsError> {
        again(passing, || self.once(service, action, params)).await
    }

    async fn once(&self, service: Service, action: &str, params: &Params) -> Result<String, AwsError> {
        let request = Request {
            service,
            action,
            kind: "application/x-www-form-urlencoded; charset=utf-8",
            target: None,
            body: params.body(service, action),
        };
        self.deliver(&request).await
    }

    /// Calls an action of a service that speaks JSON. Only for actions that read: passing trouble is repeated.
    pub async fn json(
        &self,
        service: Service,
        action: &str,
        input: &serde_json::Value,
    ) -> Result<serde_json::Value, AwsError> {
        let request = Request {
            service,
            action,
            kind: "application/x-amz-json-1.1",
            target: Some(format!("{}.{action}", service.version())),
            body: input.to_string(),
        };
        let text = again(passing, || self.deliver(&request)).await?;
        serde_json::from_str(&text).map_err(|e| AwsError::Unreadable {
            action: action.to_owned(),
            why: e.to_string(),
        })
    }

    /// Sends a request; once more when it was refused because of our clock or of a role's credentials that ended early: a
    /// refused request was not carried out.
    async fn deliver(&self, request: &Request<'_>) -> Result<String, AwsError> {
        let credentials = self.credentials().await?;
        let (status, headers, text) = self.send(request, &credentials).await?;
        if status.is_success() {
            return Ok(text);
        }
        let refusal = AwsError::from_answer(request.action, status.as_u16(), &text);
        let ended = matches!(
            refusal.code(),
            Some("ExpiredToken" | "ExpiredTokenException" | "RequestExpired")
        );
        let mut once_more = credentials.clock.learns(status, &headers);
        if let Some(role) = self.role.as_ref().filter(|_| ended && !once_more) {
            role.forget().await;
            once_more = true;
        }
        if !once_more {
            return Err(refusal);
        }
        let credentials = self.credentials().await?;
        let (status, _, text) = self.send(request, &credentials).await?;
        match status.is_success() {
            true => Ok(text),
            false => Err(AwsError::from_answer(request.action, status.as_u16(), &text)),
        }
    }

    /// Our own credentials, or the role's.
    async fn credentials(&self) -> Result<Arc<Credentials>, AwsError> {
        let Some(role) = &self.role else {
            return Ok(self.credentials.clone());
        };
        let own = Query {
            role: None,
            ..self.clone()
        };
        role.credentials(&own).await
    }

    async fn send(
        &self,
        request: &Request<'_>,
        credentials: &Credentials,
    ) -> Result<(StatusCode, HeaderMap, String), AwsError> {
        let (service, action) = (request.service, request.action);
        let host = region::host(service.name(), &self.region);
        let unsigned = |e: &dyn std::fmt::Display| AwsError::Unsigned {
            why: format!("the region `{}` gives no host name: {e}", self.region),
        };
        let url = match &self.relay {
            Some(url) => url.clone(),
            None => Url::parse(&format!("https://{host}/")).map_err(|e| unsigned(&e))?,
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(request.kind));
        headers.insert(header::HOST, HeaderValue::from_str(&host).map_err(|e| unsigned(&e))?);
        if let Some(target) = &request.target {
            headers.insert("x-amz-target", HeaderValue::from_str(target).map_err(|e| unsigned(&e))?);
        }
        let scope = Scope {
            credentials,
            region: &self.region,
            service: service.name(),
            at: credentials.clock.now(),
        };
        sign::headers(&scope, &Method::POST, &url, &mut headers, request.body.as_bytes())?;
        let answer = self
            .http
            .post(url)
            .headers(headers)
            .body(request.body.clone())
            .send()
            .await
            .map_err(|e| AwsError::no_answer(action, &host, &e))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer
            .text()
            .await
            .map_err(|e| AwsError::no_answer(action, &host, &e))?;
        Ok((status, headers, text))
    }
}

/// One request, before it is signed.
struct Request<'a> {
    service: Service,
    action: &'a str,
    kind: &'static str,
    target: Option<String>,
    body: String,
}

/// Trouble that passes by itself, in seconds. (A zone without machines says 500 too, and does not pass.)
fn passing(e: &AwsError) -> bool {
    e.is_throttled()
        || matches!(e, AwsError::NoAnswer { .. })
        || matches!(e, AwsError::Refused { status, .. } if *status >= 500 && e.is_transient())
}

/// Up to six times, with growing pauses, while the trouble is of this kind.
async fn again<T, F: Future<Output = Result<T, AwsError>>>(
    kind: impl Fn(&AwsError) -> bool,
    send: impl Fn() -> F,
) -> Result<T, AwsError> {
    let mut pause = Duration::from_millis(300);
    let mut tries = 1;
    loop {
        match send().await {
            Err(e) if tries < 6 && kind(&e) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
                tries += 1;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_a_form_with_action_and_version_first() {
        let params = Params::new().with("VpcId", "vpc-1").list("SubnetId", ["a/b", "c d"]);
        assert_eq!(
            params.body(Service::Ec2, "DescribeSubnets"),
            "Action=DescribeSubnets&Version=2016-11-15&VpcId=vpc-1&SubnetId.1=a%2Fb&SubnetId.2=c%20d"
        );
    }
}
