use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, Method, header};
use url::Url;

use crate::{
    AwsError, Credentials,
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
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Ec2 => "ec2",
            Service::Elb => "elasticloadbalancing",
            Service::Sts => "sts",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Service::Ec2 => "2016-11-15",
            Service::Elb => "2015-12-01",
            Service::Sts => "2011-06-15",
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
}

impl Query {
    /// A client of a region's public endpoints.
    pub fn new(http: reqwest::Client, credentials: Arc<Credentials>, region: impl Into<String>) -> Self {
        Query {
            http,
            credentials,
            region: region.into(),
            relay: None,
        }
    }

    /// The same, but all requests go to this one address, under the services' own names (a relay, or a double of AWS).
    #[must_use]
    pub fn through(mut self, relay: Option<Url>) -> Self {
        self.relay = relay;
        self
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Calls an action that changes something. Only "slow down" is repeated by itself: that request surely did nothing.
    pub async fn call(&self, service: Service, action: &str, params: &Params) -> Result<String, AwsError> {
        self.repeat(service, action, params, AwsError::is_throttled).await
    }

    /// Calls an action that only reads, or that may safely be done twice: every passing trouble is repeated a few times.
    pub async fn ask(&self, service: Service, action: &str, params: &Params) -> Result<String, AwsError> {
        self.repeat(service, action, params, |e| {
            e.is_throttled()
                || matches!(e, AwsError::NoAnswer { .. })
                || matches!(e, AwsError::Refused { status, .. } if *status >= 500)
        })
        .await
    }

    async fn repeat(
        &self,
        service: Service,
        action: &str,
        params: &Params,
        again: impl Fn(&AwsError) -> bool,
    ) -> Result<String, AwsError> {
        let mut pause = Duration::from_millis(300);
        let mut tries = 1;
        loop {
            match self.once(service, action, params).await {
                Err(e) if tries < 6 && again(&e) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn once(&self, service: Service, action: &str, params: &Params) -> Result<String, AwsError> {
        let host = format!("{}.{}.amazonaws.com", service.name(), self.region);
        let unsigned = |e: &dyn std::fmt::Display| AwsError::Unsigned {
            why: format!("the region `{}` gives no host name: {e}", self.region),
        };
        let url = match &self.relay {
            Some(url) => url.clone(),
            None => Url::parse(&format!("https://{host}/")).map_err(|e| unsigned(&e))?,
        };
        let body = params.body(service, action);
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"),
        );
        headers.insert(header::HOST, HeaderValue::from_str(&host).map_err(|e| unsigned(&e))?);
        let scope = Scope {
            credentials: &self.credentials,
            region: &self.region,
            service: service.name(),
            at: SystemTime::now(),
        };
        sign::headers(&scope, &Method::POST, &url, &mut headers, body.as_bytes())?;
        let answer = self
            .http
            .post(url)
            .headers(headers)
            .body(body)
            .send()
            .await
            .map_err(|e| AwsError::no_answer(action, &host, &e))?;
        let status = answer.status();
        let text = answer
            .text()
            .await
            .map_err(|e| AwsError::no_answer(action, &host, &e))?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(AwsError::from_answer(action, status.as_u16(), &text))
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
