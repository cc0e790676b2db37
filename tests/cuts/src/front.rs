//! One TLS server under every name that a rebirth asks.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Answers one request; the name asked for comes with it.
pub type Handler =
    Arc<dyn Fn(String, Request<Incoming>) -> BoxFuture<'static, Response<axum::body::Body>> + Send + Sync>;

/// An authority of its own, and a TLS configuration that it signed for these names.
pub fn tls(names: &[&str]) -> Result<(Arc<ServerConfig>, String)> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let leaf = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok((Arc::new(config), ca_pem))
}

/// Serves until the runtime ends.
pub async fn serve(tls: Arc<ServerConfig>, handler: Handler) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, handler) = (TlsAcceptor::from(tls.clone()), handler.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(tcp).await else { return };
                let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
                let service = service_fn(move |request| {
                    let answer = handler(name.clone(), request);
                    async move { Ok::<_, std::convert::Infallible>(answer.await) }
                });
                // A client that goes away in the middle is what this is all about.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(address)
}
