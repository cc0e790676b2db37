//! What there is in the project.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Instant};

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::Value;

use crate::labels::Labels;

#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub id: u64,
    pub name: String,
    pub labels: Labels,
    pub range: Ipv4Net,
    pub subnets: Vec<(Ipv4Net, String)>,
    pub created: Timestamp,
}

/// One rule of a firewall, as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Firewall {
    pub id: u64,
    pub name: String,
    pub labels: Labels,
    pub rules: Vec<Value>,
    pub created: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub id: u64,
    pub name: String,
    pub labels: Labels,
    pub created: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub id: u64,
    pub name: String,
    pub labels: Labels,
    pub status: &'static str,
    /// The action that has locked it.
    pub locked: bool,
    pub location: String,
    pub kind: String,
    pub public: Option<Ipv4Addr>,
    pub private: Option<(u64, Ipv4Addr)>,
    pub firewalls: Vec<u64>,
    pub group: Option<u64>,
    pub user_data: String,
    pub created: Timestamp,
    /// Whether the backend has a machine for it.
    pub machine: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Balancer {
    pub id: u64,
    pub name: String,
    pub labels: Labels,
    pub location: String,
    pub algorithm: String,
    pub public: Ipv4Addr,
    pub public_interface: bool,
    pub private: Option<(u64, Ipv4Addr)>,
    /// As they were sent, defaults filled in.
    pub services: Vec<Value>,
    pub targets: Vec<Target>,
    pub locked: bool,
    pub created: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Server { id: u64, private: bool },
    Selector { selector: String, private: bool },
}

/// What an action does when its time has come.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Nothing,
    Created(u64),
    SwitchOn(u64),
    SwitchOff(u64),
    Delete(u64),
    Join(u64, u64, Ipv4Addr),
    Leave(u64),
    JoinBalancer(u64, u64, Ipv4Addr),
    LeaveBalancer(u64),
    DeleteBalancer(u64),
    Unlock(u64),
}

#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub id: u64,
    pub command: &'static str,
    pub status: &'static str,
    pub resources: Vec<(u64, &'static str)>,
    pub error: Option<(&'static str, &'static str)>,
    pub started: Timestamp,
    pub finished: Option<Timestamp>,
    pub due: Instant,
    pub effect: Effect,
    pub fails: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    last_id: u64,
    pub networks: BTreeMap<u64, Network>,
    pub firewalls: BTreeMap<u64, Firewall>,
    pub groups: BTreeMap<u64, Group>,
    pub servers: BTreeMap<u64, Server>,
    pub balancers: BTreeMap<u64, Balancer>,
    pub actions: BTreeMap<u64, Action>,
}

impl State {
    pub fn id(&mut self) -> u64 {
        self.last_id += 1;
        4_711_000 + self.last_id
    }

    /// The lowest free public address.
    pub fn public(&self, (first, last): (Ipv4Addr, Ipv4Addr)) -> Option<Ipv4Addr> {
        let used: Vec<Ipv4Addr> = self
            .servers
            .values()
            .filter_map(|s| s.public)
            .chain(self.balancers.values().map(|b| b.public))
            .collect();
        (u32::from(first)..=u32::from(last))
            .map(Ipv4Addr::from)
            .find(|a| !used.contains(a))
    }

    /// Every address that a member of a network has or is about to get.
    pub fn members(&self, network: u64) -> Vec<Ipv4Addr> {
        let servers = self.servers.values().filter_map(|s| s.private);
        let balancers = self.balancers.values().filter_map(|b| b.private);
        let coming = self.actions.values().filter(|a| a.status == "running");
        let coming = coming.filter_map(|a| match a.effect {
            Effect::Join(_, net, ip) | Effect::JoinBalancer(_, net, ip) => Some((net, ip)),
            _ => None,
        });
        let all = servers.chain(balancers).chain(coming);
        all.filter(|(net, _)| *net == network).map(|(_, ip)| ip).collect()
    }

    /// An address in a network: the wanted one, or a free one. The first of a subnet is its gateway.
    pub fn address(&self, network: &Network, wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let used = self.members(network.id);
        let free = |ip: &Ipv4Addr| !used.contains(ip);
        let mut hosts = network.subnets.iter().flat_map(|(range, _)| range.hosts().skip(1));
        match wanted {
            Some(ip) => hosts.find(|host| *host == ip).filter(free),
            // Which one is Hetzner's choice; the laboratory's own resolver sits at the second.
            None => hosts.skip(3).find(free),
        }
    }
}
