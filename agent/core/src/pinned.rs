//! One GET to a host at an address of our choice, through the proxy of this network. (The HTTP client proper lets a proxy choose the address.)

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use url::{Position, Url};

use crate::explain::chain;
use crate::http::Trust;

/// Longest body that is kept.
const MOST: usize = 16 * 1024 * 1024;

/// Status and body. Certificate and Host are the name's; redirects are not followed. The error is one line.
pub async fn get(trust: &Trust, url: &Url, at: SocketAddr, limit: Duration) -> Result<(u16, Bytes), String> {
    tokio::time::timeout(limit, asked(trust, url, at))
        .await
        .unwrap_or_else(|_| Err(format!("no answer in {} s", limit.as_secs())))
}

async fn asked(trust: &Trust, url: &Url, at: SocketAddr) -> Result<(u16, Bytes), String> {
    let host = url.host_str().ok_or("the address has no host")?;
    let stream = trust.way().connect_to(at).await.map_err(|e| chain(&e))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| chain(&e))?;
    let tls = TlsConnector::from(Arc::new(trust.tls().map_err(|e| e.why)?));
    let stream = tls.connect(name, stream).await.map_err(|e| chain(&e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| chain(&e))?;
    let request = hyper::Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header("host", &url[Position::BeforeHost..Position::AfterPort])
        .header("user-agent", concat!("skykeep/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|e| chain(&e))?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|e| chain(&e))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MOST)
            .collect()
            .await
            .map_err(|e| e.to_string())?;
        Ok((status, body.to_bytes()))
    };
    tokio::select! {
        answer = answered => answer,
        // It drives the answer; it ends first only when it fails.
        Err(e) = connection => Err(chain(&e)),
    }
}
