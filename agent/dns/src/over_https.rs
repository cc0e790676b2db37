//! Does the world see the change, where this network lets no DNS out (a proxy), or none to IPv4? Public resolvers are asked over HTTPS.
//!
//! Weaker than [`crate::verify`]: the zone's own servers are seen through the resolvers' eyes only.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use reqwest::{Client, Url};
use serde::Deserialize;
use skykeep_core::{Deadline, Progress, Trouble, deadline::Look, explain::chain, poll};

use crate::verify::Expected;

/// Cloudflare's and Google's resolvers, in the form that both speak (`application/dns-json`).
const RESOLVERS: [&str; 2] = ["https://cloudflare-dns.com/dns-query", "https://dns.google/resolve"];

/// An answer. `Status` is DNS's own code.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    status: u16,
    #[serde(default)]
    answer: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(rename = "type")]
    kind: u16,
    data: String,
}

/// Waits until two public resolvers answer with exactly the expected addresses.
pub async fn verify_by_https(
    expected: &Expected<'_>,
    http: &Client,
    deadline: Deadline,
    progress: &Progress,
) -> Result<(), Trouble> {
    for resolver in RESOLVERS {
        seen_by(resolver, expected, http, deadline).await?;
        progress.note(format!("{resolver}: all names there"));
    }
    Ok(())
}

async fn seen_by(resolver: &str, expected: &Expected<'_>, http: &Client, deadline: Deadline) -> Result<(), Trouble> {
    let wanted: BTreeSet<Ipv4Addr> = expected.addresses.iter().copied().collect();
    for name in expected.names {
        let what = format!("{resolver} to answer for {name}");
        poll(&what, deadline, Duration::from_secs(2), || async {
            Ok(match asked(resolver, name, http).await {
                Ok(seen) if seen == wanted => Look::Ready(()),
                Ok(seen) if seen.is_empty() => Look::NotYet("no address".into()),
                Ok(seen) => Look::NotYet(seen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
                Err(why) => Look::NotYet(why),
            })
        })
        .await?;
    }
    Ok(())
}

async fn asked(resolver: &str, name: &str, http: &Client) -> Result<BTreeSet<Ipv4Addr>, String> {
    let question = [("name", name), ("type", "A")];
    let url = Url::parse_with_params(resolver, question).map_err(|e| e.to_string())?;
    let request = http.get(url).header("accept", "application/dns-json");
    let answer = request.send().await.map_err(|e| chain(&e.without_url()))?;
    if !answer.status().is_success() {
        return Err(format!("it answered {}", answer.status()));
    }
    let text = answer.bytes().await.map_err(|e| chain(&e.without_url()))?;
    addresses(&text)
}

/// The IPv4 addresses of an answer; none when the name is not there.
fn addresses(text: &[u8]) -> Result<BTreeSet<Ipv4Addr>, String> {
    const A: u16 = 1;
    let answer: Answer = serde_json::from_slice(text).map_err(|_| "its answer is no DNS in JSON".to_owned())?;
    match answer.status {
        0 | 3 => {
            let records = answer.answer.into_iter().filter(|record| record.kind == A);
            Ok(records.filter_map(|record| record.data.parse().ok()).collect())
        }
        code => Err(format!("it answered with DNS's code {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As both resolvers write them.
    const FOUND: &str = r#"{"Status":0,"TC":false,"RD":true,"RA":true,"AD":false,"CD":false,"Question":[{"name":"blog.castle.example","type":1}],
        "Answer":[{"name":"blog.castle.example.","type":5,"TTL":60,"data":"castle.example."},
        {"name":"castle.example.","type":1,"TTL":60,"data":"198.51.100.7"},{"name":"castle.example.","type":1,"TTL":60,"data":"198.51.100.8"}]}"#;
    const NOT_THERE: &str = r#"{"Status":3,"Question":[{"name":"blog.castle.example.","type":1}],"Authority":[]}"#;

    #[test]
    fn addresses_are_read_and_other_records_are_not() {
        let found = addresses(FOUND.as_bytes()).expect("an answer");
        assert_eq!(found, [[198, 51, 100, 7], [198, 51, 100, 8]].map(Ipv4Addr::from).into());
        assert!(addresses(NOT_THERE.as_bytes()).expect("an answer").is_empty());
        assert!(addresses(br#"{"Status":2}"#).expect_err("a fault").contains("code 2"));
        assert!(addresses(b"<html>").is_err());
    }

    #[tokio::test]
    async fn it_is_waited_for_until_the_resolver_sees_exactly_these_addresses() {
        let turn = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let asked = turn.clone();
        let app = axum::Router::new().route(
            "/resolve",
            axum::routing::get(move || async move {
                let first = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
                if first { NOT_THERE } else { FOUND }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let resolver = format!("http://{}/resolve", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let tls = skykeep_core::http::Trust::public().tls().expect("TLS");
        let http = Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .build()
            .expect("a client");
        let names = ["blog.castle.example".to_owned()];
        let expected = Expected {
            zone: "castle.example",
            names: &names,
            addresses: &[[198, 51, 100, 7].into(), [198, 51, 100, 8].into()],
        };
        let deadline = Deadline::after(Duration::from_secs(10));
        seen_by(&resolver, &expected, &http, deadline).await.expect("seen");
        assert_eq!(turn.load(std::sync::atomic::Ordering::Relaxed), 2);
    }
}
