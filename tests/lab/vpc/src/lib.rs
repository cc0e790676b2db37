//! The hypervisor and the network under the laboratory's cloud: real machines (booted Debian containers), real routers, real
//! security groups, real load balancers and a real metadata service; no cloud API. The doubles of clouds' APIs drive it (`lab_machines::Backend`).
//!
//! Every call blocks and states everything that shall be, not what changes. Needs root.

mod backend;
mod balancer;
mod cgroup;
mod health;
mod host;
mod http;
mod imds;
mod layer;
mod leftovers;
mod metadata;
mod nft;
mod node;
mod registry;
mod router;
mod spec;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ipnet::Ipv4Net;

pub use spec::{
    Balancer, HealthCheck, HypervisorConfig, InstanceRules, InstanceSpec, Internet, Listener, Protocol, Rule, Supplier,
};

use metadata::Subject;
use node::Node;
use registry::Kind;
use router::Router;

/// Makes machines and networks on this host, and takes them all away again.
pub struct Hypervisor {
    config: HypervisorConfig,
    name: String,
    folder: PathBuf,
    layer: PathBuf,
    vpcs: Mutex<BTreeMap<String, Router>>,
    ranges: Mutex<HashMap<String, Ipv4Net>>,
    nodes: Mutex<BTreeMap<String, Node>>,
    hanging: Mutex<BTreeSet<Ipv4Addr>>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hypervisor {
    /// Prepares what all nodes share. Nothing runs yet.
    pub fn new(config: HypervisorConfig) -> Result<Self> {
        ensure!(
            config.image.join("usr/lib/skylab/prepare").exists(),
            "{} is no node image",
            config.image.display()
        );
        ensure!(
            host::netns_exists(&config.internet.netns),
            "the namespace {} does not exist",
            config.internet.netns
        );
        let name = format!("hv-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = config.work.join(&name);
        fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        registry::claim(Kind::Work, &name, &folder.display().to_string())?;
        registry::raise_inotify()?;
        let layer = layer::shared(&config.image, &config.ca, &folder)?;
        Ok(Self {
            config,
            name,
            folder,
            layer,
            vpcs: Mutex::default(),
            ranges: Mutex::default(),
            nodes: Mutex::default(),
            hanging: Mutex::default(),
        })
    }

    /// Removes what dead runs left on this host; what living processes use stays.
    pub fn clean_leftovers() -> Result<()> {
        leftovers::clean(&Internet::default())
    }

    /// Makes a network and its router.
    pub fn create_vpc(&self, id: &str, cidr: Ipv4Net) -> Result<()> {
        let router =
            Router::create(&self.config, id, cidr.trunc()).with_context(|| format!("making the network {id}"))?;
        lock(&self.ranges).insert(id.to_owned(), cidr.trunc());
        lock(&self.vpcs).insert(id.to_owned(), router);
        Ok(())
    }

    /// Removes a network without instances.
    pub fn delete_vpc(&self, id: &str) -> Result<()> {
        let mut vpcs = lock(&self.vpcs);
        ensure!(
            !vpcs.get(id).with_context(|| format!("no network {id}"))?.in_use(),
            "{id} has instances"
        );
        if let Some(router) = vpcs.remove(id) {
            router.delete();
        }
        lock(&self.ranges).remove(id);
        Ok(())
    }

    fn with_vpc<T>(&self, id: &str, work: impl FnOnce(&mut Router) -> Result<T>) -> Result<T> {
        let mut vpcs = lock(&self.vpcs);
        work(vpcs.get_mut(id).with_context(|| format!("no network {id}"))?)
    }

    /// The next machine at this private address will hang: it is switched on, and then nothing ever happens in it.
    pub fn hang_next(&self, address: Ipv4Addr) {
        lock(&self.hanging).insert(address);
    }

    /// Starts a machine; returns when it has begun to boot.
    pub fn launch(&self, spec: InstanceSpec) -> Result<()> {
        registry::claim(Kind::Instance, &spec.id, &self.folder.display().to_string())?;
        let launched = self.start(&spec);
        if launched.is_err() {
            registry::release(Kind::Instance, &spec.id);
        }
        launched.with_context(|| format!("launching {}", spec.id))
    }

    fn start(&self, spec: &InstanceSpec) -> Result<()> {
        let vpc_cidr = *lock(&self.ranges)
            .get(&spec.vpc_id)
            .with_context(|| format!("no network {}", spec.vpc_id))?;
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let launched = jiff::Timestamp::from_second(i64::try_from(seconds)?)?.to_string();
        let resolver = self.with_vpc(&spec.vpc_id, |router| {
            router.attach(spec)?;
            router.directory.add(Subject {
                spec: spec.clone(),
                vpc_cidr,
                public: None,
                launched,
            });
            router.refresh_directory();
            Ok(router.resolver())
        })?;
        let hangs = lock(&self.hanging).remove(&spec.private_ip);
        match Node::start(
            spec,
            hangs,
            &self.config.image,
            &self.layer,
            &self.folder,
            &resolver.to_string(),
        ) {
            Ok(node) => {
                lock(&self.nodes).insert(spec.id.clone(), node);
                Ok(())
            }
            Err(error) => {
                self.disconnect(spec)?;
                Err(error)
            }
        }
    }

    fn disconnect(&self, spec: &InstanceSpec) -> Result<()> {
        self.with_vpc(&spec.vpc_id, |router| {
            router.directory.remove(spec.private_ip);
            router.detach(&spec.id, spec.private_ip);
            Ok(())
        })
    }

    /// Ends a machine; returns when nothing of it runs and its disk is gone.
    pub fn terminate(&self, id: &str) -> Result<()> {
        let mut node = lock(&self.nodes)
            .remove(id)
            .with_context(|| format!("no instance {id}"))?;
        let destroyed = node.destroy();
        let detached = self.disconnect(&node.spec);
        registry::release(Kind::Instance, id);
        destroyed.and(detached).with_context(|| format!("terminating {id}"))
    }

    /// Whether the machine runs.
    pub fn alive(&self, id: &str) -> bool {
        lock(&self.nodes).get(id).is_some_and(Node::alive)
    }

    /// What the machine printed on its console, also after its end.
    pub fn console(&self, id: &str) -> String {
        let bytes = fs::read(self.folder.join("console").join(id)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Runs a command inside a machine, for the laboratory's own eyes; clouds have no such thing.
    pub fn run_in(&self, id: &str, command: &[&str]) -> Result<String> {
        let leader = cgroup::leader(id)
            .with_context(|| format!("{id} does not run"))?
            .to_string();
        let mut args = vec!["nsenter", "-t", &leader, "-a", "--"];
        args.extend(command);
        host::run_args(&args, None)
    }

    /// Replaces all security groups of a network. An address that is not listed is cut off.
    pub fn set_firewall(&self, vpc_id: &str, rules: &[InstanceRules]) -> Result<()> {
        self.with_vpc(vpc_id, |router| router.set_firewall(rules))
    }

    /// Replaces all public addresses of a network: (public, private).
    pub fn set_public_addresses(&self, vpc_id: &str, addresses: &[(Ipv4Addr, Ipv4Addr)]) -> Result<()> {
        self.with_vpc(vpc_id, |router| router.set_public(addresses))
    }

    /// Replaces all routes of a network: (range, private address of the instance it leads to).
    pub fn set_routes(&self, vpc_id: &str, routes: &[(Ipv4Net, Ipv4Addr)], internet_gateway: bool) -> Result<()> {
        self.with_vpc(vpc_id, |router| router.set_routes(routes, internet_gateway))
    }

    /// Replaces all balancers of a network.
    pub fn set_balancers(&self, vpc_id: &str, balancers: &[Balancer]) -> Result<()> {
        self.with_vpc(vpc_id, |router| router.set_balancers(balancers))
    }

    /// The targets of one listener, and whether each is healthy.
    pub fn target_health(&self, balancer: &str, port: u16) -> Vec<(SocketAddrV4, bool)> {
        lock(&self.vpcs)
            .values()
            .flat_map(|router| router.target_health(balancer, port))
            .collect()
    }

    /// Everything this hypervisor made, gone. An error names what is not.
    pub fn shutdown_all(&self) -> Result<()> {
        let ids: Vec<String> = lock(&self.nodes).keys().cloned().collect();
        let mut failures: Vec<String> = thread::scope(|scope| {
            let ends: Vec<_> = ids.iter().map(|id| scope.spawn(|| self.terminate(id))).collect();
            ends.into_iter()
                .filter_map(|end| end.join().unwrap_or_else(|_| Err(anyhow!("a thread died"))).err())
                .map(|error| format!("{error:#}"))
                .collect()
        });
        for (_, router) in std::mem::take(&mut *lock(&self.vpcs)) {
            router.delete();
        }
        layer::unmount_below(&self.folder);
        if self.folder.exists()
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            failures.push(format!("removing {}: {error}", self.folder.display()));
        }
        registry::restore_inotify();
        if !failures.is_empty() {
            bail!("not everything is gone: {}", failures.join("; "));
        }
        registry::release(Kind::Work, &self.name);
        Ok(())
    }
}

impl Drop for Hypervisor {
    fn drop(&mut self) {
        let _ = self.shutdown_all();
    }
}
