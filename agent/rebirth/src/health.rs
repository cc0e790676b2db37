//! Health as the owner defines it, asked like a visitor would.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sha2::{Digest, Sha256};
use skykeep_core::{Trouble, castle::Health, deadline::Look, explain::chain, http::Trust, pinned};

use crate::error::RebirthError;

/// Asks once. With an address, the name is not looked up: the request goes there, certificate and Host as for the name.
pub async fn ask(trust: &Trust, rule: &Health, at: Option<IpAddr>) -> Result<Look<()>, Trouble> {
    let host = rule.url.host_str().unwrap_or_default();
    let limit = Duration::from_secs(10);
    if let (Some(ip), Some(_)) = (at, &trust.way().proxy) {
        let port = rule.url.port_or_known_default().unwrap_or(443);
        return match pinned::get(trust, &rule.url, SocketAddr::new(ip, port), limit).await {
            Ok((status, body)) => judge(rule, status, &body),
            Err(why) => Ok(Look::NotYet(why)),
        };
    }
    let http = match at {
        Some(ip) => {
            let port = rule.url.port_or_known_default().unwrap_or(443);
            trust.http_at(limit, host, SocketAddr::new(ip, port))?
        }
        None => trust.http(limit)?,
    };
    let answer = match http.get(rule.url.clone()).send().await {
        Ok(answer) => answer,
        Err(e) => return Ok(Look::NotYet(chain(&e))),
    };
    let status = answer.status().as_u16();
    match answer.bytes().await {
        Ok(body) => judge(rule, status, &body),
        Err(e) => Ok(Look::NotYet(chain(&e))),
    }
}

/// Whether this is how a healthy castle answers.
fn judge(rule: &Health, status: u16, body: &[u8]) -> Result<Look<()>, Trouble> {
    if status != rule.status {
        return Ok(Look::NotYet(format!("status {status} instead of {}", rule.status)));
    }
    if let Some(wanted) = &rule.sha256 {
        let got = hex::encode(Sha256::digest(body));
        if got != *wanted {
            let seen = format!("the body's SHA-256 is {got}, not {wanted}");
            return Err(RebirthError::Unhealthy {
                url: rule.url.to_string(),
                seen,
            }
            .into());
        }
    }
    Ok(Look::Ready(()))
}
