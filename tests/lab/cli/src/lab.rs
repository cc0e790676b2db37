//! A whole laboratory: internet, cloud, machines.

use std::{path::PathBuf, process::Command, sync::Arc};

use anyhow::{Context, Result, ensure};
use lab_vpc::{Hypervisor, HypervisorConfig, Internet};
use lab_world::{World, WorldConfig};

use crate::{backend::Machines, places::Places};

/// Everything that runs. Ended by [`Lab::stop`].
pub struct Lab {
    /// The internet.
    pub world: World,
    /// The cloud's API double.
    pub cloud: Arc<lab_ec2::Cloud>,
    /// The machines.
    pub machines: Arc<Hypervisor>,
    /// Names of namespaces are the machine's: only one laboratory at a time.
    _claim: std::fs::File,
}

impl Lab {
    /// Starts it; what a dead earlier run left behind is taken away first.
    pub async fn start(places: &Places) -> Result<Self> {
        let claim = std::fs::File::create(places.cache.join("run/claim"))?;
        claim
            .try_lock()
            .context("another laboratory runs on this machine; wait for its end")?;
        tokio::task::spawn_blocking(Hypervisor::clean_leftovers).await??;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let world = World::start(WorldConfig {
            cache: places.cache.clone(),
            work_dir: places.work.join("world"),
            registry_root: places.cache.join("registry"),
            artifacts_root: places.cache.join("artifacts"),
            castle_repo_dir: places.tree.join("tests/castle/repo"),
            site_generator: places.tree.join("tests/castle/site/generate"),
            database_maker: Some(places.tree.join("tests/castle/database/make")),
            upstream_aws: listener.local_addr()?,
        })
        .await?;
        let config = HypervisorConfig {
            image: node_image(places)?,
            work: places.work.join("machines"),
            ca: world.ca_pem().to_owned(),
            dns: "203.0.113.53".parse()?,
            internet: Internet::default(),
        };
        std::fs::create_dir_all(&config.work)?;
        let machines = Arc::new(tokio::task::spawn_blocking(move || Hypervisor::new(config)).await??);
        let mut config = lab_ec2::Config {
            delays: places.delays.clone(),
            ..lab_ec2::Config::default()
        };
        let keys = world.credentials();
        config.credentials = vec![lab_ec2::Credential::user(
            &config.account,
            "skykeep",
            &keys.aws_access_key_id,
            &keys.aws_secret_access_key,
        )];
        let cloud = lab_ec2::Cloud::start(config, Arc::new(Machines(machines.clone())));
        let router = cloud.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Lab {
            world,
            cloud,
            machines,
            _claim: claim,
        })
    }

    /// Ends machines, cloud and internet, in this order.
    pub async fn stop(self) -> Result<()> {
        let (cloud, machines) = (self.cloud, self.machines);
        tokio::task::spawn_blocking(move || {
            cloud.shutdown();
            machines.shutdown_all()
        })
        .await??;
        self.world.stop().await;
        Ok(())
    }
}

fn node_image(places: &Places) -> Result<PathBuf> {
    let out = Command::new(places.tree.join("tests/lab/node/build"))
        .env("SKYKEEP_CACHE", &places.cache)
        .output()
        .context("tests/lab/node/build")?;
    ensure!(
        out.status.success(),
        "tests/lab/node/build: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(PathBuf::from(String::from_utf8(out.stdout)?.trim()))
}
