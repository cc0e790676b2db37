//! The one HTTP client: rustls with ring, public roots compiled in, the owner's extra CAs, deadlines.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use url::Url;

use crate::explain::{Explained, chain};
use crate::way::Way;

/// Which certificate authorities we believe, and the way that leads to the others.
#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    extra: Vec<CertificateDer<'static>>,
    pem: String,
    way: Way,
}

impl Trust {
    /// The public roots only.
    pub fn public() -> Self {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        Trust {
            roots: Arc::new(roots),
            extra: Vec::new(),
            pem: String::new(),
            way: Way::default(),
        }
    }

    /// The public roots and the certificates of a PEM file.
    pub fn with_extra_pem(pem: &[u8]) -> Result<Self, Explained> {
        let problem = |why: String| Explained {
            what: "The owner's extra CAs (ca.pem) can't be used".into(),
            why,
            remedy: "Put only PEM certificates of CAs into ca.pem, or leave the file out.".into(),
        };
        let mut trust = Trust::public();
        let mut roots = RootCertStore {
            roots: trust.roots.roots.clone(),
        };
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| problem(e.to_string()))?;
            roots.add(certificate.clone()).map_err(|e| problem(e.to_string()))?;
            trust.extra.push(certificate);
        }
        trust.roots = Arc::new(roots);
        trust.pem = String::from_utf8_lossy(pem).into_owned();
        Ok(trust)
    }

    /// The same, on this way out.
    pub fn by(&self, way: Way) -> Self {
        Trust { way, ..self.clone() }
    }

    /// The way out.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// The way out as an HTTP client of this kind takes it.
    pub fn proxy(&self) -> Result<Option<reqwest::Proxy>, Explained> {
        let proxy = self
            .way
            .proxy
            .as_ref()
            .map(|proxy| reqwest::Proxy::https(proxy.to_string()));
        proxy.transpose().map_err(|e| build_problem(&chain(&e)))
    }

    /// The roots, public and extra.
    pub fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    /// The extra CAs as the PEM text they came in; empty when there are none.
    pub fn extra_pem(&self) -> &str {
        &self.pem
    }

    /// The extra CAs, DER.
    pub fn extra_der(&self) -> &[CertificateDer<'static>] {
        &self.extra
    }

    /// A rustls client configuration with these roots (ring provider, TLS 1.2 and 1.3).
    pub fn tls(&self) -> Result<ClientConfig, Explained> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| build_problem(&e.to_string()))?;
        Ok(builder.with_root_certificates(self.roots.clone()).with_no_client_auth())
    }

    /// An HTTP client: connect within 10 s, a whole request within `limit`, no proxy but our own way's, no redirects to plain HTTP.
    pub fn http(&self, limit: Duration) -> Result<reqwest::Client, Explained> {
        finish(self.builder(limit)?)
    }

    /// The same for long answers: one that is silent for so long is given up before its limit.
    pub fn http_for_much(&self, limit: Duration, silence: Duration) -> Result<reqwest::Client, Explained> {
        finish(self.builder(limit)?.read_timeout(silence))
    }

    /// The same, but requests for `host` go to `address` without asking DNS. Through a proxy that is [`crate::pinned::get`]'s.
    pub fn http_at(&self, limit: Duration, host: &str, address: SocketAddr) -> Result<reqwest::Client, Explained> {
        finish(self.builder(limit)?.resolve(host, self.way.address(address)))
    }

    fn builder(&self, limit: Duration) -> Result<reqwest::ClientBuilder, Explained> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls()?)
            .connect_timeout(Duration::from_secs(10))
            .timeout(limit)
            .https_only(true)
            .no_proxy()
            .user_agent(concat!("skykeep/", env!("CARGO_PKG_VERSION")));
        Ok(match self.proxy()? {
            Some(proxy) => builder.proxy(proxy),
            None => builder,
        })
    }
}

/// A small file at an address, or `None` when there is none. The error says why, without the address: its query may be a
/// signature. Nothing beyond `most` bytes is kept.
pub async fn download(http: &reqwest::Client, url: Url, most: usize) -> Result<Option<Vec<u8>>, String> {
    let unreachable = |e: reqwest::Error| chain(&e.without_url());
    let mut answer = http.get(url).send().await.map_err(unreachable)?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !answer.status().is_success() {
        return Err(format!("it answered {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(unreachable)? {
        bytes.extend_from_slice(&part);
        if bytes.len() > most {
            return Err(format!("it is longer than the {most} bytes that are read"));
        }
    }
    Ok(Some(bytes))
}

fn finish(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Explained> {
    builder.build().map_err(|e| build_problem(&chain(&e)))
}

fn build_problem(why: &str) -> Explained {
    Explained {
        what: "The HTTPS client can't be built".into(),
        why: why.to_owned(),
        remedy: "This is a fault of the program: please report it with this text.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_can_be_built_without_any_file_of_the_system() {
        assert!(Trust::public().http(Duration::from_secs(5)).is_ok());
    }

    #[test]
    fn rubbish_in_ca_pem_is_an_error_and_not_ignored() {
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Trust::with_extra_pem(pem).is_err());
    }
}
