//! The HTTP face: which service by Host, whose request by signature, what by Action.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as AxumState};
use axum::http::{Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::json;

use crate::cloud::Cloud;
use crate::config::Credential;
use crate::ctx::{Ctx, uuid};
use crate::error::{ApiError, Result, Service};
use crate::faults::Fault;
use crate::log::{Call, summary};
use crate::params::{Form, decode};
use crate::state::State;
use crate::{ec2, elb, iam, quotas, sigv4, ssm, sts, xml};

const LARGEST: usize = 1 << 20;

impl Cloud {
    /// The service, for any HTTP server. The Host header decides which of AWS's services answers.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    fn service_of(&self, host: &str) -> Option<Service> {
        let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let region = &self.cfg.region;
        if host == "iam.amazonaws.com" {
            return Some(Service::Iam);
        }
        [Service::Ec2, Service::Elb, Service::Sts, Service::Ssm, Service::Quotas]
            .into_iter()
            .find(|s| host == format!("{}.{region}.amazonaws.com", s.scope()))
    }
}

struct Asked {
    service: Service,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    fn form(&self) -> Form {
        let mut pairs = decode(&self.query);
        if !self.service.json() {
            pairs.extend(decode(&String::from_utf8_lossy(&self.body)));
        }
        Form::new(self.service, pairs)
    }
}

async fn answer(AxumState(cloud): AxumState<Arc<Cloud>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let text = |v: &axum::http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let headers: Vec<(String, String)> = parts.headers.iter().map(|(k, v)| (k.to_string(), text(v))).collect();
    let host = headers
        .iter()
        .find(|(k, _)| k == "host")
        .map(|(_, v)| v.clone())
        .unwrap_or_default();
    let Some(service) = cloud.service_of(&host) else {
        return plain(
            StatusCode::NOT_FOUND,
            format!("no service has the name {host:?} in this cloud\n"),
        );
    };
    let Ok(body) = to_bytes(body, LARGEST).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n".to_owned());
    };
    let asked = Asked {
        service,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers,
        body: body.to_vec(),
    };
    // Actions call a backend that blocks.
    match tokio::task::spawn_blocking(move || cloud.handle(&asked)).await {
        Ok((response, pause)) => {
            tokio::time::sleep(pause).await;
            response
        }
        Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("the double broke: {why}\n")),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut r = Response::new(Body::from(text));
    *r.status_mut() = status;
    r
}

/// A reply whose connection breaks before its first byte.
fn broken() -> Response<Body> {
    let error = std::io::Error::other("connection lost by the fault script");
    Response::new(Body::from_stream(futures::stream::once(async {
        Err::<Vec<u8>, _>(error)
    })))
}

impl Cloud {
    fn handle(&self, asked: &Asked) -> (Response<Body>, Duration) {
        let began = Instant::now();
        let at = Timestamp::now() + jiff::SignedDuration::try_from(self.cfg.clock_ahead).unwrap_or_default();
        let (service, form, id) = (asked.service, asked.form(), uuid());
        let action = match service {
            Service::Ssm | Service::Quotas => {
                let target = asked.header("x-amz-target").unwrap_or_default();
                target.trim_start_matches(service.target()).to_owned()
            }
            _ => form.map().get("Action").cloned().unwrap_or_default(),
        };
        if let Some(file) = &self.cfg.record {
            let body = service
                .json()
                .then(|| String::from_utf8_lossy(&asked.body).into_owned());
            let kept = record(
                file,
                &json!({"service": service.scope(), "action": action, "form": form.map(), "body": body}),
            );
            self.note("the record", kept.map_err(|e| e.to_string()));
        }
        // A trial run does not use up the trouble that is meant for the deed.
        let fault = match form.map().get("DryRun").is_some_and(|d| d == "true") {
            true => self.faults().take(&format!("DryRun:{action}")),
            false => self.faults().take(&action),
        };
        let result = match fault {
            Some(Fault::LostRequest) => None,
            _ => Some(self.run(asked, &form, &action, fault, at)),
        };
        let said = match (&result, fault) {
            (_, Some(Fault::LostRequest)) => "lost request".to_owned(),
            (Some(Err(e)), _) => e.code.clone(),
            (_, Some(Fault::LostReply)) => "lost reply".to_owned(),
            _ => "ok".to_owned(),
        };
        let credential = asked
            .header("authorization")
            .and_then(|a| a.split("Credential=").nth(1));
        self.log.call(Call {
            at,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            service: service.scope().to_owned(),
            action: action.clone(),
            params: match service.json() {
                true => [("body".to_owned(), String::from_utf8_lossy(&asked.body).into_owned())].into(),
                false => summary(form.map()),
            },
            result: said,
            access_key: credential.and_then(|c| c.split('/').next()).map(ToOwned::to_owned),
        });
        let pause = match fault {
            Some(Fault::Slow(time)) => time,
            _ => self.cfg.delays.of_call(&action, &id),
        };
        let lost = matches!(fault, Some(Fault::LostRequest | Fault::LostReply));
        let mut response = match result.filter(|_| !lost) {
            None => broken(),
            Some(Ok(body)) => reply(service, 200, wrap(service, &action, &body, &id), &id),
            Some(Err(e)) => reply(service, e.status, e.render(service, &id), &id),
        };
        let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(date) = header::HeaderValue::from_str(&date) {
            response.headers_mut().insert(header::DATE, date);
        }
        (response, pause)
    }

    fn run(&self, asked: &Asked, form: &Form, action: &str, fault: Option<Fault>, now: Timestamp) -> Result<String> {
        let service = asked.service;
        let signed = sigv4::Request {
            method: &asked.method,
            path: &asked.path,
            query: &asked.query,
            headers: &asked.headers,
            body: &asked.body,
        };
        let known = self.credentials();
        // There is one IAM for all regions, and it has its own.
        let region = if service == Service::Iam {
            "us-east-1"
        } else {
            &self.cfg.region
        };
        let who = sigv4::verify(&signed, service.scope(), region, &known, now, self.cfg.skew)
            .map_err(|refusal| refusal.error(service))?;
        let kind = form.map().get("InstanceType").map_or("", String::as_str);
        if let Some(error) = fault.and_then(|f| f.error(service, &self.cfg.zones[0], kind)) {
            return Err(error);
        }
        if service.json() {
            permitted(service, who, action, &self.cfg.region)?;
            return match service {
                Service::Quotas => quotas::call(&self.cfg, action, &asked.body),
                _ => ssm::call(&self.cfg, action, &asked.body, now),
            }
            .map(|v| v.to_string());
        }
        let p = form.params();
        p.opt("Action");
        if action.is_empty() {
            return Err(match service {
                Service::Ec2 => ApiError::bad("MissingAction", "The request must contain the parameter Action"),
                _ => ApiError::bad(
                    "MissingAction",
                    "The request is missing an action or a required parameter",
                ),
            });
        }
        let version = p.opt("Version").unwrap_or_default();
        if version != service.version() {
            return Err(match service {
                Service::Ec2 => ApiError::bad(
                    "InvalidAction",
                    format!("The action {action} is not valid for this web service (version '{version}')."),
                ),
                _ => ApiError::bad(
                    "InvalidAction",
                    format!("Could not find operation {action} for version {version}"),
                ),
            });
        }
        permitted(service, who, action, &self.cfg.region)?;
        let dry = service == Service::Ec2 && p.flag("DryRun")?.unwrap_or(false);
        let ctx = Ctx {
            cfg: &self.cfg,
            st: State::default(),
            p,
            now,
            who,
            backend: self.backend.as_ref(),
            effects: Vec::new(),
            window: self.faults().window().max(self.cfg.delays.invisible),
            full: self.faults().without_capacity(),
        };
        self.act(ctx, dry, |ctx| match service {
            Service::Ec2 => ec2::call(ctx, action),
            Service::Elb => elb::call(ctx, action),
            Service::Iam => iam::call(ctx, action),
            _ => sts::call(ctx, action),
        })
    }
}

/// One write per line, so that several doubles can share a file.
fn record(file: &std::path::Path, request: &serde_json::Value) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{request}\n").as_bytes())
}

fn permitted(service: Service, who: &Credential, action: &str, region: &str) -> Result<()> {
    if !who.forbids(action) {
        return Ok(());
    }
    Err(match service {
        Service::Ec2 => ApiError::new(
            403,
            "UnauthorizedOperation",
            "You are not authorized to perform this operation.",
        ),
        _ => ApiError::new(
            if service.json() { 400 } else { 403 },
            if service.json() {
                "AccessDeniedException"
            } else {
                "AccessDenied"
            },
            format!(
                "User: {} is not authorized to perform: {}:{action} on resource: arn:aws:{}:{region}:* because no identity-based policy allows the {}:{action} action",
                who.arn,
                service.scope(),
                service.scope(),
                service.scope()
            ),
        ),
    })
}

fn wrap(service: Service, action: &str, body: &str, id: &str) -> String {
    let ns = service.namespace();
    match service {
        Service::Ec2 => format!(
            "{}<{action}Response xmlns=\"{ns}\"><requestId>{id}</requestId>{body}</{action}Response>",
            xml::PROLOGUE
        ),
        Service::Iam if body.is_empty() => format!(
            "<{action}Response xmlns=\"{ns}\"><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
        ),
        Service::Elb | Service::Sts | Service::Iam => format!(
            "<{action}Response xmlns=\"{ns}\"><{action}Result>{body}</{action}Result><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
        ),
        Service::Ssm | Service::Quotas => body.to_owned(),
    }
}

fn reply(service: Service, status: u16, body: String, id: &str) -> Response<Body> {
    let kind = match service {
        Service::Ec2 => "text/xml;charset=UTF-8",
        Service::Elb | Service::Sts | Service::Iam => "text/xml",
        Service::Ssm | Service::Quotas => "application/x-amz-json-1.1",
    };
    let mut r = plain(
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        body,
    );
    let headers = r.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    if let Ok(value) = header::HeaderValue::from_str(id) {
        headers.insert("x-amzn-requestid", value);
    }
    r
}
