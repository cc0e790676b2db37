//! HTTP: who asks, what for, how often; and what became of it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Response, StatusCode, Uri, header},
};
use serde_json::{Map, Value, json};

use crate::{
    ask::Asked,
    cloud::Cloud,
    error::{Refusal, Result},
    faults::{Call, Fault, lock},
};

/// Longest body that is taken; user data is 32 KiB of it at most.
const LONGEST: usize = 128 * 1024;

impl Cloud {
    /// The API below `/v1`.
    pub fn router(self: &Arc<Self>) -> Router {
        let cloud = Arc::clone(self);
        Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let cloud = Arc::clone(&cloud);
            async move {
                let work = tokio::task::spawn_blocking(move || cloud.handle(&method, &uri, &headers, &body));
                match work.await {
                    Ok((response, pause)) => {
                        tokio::time::sleep(pause).await;
                        response
                    }
                    Err(_) => broken(),
                }
            }
        })
    }

    fn handle(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> (Response<Body>, Duration) {
        let path = uri.path().trim_start_matches("/v1/").trim_matches('/').to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let action = match parts.as_slice() {
            [kind, _, "actions", verb] => format!("{method} {kind}/{verb}"),
            [kind, ..] => format!("{method} {kind}"),
            [] => method.to_string(),
        };
        let fault = self.faults.take(&action);
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        let result = match fault.and_then(Fault::refusal) {
            Some(refusal) => Err(refusal),
            None if fault == Some(Fault::LostRequest) => Ok(Value::Null),
            None => self.permitted(method, headers).and_then(|()| {
                let asked = asked(uri, body)?;
                self.route(method, &parts, &asked)
            }),
        };
        if fault == Some(Fault::Fails)
            && let Ok(answer) = &result
        {
            self.doom(answer);
        }
        let said = match (&result, fault) {
            (_, Some(Fault::LostRequest)) => "lost request",
            (Err(e), _) => e.code,
            (_, Some(Fault::LostReply)) => "lost reply",
            _ => "ok",
        };
        self.faults.note(Call {
            action,
            body: sent,
            result: said.to_owned(),
        });
        let pause = match fault {
            Some(Fault::Slow(time)) => time,
            _ => Duration::ZERO,
        };
        if matches!(fault, Some(Fault::LostRequest | Fault::LostReply)) {
            return (broken(), pause);
        }
        let left = self.spend(false);
        (self.reply(method, result, left), pause)
    }

    /// The action that this answer names will fail.
    fn doom(&self, answer: &Value) {
        let id = answer["action"]["id"].as_u64();
        let mut st = lock(&self.state);
        if let Some(a) = id.and_then(|id| st.actions.get_mut(&id)) {
            a.fails = true;
        }
    }

    /// Requests left of the hour's; one is spent.
    fn spend(&self, one: bool) -> f64 {
        let mut budget = lock(&self.budget);
        let most = f64::from(self.cfg.limits.requests);
        let back = budget.1.elapsed().as_secs_f64() * most / 3600.0;
        *budget = ((budget.0 + back).min(most) - f64::from(u8::from(one)), Instant::now());
        budget.0
    }

    fn permitted(&self, method: &Method, headers: &HeaderMap) -> Result<()> {
        let said = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token = said.and_then(|v| v.strip_prefix("Bearer "));
        let known = self.cfg.tokens.iter().find(|t| Some(t.secret.as_str()) == token);
        let known = known
            .ok_or_else(|| Refusal::new(401, "unauthorized", "the token you are using is invalid or was deleted"))?;
        if self.spend(true) < 0.0 {
            let mut budget = lock(&self.budget);
            budget.0 = budget.0.max(0.0);
            return Err(Fault::RateLimit.refusal().unwrap_or_else(Refusal::no_machine));
        }
        if known.read_only && method != Method::GET {
            return Err(Refusal::new(
                403,
                "token_readonly",
                "the token is only allowed to perform GET requests",
            ));
        }
        Ok(())
    }

    fn reply(&self, method: &Method, result: Result<Value>, left: f64) -> Response<Body> {
        let (status, body) = match &result {
            Ok(Value::Null) => (204, String::new()),
            Ok(answer) if *method == Method::POST => (201, answer.to_string()),
            Ok(answer) => (200, answer.to_string()),
            Err(refusal) => (refusal.status, refusal.body().to_string()),
        };
        let most = f64::from(self.cfg.limits.requests);
        let now = jiff::Timestamp::now().as_second();
        let missing = ((most - left) * 3600.0 / most).ceil();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        let texts = [
            ("content-type", "application/json".to_owned()),
            ("ratelimit-limit", format!("{most:.0}")),
            ("ratelimit-remaining", format!("{:.0}", left.max(0.0).floor())),
            ("ratelimit-reset", format!("{:.0}", missing + now as f64)),
            ("x-correlation-id", format!("{now:x}")),
        ];
        for (name, text) in texts {
            if let Ok(value) = header::HeaderValue::from_str(&text) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    fn route(&self, method: &Method, parts: &[&str], asked: &Asked) -> Result<Value> {
        let method = method.as_str();
        let numbered: Option<u64> = parts.get(1).and_then(|id| id.parse().ok());
        match (method, parts, numbered) {
            ("GET", ["locations" | "server_types" | "images" | "load_balancer_types", ..], _) => {
                self.catalog(parts, asked)
            }
            ("GET", ["actions"], _) => self.list_actions(asked, None),
            ("GET", ["actions", _], Some(id)) => self.one_action(id),
            ("GET", [kind, _, "actions"], Some(id)) => self.list_actions(asked, Some((id, kind))),
            ("POST", ["networks"], _) => self.create_network(asked),
            ("POST", ["firewalls"], _) => self.create_firewall(asked),
            ("POST", ["placement_groups"], _) => self.create_group(asked),
            ("POST", ["servers"], _) => self.create_server(asked),
            ("POST", ["load_balancers"], _) => self.create_balancer(asked),
            ("POST", ["firewalls", _, "actions", verb], Some(id)) => self.firewall_action(id, verb, asked),
            ("POST", ["servers", _, "actions", verb], Some(id)) => self.server_action(id, verb, asked),
            ("POST", ["load_balancers", _, "actions", verb], Some(id)) => self.balancer_action(id, verb, asked),
            ("GET", [kind], _) => self.list(kind, asked),
            ("GET", [kind, _], Some(id)) => self.one(kind, id),
            ("PUT", [kind, _], Some(id)) => self.update(kind, id, asked),
            ("DELETE", [kind, _], Some(id)) => self.delete(kind, id),
            _ => Err(Refusal::new(404, "not_found", "the resource was not found")),
        }
    }
}

fn broken() -> Response<Body> {
    let error = std::io::Error::other("connection lost by the fault script");
    Response::new(Body::from_stream(futures::stream::once(async {
        Err::<Vec<u8>, _>(error)
    })))
}

fn asked(uri: &Uri, body: &Bytes) -> Result<Asked> {
    if body.len() > LONGEST {
        return Err(Refusal::new(413, "invalid_input", "the request is too large"));
    }
    let body = match serde_json::from_slice::<Value>(body) {
        _ if body.is_empty() => Map::new(),
        Ok(Value::Object(object)) => object,
        _ => return Err(Refusal::new(400, "json_error", "invalid JSON in the request")),
    };
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Refusal::new(400, "invalid_input", "the query can't be read"))?;
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in pairs.0 {
        query.entry(key).or_default().push(value);
    }
    Ok(Asked { query, body })
}

/// One page of a list.
pub(crate) fn page(key: &str, all: Vec<Value>, asked: &Asked) -> Result<Value> {
    let number = |name: &str, or: usize| match asked.one(name) {
        None => Ok(or),
        Some(text) => text.parse().map_err(|_| Refusal::invalid(name, "Not a valid integer.")),
    };
    let (page, size) = (number("page", 1)?, number("per_page", 25)?);
    if page == 0 || !(1..=50).contains(&size) {
        return Err(Refusal::invalid("per_page", "must be between 1 and 50"));
    }
    let total = all.len();
    let last = total.div_ceil(size).max(1);
    let shown: Vec<Value> = all.into_iter().skip((page - 1) * size).take(size).collect();
    Ok(json!({
        key: shown,
        "meta": {"pagination": {
            "page": page, "per_page": size, "previous_page": (page > 1).then(|| page - 1),
            "next_page": (page < last).then(|| page + 1), "last_page": last, "total_entries": total,
        }},
    }))
}
