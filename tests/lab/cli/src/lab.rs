//! A whole laboratory: internet, cloud, machines.

use std::{net::Ipv4Addr, path::PathBuf, process::Command, sync::Arc};

use anyhow::{Context, Result, ensure};
use lab_vpc::{Hypervisor, HypervisorConfig, Internet};
use lab_world::{World, WorldConfig};

use crate::places::Places;

/// One machine.
pub struct Machine {
    /// Its id at the hypervisor.
    pub id: String,
    /// Its private address.
    pub address: Ipv4Addr,
    /// `cp1`, `w1`...
    pub name: String,
}

/// Everything that runs. Ended by [`Lab::stop`].
pub struct Lab {
    /// The internet.
    pub world: World,
    /// AWS's double.
    pub cloud: Arc<lab_ec2::Cloud>,
    /// Hetzner's double. A run uses one of the two; the other stays empty.
    pub hetzner: Arc<lab_hetzner::Cloud>,
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
        let at_hetzner = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let world = World::start(WorldConfig {
            cache: places.cache.clone(),
            work_dir: places.work.join("world"),
            registry_root: places.cache.join("registry"),
            artifacts_root: places.cache.join("artifacts"),
            castle_repo_dir: places.tree.join("tests/castle/repo"),
            site_generator: places.tree.join("tests/castle/site/generate"),
            longhorn: Some(places.tree.join("agent/restore/tests/longhorn/store")),
            database_maker: Some(places.tree.join("tests/castle/database/make")),
            upstream_aws: listener.local_addr()?,
            upstream_hetzner: at_hetzner.local_addr()?,
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
        let user = |name, id, secret| lab_ec2::Credential::user(&config.account, name, id, secret);
        config.credentials = vec![
            user("skykeep", &keys.aws_access_key_id, &keys.aws_secret_access_key),
            user("keys", &keys.keys_access_key_id, &keys.keys_secret_access_key),
            user("old-castle", &keys.old_access_key_id, &keys.old_secret_access_key),
        ];
        let cloud = lab_ec2::Cloud::start(config, machines.clone());
        let router = cloud.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = lab_hetzner::Config {
            tokens: vec![lab_hetzner::Token {
                secret: keys.hcloud_token.clone(),
                read_only: false,
            }],
            ..lab_hetzner::Config::default()
        };
        let hetzner = lab_hetzner::Cloud::start(config, machines.clone());
        let router = hetzner.router();
        tokio::spawn(async move { axum::serve(at_hetzner, router).await });
        Ok(Lab {
            world,
            cloud,
            hetzner,
            machines,
            _claim: claim,
        })
    }

    /// Every machine of whatever cloud.
    pub fn instances(&self) -> Vec<Machine> {
        let tagged = self.cloud.instances().into_iter().map(|(id, address, _, tags)| {
            let name = tags.get("Name").cloned().unwrap_or_default();
            (id, address, name)
        });
        let named = self
            .hetzner
            .machines()
            .into_iter()
            .map(|(id, address, _, name)| (id, address, name));
        let all = tagged.chain(named);
        all.map(|(id, address, name)| Machine {
            id,
            address,
            name: name.rsplit('-').next().unwrap_or_default().to_owned(),
        })
        .collect()
    }

    /// The public address of each machine.
    pub fn public_addresses(&self) -> Vec<Ipv4Addr> {
        [self.cloud.public_addresses(), self.hetzner.public_addresses()].concat()
    }

    /// Everything that exists at whatever cloud.
    pub fn inventory(&self) -> Vec<String> {
        [self.cloud.inventory(), self.hetzner.inventory()].concat()
    }

    /// What went wrong behind the APIs.
    pub fn events(&self) -> Vec<String> {
        [self.cloud.events(), self.hetzner.events()].concat()
    }

    /// Ends machines, cloud and internet, in this order.
    pub async fn stop(self) -> Result<()> {
        let (cloud, hetzner, machines) = (self.cloud, self.hetzner, self.machines);
        tokio::task::spawn_blocking(move || {
            cloud.shutdown();
            hetzner.shutdown();
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
