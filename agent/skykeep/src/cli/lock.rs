//! `skykeep lock`: fetches every artifact of a castle once and pins it by its hash; asks the registries for digests.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use skykeep_core::{
    Explained, Trouble,
    castle::Castle,
    explain::chain,
    http::Trust,
    lock::{Artifact, Image, Lock},
};

use super::upstream;

#[derive(clap::Args)]
pub struct LockArgs {
    /// The owner's part: castle.yaml says which Kubernetes, ca.pem (if there) whom to trust; castle.lock is written there
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    castle: PathBuf,
    /// Pin this instead of the upstreams' files: a lock file whose hashes, sizes and digests may be empty
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

fn read(path: &Path) -> Result<Vec<u8>, Explained> {
    std::fs::read(path).map_err(|e| Explained {
        what: format!("{} can't be read", path.display()),
        why: e.to_string(),
        remedy: "Check the path.".into(),
    })
}

fn wanted(args: &LockArgs) -> Result<Lock, Trouble> {
    let Some(from) = &args.from else {
        let castle = Castle::parse(&String::from_utf8_lossy(&read(&args.castle.join("castle.yaml"))?))?;
        let mut template = upstream::template(&castle.cluster.kubernetes)?;
        // Restores run in the owners' own images.
        let own = castle.treasures.iter().filter_map(|t| t.postgres.as_ref());
        for name in own.map(|p| &p.image) {
            if template.images.iter().all(|i| i.name != *name) {
                template.images.push(Image {
                    name: name.clone(),
                    digest: String::new(),
                });
            }
        }
        return Ok(template);
    };
    Ok(serde_json::from_slice(&read(from)?).map_err(|e| Explained {
        what: format!("{} can't be used", from.display()),
        why: e.to_string(),
        remedy: "It has the shape of castle.lock; hashes, sizes and digests may be empty.".into(),
    })?)
}

/// Makes the lock.
pub async fn run(args: LockArgs) -> Result<ExitCode, Trouble> {
    let mut lock = wanted(&args)?;
    let ca = args.castle.join("ca.pem");
    let trust = if ca.exists() {
        Trust::with_extra_pem(&read(&ca)?)?
    } else {
        Trust::public()
    };
    let to = args.castle.join("castle.lock");
    if lock.prices.is_none() && to.exists() {
        // The owner's own; a lock that can't be read any more is made anew without.
        lock.prices = Lock::parse(&String::from_utf8_lossy(&read(&to)?))
            .ok()
            .and_then(|old| old.prices);
    }
    let http = trust.http(Duration::from_secs(900))?;
    lock.artifacts = futures::stream::iter(lock.artifacts)
        .map(|a| artifact(http.clone(), a))
        .buffered(4)
        .try_collect()
        .await?;
    lock.images = futures::stream::iter(lock.images)
        .map(|i| image(http.clone(), i))
        .buffered(4)
        .try_collect()
        .await?;
    let text = serde_json::to_string_pretty(&lock).unwrap_or_default() + "\n";
    Lock::parse(&text)?;
    std::fs::write(&to, text).map_err(|e| Explained {
        what: format!("{} can't be written", to.display()),
        why: e.to_string(),
        remedy: "Check the path and its permissions.".into(),
    })?;
    println!(
        "{}: {} artifacts, {} images",
        to.display(),
        lock.artifacts.len(),
        lock.images.len()
    );
    Ok(ExitCode::SUCCESS)
}

fn unreachable(what: &str, why: String) -> Explained {
    Explained {
        what: format!("{what} can't be fetched"),
        why,
        remedy: "Check the address in a browser, and the network.".into(),
    }
}

async fn artifact(http: reqwest::Client, mut artifact: Artifact) -> Result<Artifact, Trouble> {
    let answer = http
        .get(&artifact.url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(|e| unreachable(&artifact.url, chain(&e)))?;
    let mut hash = Sha256::new();
    let mut size = 0u64;
    let mut body = answer.bytes_stream();
    while let Some(part) = body.next().await {
        let part = part.map_err(|e| unreachable(&artifact.url, chain(&e)))?;
        size += part.len() as u64;
        hash.update(&part);
    }
    artifact.sha256 = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    artifact.size = size;
    eprintln!("{}  {}  {}", artifact.name, artifact.sha256, artifact.size);
    Ok(artifact)
}

/// The registry host that serves a name: Docker's own answers elsewhere than its name says.
fn registry(host: &str) -> &str {
    if host == "docker.io" {
        "registry-1.docker.io"
    } else {
        host
    }
}

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

async fn image(http: reqwest::Client, mut image: Image) -> Result<Image, Trouble> {
    let (host, rest) = image
        .name
        .split_once('/')
        .ok_or_else(|| unreachable(&image.name, "it has no host".into()))?;
    let (repository, tag) = rest
        .rsplit_once(':')
        .ok_or_else(|| unreachable(&image.name, "it has no tag".into()))?;
    let url = format!("https://{}/v2/{repository}/manifests/{tag}", registry(host));
    let mut answer = http
        .head(&url)
        .header("accept", MANIFESTS)
        .send()
        .await
        .map_err(|e| unreachable(&image.name, chain(&e)))?;
    if answer.status() == 401 {
        let token = anonymous_token(&http, &answer, repository).await?;
        answer = http
            .head(&url)
            .header("accept", MANIFESTS)
            .bearer_auth(token)
            .send()
            .await
            .map_err(|e| unreachable(&image.name, chain(&e)))?;
    }
    let digest = answer
        .headers()
        .get("docker-content-digest")
        .and_then(|v| v.to_str().ok());
    match digest {
        Some(digest) if answer.status().is_success() => {
            image.digest = digest.to_owned();
            eprintln!("{}  {}", image.name, image.digest);
            Ok(image)
        }
        _ => Err(unreachable(&image.name, format!("the registry answered {}", answer.status())).into()),
    }
}

/// The token that a public registry gives to anybody (the distribution specification's token flow).
async fn anonymous_token(
    http: &reqwest::Client,
    refused: &reqwest::Response,
    repository: &str,
) -> Result<String, Trouble> {
    let challenge = refused
        .headers()
        .get("www-authenticate")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let part = |name: &str| {
        challenge
            .split(&format!("{name}=\""))
            .nth(1)
            .and_then(|t| t.split('"').next())
            .unwrap_or_default()
            .to_owned()
    };
    let (realm, service) = (part("realm"), part("service"));
    let url = format!("{realm}?service={service}&scope=repository:{repository}:pull");
    let answer: serde_json::Value = async { http.get(&url).send().await?.error_for_status()?.json().await }
        .await
        .map_err(|e| unreachable(&url, chain(&e)))?;
    let token = answer
        .get("token")
        .or_else(|| answer.get("access_token"))
        .and_then(|t| t.as_str());
    token
        .map(str::to_owned)
        .ok_or_else(|| unreachable(&url, "the answer holds no token".into()).into())
}
