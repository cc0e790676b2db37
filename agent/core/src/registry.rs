//! Registries of container images, as the distribution specification has them: which digest a name has, and what an image consists of.

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{explain::chain, lock::Blob, secret::Secret};

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
const DIGEST: &str = "docker-content-digest";
/// Largest manifest that is read.
const MAX_MANIFEST: usize = 4 * 1024 * 1024;

/// Why a registry did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The text names no image.
    #[error("`{0}` names no image")]
    Name(String),
    /// No answer at all.
    #[error("{host} can't be reached: {why}")]
    Unreachable {
        /// The registry.
        host: String,
        /// The cause.
        why: String,
    },
    /// An answer that is a refusal.
    #[error("{host} answered {status}")]
    Refused {
        /// The registry.
        host: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// An answer that is no image.
    #[error("what {host} gave can't be used: {why}")]
    Rubbish {
        /// The registry.
        host: String,
        /// What is wrong.
        why: String,
    },
}

impl RegistryError {
    /// Whether the same may be answered otherwise a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Name(_) | Self::Rubbish { .. } => false,
        }
    }
}

/// An image's name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The registry's host as the name says it.
    pub host: String,
    /// The repository at that host.
    pub repository: String,
    /// Tag or digest.
    pub version: String,
}

impl Reference {
    /// Reads a name as container runtimes do: `nginx` is `docker.io/library/nginx:latest`.
    pub fn parse(name: &str) -> Result<Self, RegistryError> {
        let bad = || RegistryError::Name(name.to_owned());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(bad());
        }
        let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
        let (host, rest) = match name.split_once('/') {
            Some((host, rest)) if is_host(host) => (host.to_owned(), rest.to_owned()),
            Some(_) => ("docker.io".to_owned(), name.to_owned()),
            None => ("docker.io".to_owned(), format!("library/{name}")),
        };
        let (repository, version) = match (rest.split_once('@'), rest.rsplit_once(':')) {
            (Some((tagged, digest)), _) => (tagged.split(':').next().unwrap_or(tagged), digest),
            (None, Some((repository, tag))) => (repository, tag),
            (None, None) => (rest.as_str(), "latest"),
        };
        if repository.is_empty() || version.is_empty() || version.contains('/') {
            return Err(bad());
        }
        Ok(Reference {
            host,
            repository: repository.to_owned(),
            version: version.to_owned(),
        })
    }

    /// The whole name, as container runtimes keep it.
    pub fn full(&self) -> String {
        let mark = if self.version.contains(':') { '@' } else { ':' };
        format!("{}/{}{mark}{}", self.host, self.repository, self.version)
    }
}

/// The host that answers for a registry: Docker's own answers elsewhere than its name says.
pub fn server(host: &str) -> &str {
    match host {
        "docker.io" => "registry-1.docker.io",
        host => host,
    }
}

/// User name and password at a registry.
pub struct Login {
    /// User name.
    pub username: Secret,
    /// Password or token.
    pub password: Secret,
}

/// A place where a registry is asked.
pub struct Registry<'a> {
    http: &'a reqwest::Client,
    /// Up to and with `/v2` or what a mirror has in its place.
    base: String,
    login: Option<&'a Login>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    manifests: Vec<Part>,
    config: Option<Part>,
    #[serde(default)]
    layers: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

impl From<Part> for Blob {
    fn from(part: Part) -> Self {
        Blob {
            digest: part.digest,
            size: part.size,
            media_type: part.media_type,
        }
    }
}

impl<'a> Registry<'a> {
    /// The registry that serves names of this host.
    pub fn of(http: &'a reqwest::Client, host: &str, login: Option<&'a Login>) -> Self {
        Registry {
            http,
            base: format!("https://{}/v2", server(host)),
            login,
        }
    }

    /// A mirror of it, at the address that nodes ask.
    pub fn mirror(http: &'a reqwest::Client, mirror: &url::Url, login: Option<&'a Login>) -> Self {
        let base = mirror.as_str().trim_end_matches('/');
        Registry {
            http,
            base: match mirror.path() {
                "/" => format!("{base}/v2"),
                _ => base.to_owned(),
            },
            login,
        }
    }

    fn host(&self) -> String {
        let rest = self.base.trim_start_matches("https://");
        rest.split('/').next().unwrap_or(rest).to_owned()
    }

    /// The digest that a name has now. Costs no pull.
    pub async fn digest(&self, reference: &Reference) -> Result<String, RegistryError> {
        let path = format!("manifests/{}", reference.version);
        let answer = self.ask(Method::HEAD, &reference.repository, &path).await?;
        let digest = answer.headers().get(DIGEST).and_then(|v| v.to_str().ok());
        digest
            .map(str::to_owned)
            .ok_or_else(|| self.rubbish("it names no digest"))
    }

    /// What this image consists of on our kind of machine, the object of its own digest first, and the small ones' contents.
    pub async fn parts(
        &self,
        reference: &Reference,
        digest: &str,
    ) -> Result<(Vec<Blob>, Vec<(String, Bytes)>), RegistryError> {
        let mut blobs = Vec::new();
        let mut contents = Vec::new();
        let mut wanted = digest.to_owned();
        // An index leads to a manifest, and that to nothing of its kind.
        for _ in 0..2 {
            let path = format!("manifests/{wanted}");
            let answer = self.ask(Method::GET, &reference.repository, &path).await?;
            let told = answer.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
            let told = told.unwrap_or_default().to_owned();
            let bytes = self.body(answer, &wanted, MAX_MANIFEST).await?;
            let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| self.rubbish(&e.to_string()))?;
            blobs.push(Blob {
                digest: wanted.clone(),
                size: bytes.len() as u64,
                media_type: if manifest.media_type.is_empty() {
                    told
                } else {
                    manifest.media_type
                },
            });
            contents.push((wanted, bytes));
            if let Some(config) = manifest.config {
                blobs.push(config.into());
                blobs.extend(manifest.layers.into_iter().map(Blob::from));
                return Ok((blobs, contents));
            }
            let ours = |part: &&Part| {
                let platform = part.platform.as_ref();
                platform.is_some_and(|p| p.os == "linux" && p.architecture == "amd64")
            };
            let found = manifest.manifests.iter().find(ours);
            wanted = found
                .map(|part| part.digest.clone())
                .ok_or_else(|| self.rubbish("there is none for linux/amd64"))?;
        }
        Err(self.rubbish("its index leads to another index"))
    }

    /// A part's content, proven by its digest.
    pub async fn blob(&self, reference: &Reference, blob: &Blob) -> Result<Bytes, RegistryError> {
        let path = format!("blobs/{}", blob.digest);
        let answer = self.ask(Method::GET, &reference.repository, &path).await?;
        let most = usize::try_from(blob.size).unwrap_or(usize::MAX);
        self.body(answer, &blob.digest, most).await
    }

    async fn body(&self, mut answer: Response, digest: &str, most: usize) -> Result<Bytes, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.unreachable(e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > most {
                return Err(self.rubbish(&format!("{digest} has more than {most} bytes")));
            }
        }
        let got = hex::encode(Sha256::digest(&bytes));
        if digest != format!("sha256:{got}") {
            return Err(self.rubbish(&format!("it has the digest sha256:{got}, not {digest}")));
        }
        Ok(bytes.into())
    }

    fn rubbish(&self, why: &str) -> RegistryError {
        RegistryError::Rubbish {
            host: self.host(),
            why: why.to_owned(),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> RegistryError {
        RegistryError::Unreachable {
            host: self.host(),
            why: chain(&error.without_url()),
        }
    }

    async fn ask(&self, method: Method, repository: &str, path: &str) -> Result<Response, RegistryError> {
        let url = format!("{}/{repository}/{path}", self.base);
        let request = || {
            self.http
                .request(method.clone(), &url)
                .header(header::ACCEPT, MANIFESTS)
        };
        let mut answer = request().send().await.map_err(|e| self.unreachable(e))?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            let challenge = answer.headers().get(header::WWW_AUTHENTICATE);
            let challenge = challenge.and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
            let again = match (challenge.to_ascii_lowercase().starts_with("bearer"), self.login) {
                (true, _) => request().bearer_auth(self.token(&challenge, repository).await?),
                (false, Some(login)) => with(request(), login),
                (false, None) => request(),
            };
            answer = again.send().await.map_err(|e| self.unreachable(e))?;
        }
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status => Err(RegistryError::Refused {
                host: self.host(),
                status,
            }),
        }
    }

    /// The token that a registry gives for pulling: to anybody, or to who proves himself.
    async fn token(&self, challenge: &str, repository: &str) -> Result<String, RegistryError> {
        let part = |name: &str| {
            let rest = challenge.split(&format!("{name}=\"")).nth(1);
            rest.and_then(|t| t.split('"').next()).unwrap_or_default().to_owned()
        };
        let (realm, service) = (part("realm"), part("service"));
        let url = format!("{realm}?service={service}&scope=repository:{repository}:pull");
        let request = self.http.get(&url);
        let request = match self.login {
            Some(login) => with(request, login),
            None => request,
        };
        let answer = request.send().await.map_err(|e| self.unreachable(e))?;
        if !answer.status().is_success() {
            return Err(RegistryError::Refused {
                host: self.host(),
                status: answer.status(),
            });
        }
        let answer: serde_json::Value = answer.json().await.map_err(|e| self.unreachable(e))?;
        let token = answer.get("token").or_else(|| answer.get("access_token"));
        let token = token.and_then(|t| t.as_str()).map(str::to_owned);
        token.ok_or_else(|| self.rubbish("its answer holds no token"))
    }
}

fn with(request: reqwest::RequestBuilder, login: &Login) -> reqwest::RequestBuilder {
    request.basic_auth(
        login.username.expose_str().unwrap_or_default(),
        login.password.expose_str(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_container_runtimes_read_them() {
        let full = |name: &str| Reference::parse(name).map(|r| r.full()).map_err(|e| e.to_string());
        assert_eq!(full("nginx").unwrap(), "docker.io/library/nginx:latest");
        assert_eq!(full("rossi/shop:2").unwrap(), "docker.io/rossi/shop:2");
        assert_eq!(full("ghcr.io/a/b/c:v1").unwrap(), "ghcr.io/a/b/c:v1");
        assert_eq!(full("localhost:5000/a").unwrap(), "localhost:5000/a:latest");
        assert_eq!(full("quay.io/a/b:1@sha256:00").unwrap(), "quay.io/a/b@sha256:00");
        assert!(full("{{ .Values.image }}").is_err() && full("").is_err() && full("a:").is_err());
    }

    #[test]
    fn a_mirror_is_asked_where_its_address_says() {
        let http = crate::http::Trust::public()
            .http(std::time::Duration::from_secs(1))
            .unwrap();
        let base = |url: &str| Registry::mirror(&http, &url.parse().unwrap(), None).base;
        assert_eq!(base("https://mirror.example"), "https://mirror.example/v2");
        assert_eq!(base("https://mirror.example/v2/hub/"), "https://mirror.example/v2/hub");
    }
}
