//! Passes a request on, byte for byte, to a server that speaks plain HTTP: the EC2 double, SeaweedFS, the registry.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tracing::warn;

use crate::http::{Body, Request, text};
use crate::ns;

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// In the namespace of this process.
    Here(SocketAddr),
    /// In the laboratory's internet.
    Inet(SocketAddr),
}

/// Forwards and never fails: a server that does not answer becomes a 502.
pub async fn forward(place: Place, host: &str, request: Request) -> Response<Body> {
    match pass(place, host, request).await {
        Ok(response) => response,
        Err(error) => {
            warn!(host, "upstream: {error:#}");
            text(
                StatusCode::BAD_GATEWAY,
                format!("the laboratory's server for {host} did not answer: {error:#}\n"),
            )
        }
    }
}

// One connection per request: a kept one may be closed by its server at the very moment of a POST, and that would be a fault which
// nobody ordered.
async fn pass(place: Place, host: &str, mut request: Request) -> Result<Response<Body>> {
    let stream = match place {
        Place::Here(address) => TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?,
        Place::Inet(address) => ns::connect(address)
            .await
            .with_context(|| format!("connecting to {address} in {}", ns::INET))?,
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    *request.uri_mut() = path.parse::<Uri>()?;
    *request.version_mut() = Version::HTTP_11;
    drop_hop_by_hop(request.headers_mut());
    // HTTP/2 has no Host header, and signatures cover it.
    if !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, HeaderValue::from_str(host)?);
    }
    let response = sender.send_request(request).await?;
    let (mut head, body) = response.into_parts();
    drop_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(
        head,
        body.map_err(anyhow::Error::from).boxed_unsync(),
    ))
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    for name in [
        CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
    ] {
        headers.remove(name);
    }
}
