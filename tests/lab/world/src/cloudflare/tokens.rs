//! The tokens that the API knows: what each may do, and whether it is switched on.

use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{Refusal, no_route, render};
use crate::credentials::Credentials;
use crate::http::Body;

/// What a token is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    Zones,
    Tokens,
}

struct Token {
    id: String,
    value: String,
    name: String,
    may: May,
    active: bool,
}

/// All of them.
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// Ours, the old castle's, and the one that may edit tokens.
    pub fn of(keys: &Credentials) -> Self {
        let token = |id: &str, value: &str, name: &str, may| Token {
            id: id.to_owned(),
            value: value.to_owned(),
            name: name.to_owned(),
            may,
            active: true,
        };
        Self(vec![
            token(
                "ed17574386854bf78a67040be0a770b0",
                &keys.cloudflare_token,
                "skykeep",
                May::Zones,
            ),
            token(
                &keys.old_cloudflare_token_id,
                &keys.old_cloudflare_token,
                "ddns at home",
                May::Zones,
            ),
            token(
                "0c3f5d7e9a1b4c2d8e6f7a5b3c1d9e0f",
                &keys.cloudflare_keys_token,
                "keys",
                May::Tokens,
            ),
        ])
    }

    /// Lets a request in that carries a token which may do what its path is about.
    pub fn admit(&self, headers: &HeaderMap, parts: &[&str]) -> Result<(), Refusal> {
        let token = self.bearer(headers, parts)?;
        let verifying = matches!(parts, ["user", "tokens", "verify"]);
        if verifying {
            return Ok(());
        }
        if !token.active {
            return Err(Refusal::new(StatusCode::FORBIDDEN, 9109, "Invalid access token"));
        }
        let wanted = match parts {
            ["user", "tokens", ..] => May::Tokens,
            _ => May::Zones,
        };
        if token.may == wanted {
            return Ok(());
        }
        Err(match wanted {
            May::Tokens => Refusal::new(StatusCode::FORBIDDEN, 9109, "Unauthorized to access requested resource"),
            May::Zones => Refusal::new(StatusCode::FORBIDDEN, 10000, "Authentication error"),
        })
    }

    /// Whether a token is switched on.
    pub fn accepts(&self, value: &str) -> bool {
        self.0.iter().any(|t| t.value == value && t.active)
    }

    fn bearer(&self, headers: &HeaderMap, parts: &[&str]) -> Result<&Token, Refusal> {
        let Some(value) = headers.get("authorization").and_then(|value| value.to_str().ok()) else {
            return Err(Refusal::invalid(
                9106,
                "Missing X-Auth-Key, X-Auth-Email or Authorization headers",
            ));
        };
        let token = value.strip_prefix("Bearer ").unwrap_or_default();
        if token.len() < 30
            || !token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        {
            return Err(Refusal {
                chain: Some((6111, "Invalid format for Authorization header".to_owned())),
                ..Refusal::invalid(6003, "Invalid request headers")
            });
        }
        self.0.iter().find(|t| t.value == token).ok_or_else(|| match parts {
            ["user", "tokens", "verify"] => Refusal::new(StatusCode::UNAUTHORIZED, 1000, "Invalid API Token"),
            _ => Refusal::new(StatusCode::FORBIDDEN, 9109, "Invalid access token"),
        })
    }

    /// `/user/tokens/...`
    pub fn answer(
        &mut self,
        method: &Method,
        id: &str,
        headers: &HeaderMap,
        body: &Value,
    ) -> Result<Response<Body>, Refusal> {
        if id == "verify" && method == Method::GET {
            let token = self.bearer(headers, &["user", "tokens", "verify"])?;
            let status = status(token);
            return Ok(render::one(
                StatusCode::OK,
                json!({"id": token.id, "status": status, "not_before": null, "expires_on": null}),
            ));
        }
        let absent = || Refusal::new(StatusCode::NOT_FOUND, 1003, "API token not found");
        let token = self.0.iter_mut().find(|t| t.id == id).ok_or_else(absent)?;
        match *method {
            Method::GET => {}
            Method::PUT => update(token, body)?,
            _ => return Err(no_route(&format!("/user/tokens/{id}"))),
        }
        Ok(render::one(StatusCode::OK, whole(token)))
    }
}

fn status(token: &Token) -> &'static str {
    if token.active { "active" } else { "disabled" }
}

fn policies() -> Value {
    json!([{
        "id": "f267e341f3dd4697bd3b9f71dd96247f", "effect": "allow",
        "resources": {"com.cloudflare.api.account.zone.*": "*"},
        "permission_groups": [{"id": "4755a26eedb94da69e1066d98aa820be", "name": "DNS Write"}],
    }])
}

fn whole(token: &Token) -> Value {
    json!({
        "id": token.id, "name": token.name, "status": status(token), "policies": policies(),
        "issued_on": "2025-01-01T05:20:00Z", "modified_on": "2025-01-01T05:20:00Z", "last_used_on": null,
        "condition": {"request_ip": {"in": ["192.0.2.0/24"], "not_in": []}},
    })
}

/// An update replaces: name and policies have to be there, and here they may not change.
fn update(token: &mut Token, body: &Value) -> Result<(), Refusal> {
    let before = whole(token);
    for field in ["name", "policies", "condition"] {
        if body.get(field) != before.get(field) {
            return Err(Refusal::invalid(
                1001,
                format!("{field} is missing, or is another one than the token's"),
            ));
        }
    }
    token.active = match body.get("status").and_then(Value::as_str) {
        Some("active") | None => true,
        Some("disabled") => false,
        Some(_) => return Err(Refusal::invalid(1001, "Invalid status")),
    };
    Ok(())
}
