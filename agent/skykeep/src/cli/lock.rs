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
    registry::{Reference, Registry, RegistryError},
};

use super::{Owner, upstream};
use crate::console::lines::Output;

#[derive(clap::Args)]
pub struct LockArgs {
    /// The owner's part: castle.yaml says which Kubernetes, ca.pem (if there) whom to trust; castle.lock is written there
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    castle: PathBuf,
    /// Pin this instead of the upstreams' files: a lock file whose hashes, sizes and digests may be empty
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Copy all of it, and the images that the repository names, into the bucket that castle.yaml names as `mirror`
    #[arg(long)]
    mirror: bool,
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
        for name in own.map(|p| &p.image).filter(|image| !image.is_empty()) {
            if template.images.iter().all(|i| i.name != *name) {
                template.images.push(Image {
                    name: name.clone(),
                    digest: String::new(),
                    blobs: Vec::new(),
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
    write(&to, &lock)?;
    if args.mirror {
        copy(&args).await?;
    }
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
    artifact.sha256 = hex::encode(hash.finalize());
    artifact.size = size;
    eprintln!("{}  {}  {}", artifact.name, artifact.sha256, artifact.size);
    Ok(artifact)
}

async fn image(http: reqwest::Client, mut image: Image) -> Result<Image, Trouble> {
    let unreachable = |e: RegistryError| unreachable(&image.name, e.to_string());
    let reference = Reference::parse(&image.name).map_err(unreachable)?;
    let asked = Registry::of(&http, &reference.host, None).digest(&reference).await;
    image.digest = asked.map_err(unreachable)?;
    eprintln!("{}  {}", image.name, image.digest);
    Ok(image)
}

/// Fills the mirror that castle.yaml names with what castle.lock pins and the repository names, and pins the latter too.
async fn copy(args: &LockArgs) -> Result<(), Trouble> {
    let owner = Owner {
        castle: args.castle.clone(),
        from: None,
        ca: None,
        output: Output::Text,
    };
    let estate = super::castle::open(&owner).await?;
    let (progress, printer) = super::castle::speak(&owner);
    let copied = skykeep_rebirth::mirror::fill(&estate, &progress).await;
    drop(progress);
    let _ = printer.await;
    let (lock, filled) = copied?;
    write(&args.castle.join("castle.lock"), &lock)?;
    println!(
        "the mirror holds {} copies; {} were written now, {} bytes",
        filled.copies, filled.written, filled.bytes
    );
    Ok(())
}

fn write(to: &Path, lock: &Lock) -> Result<(), Explained> {
    let text = serde_json::to_string_pretty(lock).unwrap_or_default() + "\n";
    Lock::parse(&text)?;
    std::fs::write(to, text).map_err(|e| Explained {
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
    Ok(())
}
