//! A backend that only remembers: for tests of the double itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::{Backend, Balancer, InstanceRules, InstanceSpec};

/// What the backend was told.
#[derive(Debug, Default, Clone)]
pub struct Memory {
    /// Networks.
    pub vpcs: BTreeMap<String, Ipv4Net>,
    /// Instances that run.
    pub instances: BTreeMap<String, InstanceSpec>,
    /// Last rules of each network.
    pub firewall: BTreeMap<String, Vec<InstanceRules>>,
    /// Last public addresses of each network.
    pub public: BTreeMap<String, Vec<(Ipv4Addr, Ipv4Addr)>>,
    /// Last routes of each network.
    pub routes: BTreeMap<String, (Vec<(Ipv4Net, Ipv4Addr)>, bool)>,
    /// Last load balancers of each network.
    pub balancers: BTreeMap<String, Vec<Balancer>>,
    /// Targets that are ill.
    pub ill: BTreeSet<SocketAddrV4>,
    /// What machines printed.
    pub consoles: BTreeMap<String, String>,
    /// The sentence with which the next launch fails.
    pub fail_launch: Option<String>,
}

/// See the module.
#[derive(Default)]
pub struct MemoryBackend {
    memory: Mutex<Memory>,
    /// How long a launch and a termination take.
    pub pace: Duration,
}

impl MemoryBackend {
    /// With this pace of launches and terminations.
    pub fn new(pace: Duration) -> Self {
        Self {
            pace,
            ..Self::default()
        }
    }

    /// Look at it, or change it.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for MemoryBackend {
    fn create_vpc(&self, id: &str, cidr: Ipv4Net) -> Result<(), String> {
        self.memory().vpcs.insert(id.to_owned(), cidr);
        Ok(())
    }

    fn delete_vpc(&self, id: &str) -> Result<(), String> {
        let mut m = self.memory();
        if m.instances.values().any(|i| i.vpc_id == id) {
            return Err(format!("{id} still has instances"));
        }
        m.vpcs.remove(id).map(|_| ()).ok_or_else(|| format!("no network {id}"))
    }

    fn launch(&self, spec: InstanceSpec) -> Result<(), String> {
        std::thread::sleep(self.pace);
        let mut m = self.memory();
        if let Some(why) = m.fail_launch.take() {
            return Err(why);
        }
        if !m.vpcs.contains_key(&spec.vpc_id) {
            return Err(format!("no network {}", spec.vpc_id));
        }
        match m.instances.insert(spec.id.clone(), spec) {
            None => Ok(()),
            Some(old) => Err(format!("{} was launched twice", old.id)),
        }
    }

    fn terminate(&self, id: &str) -> Result<(), String> {
        std::thread::sleep(self.pace);
        self.memory().instances.remove(id);
        Ok(())
    }

    fn alive(&self, id: &str) -> bool {
        self.memory().instances.contains_key(id)
    }

    fn console(&self, id: &str) -> String {
        self.memory().consoles.get(id).cloned().unwrap_or_default()
    }

    fn set_firewall(&self, vpc_id: &str, rules: Vec<InstanceRules>) -> Result<(), String> {
        self.memory().firewall.insert(vpc_id.to_owned(), rules);
        Ok(())
    }

    fn set_public_addresses(&self, vpc_id: &str, pairs: Vec<(Ipv4Addr, Ipv4Addr)>) -> Result<(), String> {
        self.memory().public.insert(vpc_id.to_owned(), pairs);
        Ok(())
    }

    fn set_routes(&self, vpc_id: &str, routes: Vec<(Ipv4Net, Ipv4Addr)>, gateway: bool) -> Result<(), String> {
        self.memory().routes.insert(vpc_id.to_owned(), (routes, gateway));
        Ok(())
    }

    fn set_balancers(&self, vpc_id: &str, balancers: Vec<Balancer>) -> Result<(), String> {
        self.memory().balancers.insert(vpc_id.to_owned(), balancers);
        Ok(())
    }

    fn target_health(&self, balancer_id: &str, port: u16) -> Vec<(SocketAddrV4, bool)> {
        let m = self.memory();
        let mut out = Vec::new();
        for l in m
            .balancers
            .values()
            .flatten()
            .filter(|b| b.id == balancer_id)
            .flat_map(|b| &b.listeners)
        {
            if l.port == port {
                out.extend(l.targets.iter().map(|t| (*t, !m.ill.contains(t))));
            }
        }
        out
    }
}
