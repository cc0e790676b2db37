//! Asking one host for the time: a HEAD request over TLS, and its Date.

use super::Reached;
use super::verify::TimelessVerifier;
use rustls::client::WebPkiServerVerifier;
use rustls::{ClientConfig, crypto::ring};
use rustls_pki_types::{ServerName, UnixTime};
use skykeep_core::{explain::chain, http::Trust};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// Most bytes of an answer's head that are read.
const MAX_HEAD: usize = 32 * 1024;

/// A host's time.
pub(super) struct Answer {
    pub(super) time: SystemTime,
    pub(super) taken: Instant,
}

/// How far one host was reached, as seen from outside.
#[derive(Default)]
pub(super) struct Progressed(std::sync::Mutex<Reached>);

impl Progressed {
    fn set(&self, reached: Reached) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = reached;
    }

    pub(super) fn get(&self) -> Reached {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The error is one line, without the host's name. `so_far` follows how far it got, also for whoever loses patience.
pub(super) async fn ask(
    host: &str,
    trust: &Trust,
    not_before: SystemTime,
    so_far: &Progressed,
) -> Result<Answer, String> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse::<u16>().map_err(|e| e.to_string())?),
        None => (host, 443),
    };
    let provider = Arc::new(ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(trust.roots(), provider.clone())
        .build()
        .map_err(|e| chain(&e))?;
    let verifier = Arc::new(TimelessVerifier::new(inner, unix(not_before)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| chain(&e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    let server = ServerName::try_from(name.to_owned()).map_err(|e| chain(&e))?;
    let way = trust.way();
    let addresses = way.addresses(name, port).await.map_err(|e| chain(&e))?;
    so_far.set(Reached::Names);
    let stream = way.connect(addresses, name, port).await.map_err(|e| chain(&e))?;
    so_far.set(Reached::Connection);
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(server, stream)
        .await
        .map_err(|e| chain(&e))?;
    so_far.set(Reached::Tls);
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: skykeep\r\nConnection: close\r\n\r\n");
    let asked = Instant::now();
    stream.write_all(request.as_bytes()).await.map_err(|e| chain(&e))?;
    let head = read_head(&mut stream).await?;
    let taken = Instant::now();
    let time = told(&head).ok_or("its answer has no Date")?;
    // The whole chain must be good at the very time it tells.
    verifier.verify_at(unix(time)).map_err(|e| {
        format!(
            "tells {}, when its certificate is not good: {}",
            httpdate::fmt_http_date(time),
            chain(&e)
        )
    })?;
    // The Date is cut to whole seconds and as old as the answer's way here.
    Ok(Answer {
        time: time + Duration::from_millis(500) + (taken - asked) / 2,
        taken,
    })
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<String, String> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < MAX_HEAD {
        match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(n) => head.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            // A server may close without goodbye after its answer.
            Err(_) if !head.is_empty() => break,
            Err(e) => return Err(chain(&e)),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The Date of an answer, plus its Age when it comes out of a cache.
fn told(head: &str) -> Option<SystemTime> {
    let head = head.split("\r\n\r\n").next()?;
    let mut lines = head.split("\r\n");
    if !lines.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |wanted: &str| {
        fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    };
    let date = httpdate::parse_http_date(field("date")?).ok()?;
    let age = field("age").and_then(|value| value.parse::<u32>().ok()).unwrap_or(0);
    Some(date + Duration::from_secs(age.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_and_age_are_read_from_any_answer_and_only_from_its_head() {
        let date = "Mon, 23 Nov 2026 21:30:00 GMT";
        let expected = httpdate::parse_http_date(date).expect("date");
        assert_eq!(
            told(&format!("HTTP/1.1 403 Forbidden\r\ndate: {date}\r\n\r\n")),
            Some(expected)
        );
        let old = told(&format!("HTTP/1.1 200 OK\r\nAge: 60\r\nDate: {date}\r\n\r\n"));
        assert_eq!(old, Some(expected + Duration::from_secs(60)));
        assert_eq!(told(&format!("HTTP/1.1 200 OK\r\n\r\nDate: {date}\r\n")), None);
        assert_eq!(told(&format!("SSH-2.0\r\nDate: {date}\r\n\r\n")), None);
        assert_eq!(told("HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n"), None);
    }
}
