//! The world as its users meet it. Needs root, SKYKEEP_CACHE and the packages of tests/install-needs:
//! `tests/lab/world/alone cargo test -p lab-world --test live -- --ignored`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use lab_world::faults::{Fault, Rule};
use lab_world::{World, WorldConfig, ns};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and the laboratory's cache"]
async fn a_world_starts_answers_obeys_faults_and_ends() -> Result<()> {
    let cache = PathBuf::from(std::env::var_os("SKYKEEP_CACHE").context("SKYKEEP_CACHE is not set")?);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let work_dir = cache.join(format!("run/live-{}", std::process::id()));
    let config = WorldConfig {
        work_dir: work_dir.clone(),
        registry_root: cache.join("no registry"),
        artifacts_root: cache.join("no artifacts"),
        castle_repo_dir: tests.join("castle/site"),
        site_generator: tests.join("castle/site/generate"),
        longhorn: None,
        database_maker: Some(tests.join("castle/database/make")),
        upstream_aws: "127.0.0.1:9".parse()?,
        upstream_hetzner: "127.0.0.1:9".parse()?,
        cache,
    };
    let world = World::start(config.clone()).await?;
    let database = world.database().context("no database was made")?;
    assert!(database.orders.starts_with("6500 "), "{}", database.orders);
    assert!(
        database.list("").await? == database.objects && database.list("nowhere/").await?.trim() != database.objects
    );

    // A second world must not take the first one's place.
    let second = World::start(config).await.err().context("a second world started")?;
    assert!(second.to_string().contains("another laboratory is running"), "{second}");

    let visit = world.visitor_get("https://www.debian.org/").await?;
    assert_eq!((visit.status, visit.address.as_str()), (200, ns::FRONT));
    assert!(
        world.visitor_get("https://blog.rossi.example/").await.is_err(),
        "the old castle burnt down"
    );
    assert_eq!(
        world
            .visitor_get("https://ec2.eu-central-1.amazonaws.com/")
            .await?
            .status,
        502
    );

    let rule = |fault| Rule {
        host: "debian".into(),
        method: String::new(),
        path: String::new(),
        after: 0,
        times: 1,
        fault,
    };
    world.faults().order(rule(Fault::Status {
        code: 503,
        body: "no".into(),
        retry_after: Some(1),
    }));
    assert_eq!(world.visitor_get("https://www.debian.org/").await?.status, 503);
    world.faults().order(rule(Fault::LoseAnswer));
    assert!(world.visitor_get("https://www.debian.org/").await.is_err());
    assert_eq!(world.visitor_get("https://www.debian.org/").await?.status, 200);

    let front = world.port_scan(ns::FRONT.parse()?, 1..=65535).await?;
    assert_eq!(front.open_tcp.into_iter().collect::<Vec<_>>(), [443]);
    let resolver = world.port_scan(ns::RESOLVER.parse()?, 1..=1023).await?;
    assert!(
        resolver.open_tcp.contains(&53) && resolver.answering_udp.contains(&53),
        "{resolver:?}"
    );
    let host = world.port_scan("203.0.113.91".parse()?, 1..=65535).await?;
    assert!(host.open_tcp.is_empty() && host.refused_tcp == 65535, "{host:?}");

    world.check()?;
    let victim = world.pid("unbound").context("no unbound")?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(victim)?),
        nix::sys::signal::Signal::SIGKILL,
    )?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let words = world.check().err().context("a dead server went unnoticed")?.to_string();
    assert!(words.contains("unbound"), "{words}");

    world.stop().await;
    assert!(!Path::new("/run/netns/sk-inet").exists());
    std::fs::remove_dir_all(work_dir)?;
    Ok(())
}
