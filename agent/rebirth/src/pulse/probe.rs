//! Knocking where the names pointed before: whoever answers there with the name's own certificate lives.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::future::join_all;
use reqwest::Url;
use skykeep_core::{castle::Castle, explain::chain, http::Trust};

use super::Answer;

/// How long one knock may take.
const LIMIT: Duration = Duration::from_secs(3);
/// More places than any castle has.
const MOST: usize = 40;

/// An address that a name pointed to, and what to ask there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The address.
    pub address: IpAddr,
    /// The URL: a health rule of the name, or its first page.
    pub url: Url,
}

impl Target {
    /// What to ask at the addresses of `name`.
    pub(crate) fn of(castle: &Castle, name: &str, address: IpAddr) -> Option<Self> {
        let rule = castle.health.iter().find(|h| h.url.host_str() == Some(name));
        // A wildcard has no page of its own; something below it is asked.
        let host = name.replacen('*', "www", 1);
        let url = match rule {
            Some(rule) => rule.url.clone(),
            None => Url::parse(&format!("https://{host}/")).ok()?,
        };
        Some(Target { address, url })
    }
}

/// Knocks everywhere at once.
pub async fn knock(trust: &Trust, targets: &[Target]) -> Vec<Answer> {
    join_all(targets.iter().take(MOST).map(|target| one(trust, target))).await
}

async fn one(trust: &Trust, target: &Target) -> Answer {
    let (address, url) = (target.address, &target.url);
    let host = url.host_str().unwrap_or_default();
    let (lives, seen) = match ask(trust, host, address, url).await {
        Ok(status) => (true, format!("status {status}")),
        Err(why) => (false, why),
    };
    Answer {
        place: format!("{address} as {host}"),
        lives,
        seen,
    }
}

async fn ask(trust: &Trust, host: &str, address: IpAddr, url: &Url) -> Result<u16, String> {
    let at = SocketAddr::new(address, url.port_or_known_default().unwrap_or(443));
    let http = trust.http_at(LIMIT, host, at).map_err(|e| e.why)?;
    match http.get(url.clone()).send().await {
        Ok(answer) => Ok(answer.status().as_u16()),
        // It answered with a redirect, and what failed is another place.
        Err(e) if e.url().is_some_and(|asked| asked.host_str() != Some(host)) => Ok(302),
        Err(e) if e.is_timeout() => Err(format!("no answer within {} s", LIMIT.as_secs())),
        Err(e) => Err(last(&chain(&e.without_url()))),
    }
}

/// The end of a chain of causes says what happened.
fn last(chain: &str) -> String {
    chain.rsplit(": ").next().unwrap_or(chain).to_owned()
}
