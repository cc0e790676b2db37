//! The one HTTPS front behind every public name: it takes a certificate of the laboratory's CA for the name that the client asks
//! for, and passes the request to the service that lives under that name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::header::HOST;
use http::{Response, StatusCode};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tracing::{debug, info, warn};

use crate::ca::Ca;
use crate::cloudflare::Cloudflare;
use crate::faults::{Fault, Faults};
use crate::git::{Git, REPOSITORY};
use crate::http::{Body, Request, redirect, text};
use crate::infisical::Infisical;
use crate::proxy::{Place, forward};
use crate::sessions::Sessions;
use crate::{files, names};

/// Where GitHub really keeps release files: a download is redirected there.
const RELEASE_FILES: &str = "release-assets.githubusercontent.com";
/// Where Kubernetes really keeps its binaries.
const KUBERNETES_FILES: &str = "cdn.dl.k8s.io";

/// Everything that a name may lead to.
pub struct Services {
    /// The double of EC2, STS, ELB and SSM.
    pub aws: Place,
    /// The double of Hetzner Cloud.
    pub hetzner: Place,
    /// SeaweedFS.
    pub s3: Place,
    /// The OCI registry, when it has been built.
    pub registry: Option<Place>,
    /// The folder of published files.
    pub artifacts: Option<PathBuf>,
    /// The double of Cloudflare.
    pub cloudflare: Arc<Cloudflare>,
    /// The double of Infisical.
    pub infisical: Infisical,
    /// The repositories.
    pub git: Git,
    /// The faults that a rehearsal has ordered.
    pub faults: Arc<Faults>,
    /// What each client's sessions are encrypted with.
    pub sessions: Arc<Sessions>,
}

/// Serves until the handle is aborted.
pub fn serve(listener: TcpListener, ca: Arc<Ca>, services: Arc<Services>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (ca, services) = (Arc::clone(&ca), Arc::clone(&services));
                    tokio::spawn(async move {
                        if let Err(error) = connection(stream, ca, services).await {
                            debug!(%peer, "connection: {error:#}");
                        }
                    });
                }
                Err(error) => {
                    warn!("accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}

async fn connection(stream: TcpStream, ca: Arc<Ca>, services: Arc<Services>) -> Result<()> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    let start = tokio::time::timeout(
        Duration::from_secs(20),
        LazyConfigAcceptor::new(Acceptor::default(), stream),
    )
    .await??;
    let name = start
        .client_hello()
        .server_name()
        .context("no server name in the handshake")?
        .to_ascii_lowercase();
    anyhow::ensure!(names::is_of_the_world(&name), "{name} is no name of this world");
    // AWS speaks HTTP/1.1 only; the others speak both.
    let protocols: &[&[u8]] = if name.ends_with(".amazonaws.com") {
        &[b"http/1.1"]
    } else {
        &[b"h2", b"http/1.1"]
    };
    let config = services
        .sessions
        .watch(peer.ip(), &*ca.server_config(&name, protocols)?);
    let stream = start.into_stream(config).await?;
    let service = service_fn(move |request| {
        let services = Arc::clone(&services);
        let name = name.clone();
        async move { answer(&services, &name, peer, request).await }
    });
    hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))
}

async fn answer(
    services: &Services,
    name: &str,
    peer: SocketAddr,
    request: Request,
) -> Result<Response<Body>, std::io::Error> {
    let said = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = said
        .or_else(|| request.uri().authority().map(|authority| authority.as_str()))
        .unwrap_or(name);
    let host = host.strip_suffix(":443").unwrap_or(host).to_ascii_lowercase();
    let (method, path, began) = (
        request.method().clone(),
        request.uri().path().to_owned(),
        Instant::now(),
    );
    let (before, after) = match services.faults.next(&host, method.as_str(), &path) {
        Some(Fault::Reset) => {
            info!(host, %method, path, "fault: connection cut");
            return Err(std::io::Error::other("ordered by the laboratory"));
        }
        Some(Fault::Status {
            code,
            body,
            retry_after,
        }) => {
            info!(host, %method, path, code, "fault: ordered status");
            let mut response = text(
                StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                body,
            );
            if let Some(seconds) = retry_after {
                crate::http::set(response.headers_mut(), "retry-after", &seconds.to_string());
            }
            return Ok(response);
        }
        Some(Fault::Delay(time)) => (Some(time), false),
        Some(Fault::LoseAnswer) => (None, true),
        None => (None, false),
    };
    if let Some(time) = before {
        tokio::time::sleep(time).await;
    }
    // Amazon's answer to "which address do I come from".
    let response = match host.as_str() {
        "checkip.amazonaws.com" => text(StatusCode::OK, format!("{}\n", peer.ip())),
        _ => route(services, &host, request).await,
    };
    info!(host, %method, path, status = response.status().as_u16(), ms = began.elapsed().as_millis() as u64, "served");
    if after {
        info!(host, %method, path, "fault: done, but the answer is lost");
        return Err(std::io::Error::other("ordered by the laboratory"));
    }
    Ok(response)
}

async fn route(services: &Services, host: &str, request: Request) -> Response<Body> {
    if host.ends_with(".amazonaws.com") {
        let place = if names::is_s3(host) { services.s3 } else { services.aws };
        return forward(place, host, request).await;
    }
    let path = request.uri().path().to_owned();
    let artifacts = services.artifacts.as_deref();
    match host {
        "api.cloudflare.com" => services.cloudflare.serve(request).await,
        "api.hetzner.cloud" => forward(services.hetzner, host, request).await,
        "eu.infisical.com" => services.infisical.serve(request).await,
        "github.com" => {
            if let Some(rest) = path.strip_prefix(REPOSITORY.trim_end_matches(".git")) {
                let rest = rest.strip_prefix(".git").unwrap_or(rest);
                if rest.starts_with('/') {
                    return services.git.serve(&format!("{REPOSITORY}{rest}"), request).await;
                }
            }
            if path.contains("/releases/download/") {
                return redirect(&format!("https://{RELEASE_FILES}{path}"));
            }
            files::serve(artifacts, host, &path, &request).await
        }
        RELEASE_FILES => files::serve(artifacts, "github.com", &path, &request).await,
        "dl.k8s.io" => redirect(&format!("https://{KUBERNETES_FILES}{path}")),
        KUBERNETES_FILES => files::serve(artifacts, "dl.k8s.io", &path, &request).await,
        host if names::REGISTRIES.contains(&host) => match services.registry {
            Some(place) => forward(place, host, request).await,
            None => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the laboratory's registry has not been built\n",
            ),
        },
        host if names::PUBLIC_SITES.contains(&host) => text(StatusCode::OK, "A public site of the laboratory.\n"),
        _ => text(StatusCode::NOT_FOUND, "nothing of this name lives here\n"),
    }
}
