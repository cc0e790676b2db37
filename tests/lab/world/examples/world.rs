//! The laboratory's internet by hand: starts it, says where everything is, and ends it on Ctrl-C or SIGTERM.
//! Options: --work-dir DIR --aws ADDR:PORT --registry-root DIR --artifacts-root DIR --castle-repo DIR; SKYKEEP_CACHE is the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lab_world::{World, WorldConfig};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let cache =
        PathBuf::from(std::env::var_os("SKYKEEP_CACHE").context("set SKYKEEP_CACHE to the laboratory's cache folder")?);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut config = WorldConfig {
        work_dir: cache.join("run/world"),
        registry_root: cache.join("registry"),
        artifacts_root: cache.join("artifacts"),
        castle_repo_dir: tests.join("castle/repo"),
        site_generator: tests.join("castle/site/generate"),
        longhorn: None,
        database_maker: None,
        upstream_aws: "127.0.0.1:8470".parse()?,
        upstream_hetzner: "127.0.0.1:8471".parse()?,
        cache,
    };
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let value = args.next().with_context(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--work-dir" => config.work_dir = value.into(),
            "--aws" => config.upstream_aws = value.parse()?,
            "--hetzner" => config.upstream_hetzner = value.parse()?,
            "--registry-root" => config.registry_root = value.into(),
            "--artifacts-root" => config.artifacts_root = value.into(),
            "--castle-repo" => config.castle_repo_dir = value.into(),
            other => anyhow::bail!("unknown option {other}"),
        }
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let world = tokio::select! {
        world = World::start(config) => world?,
        _ = interrupt.recv() => anyhow::bail!("interrupted while starting"),
        _ = terminate.recv() => anyhow::bail!("interrupted while starting"),
    };
    let ready = serde_json::json!({
        "ready": true,
        "ca": world.ca_pem(),
        "commit": world.castle_commit(),
        "snapshot": world.backup().snapshot,
        "registry": world.pid("registry").is_some(),
        "index_sha256": world.backup().index_sha256,
    });
    println!("{ready}");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    world.stop().await;
    Ok(())
}
