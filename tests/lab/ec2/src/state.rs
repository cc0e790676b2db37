//! Everything that exists in the cloud. Plain data, cloned for each action so that an error changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;

use lab_machines::Protocol;

/// A network.
#[derive(Debug, Clone)]
pub struct Vpc {
    pub id: String,
    pub cidr: Ipv4Net,
    pub dns_support: bool,
    pub dns_hostnames: bool,
}

/// A subnet.
#[derive(Debug, Clone)]
pub struct Subnet {
    pub id: String,
    pub vpc: String,
    pub cidr: Ipv4Net,
    pub az: String,
    pub map_public: bool,
}

/// An internet gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    pub id: String,
    pub vpc: Option<String>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    Local,
    Gateway(String),
    Interface(String),
}

/// A route.
#[derive(Debug, Clone)]
pub struct Route {
    pub to: Ipv4Net,
    pub via: Via,
}

/// A route table; an association without subnet is the main one.
#[derive(Debug, Clone)]
pub struct RouteTable {
    pub id: String,
    pub vpc: String,
    pub routes: Vec<Route>,
    pub associations: Vec<(String, Option<String>)>,
}

impl RouteTable {
    pub fn main(&self) -> bool {
        self.associations.iter().any(|(_, s)| s.is_none())
    }
}

/// Who a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    Net(Ipv4Net),
    Group(String),
}

/// One rule of a security group; ports are -1 for all.
#[derive(Debug, Clone)]
pub struct Permission {
    pub rule: String,
    pub proto: Protocol,
    pub from: i32,
    pub to: i32,
    pub peer: Peer,
    pub description: Option<String>,
}

impl Permission {
    pub fn same(&self, other: &Self) -> bool {
        (self.proto, self.from, self.to, &self.peer) == (other.proto, other.from, other.to, &other.peer)
    }
}

/// A security group.
#[derive(Debug, Clone)]
pub struct Group {
    pub id: String,
    pub vpc: String,
    pub name: String,
    pub description: String,
    pub ingress: Vec<Permission>,
    pub egress: Vec<Permission>,
}

/// An elastic address.
#[derive(Debug, Clone)]
pub struct Address {
    pub id: String,
    pub ip: Ipv4Addr,
    /// Association id and interface.
    pub bound: Option<(String, String)>,
}

/// An interface bound to an instance.
#[derive(Debug, Clone)]
pub struct Attachment {
    pub id: String,
    pub instance: String,
    pub device: i64,
    pub since: Timestamp,
    pub delete_on_termination: bool,
}

/// A network interface.
#[derive(Debug, Clone)]
pub struct Interface {
    pub id: String,
    pub vpc: String,
    pub subnet: String,
    pub az: String,
    pub ip: Ipv4Addr,
    pub mac: String,
    pub groups: Vec<String>,
    pub description: String,
    pub check: bool,
    pub attachment: Option<Attachment>,
    /// A public address given at launch (not an elastic one).
    pub public: Option<Ipv4Addr>,
    /// The load balancer that it belongs to; such an interface is the service's own.
    pub balancer: Option<String>,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopped,
}

impl Life {
    pub fn code(self) -> (u8, &'static str) {
        match self {
            Self::Pending => (0, "pending"),
            Self::Running => (16, "running"),
            Self::ShuttingDown => (32, "shutting-down"),
            Self::Terminated => (48, "terminated"),
            Self::Stopped => (80, "stopped"),
        }
    }

    /// It holds its interface and its processors.
    pub fn exists(self) -> bool {
        self != Self::Terminated
    }
}

/// An instance.
#[derive(Debug, Clone)]
pub struct Instance {
    pub id: String,
    pub reservation: String,
    pub index: usize,
    pub image: String,
    pub kind: String,
    pub az: String,
    pub vpc: String,
    pub ip: Ipv4Addr,
    pub life: Life,
    pub since: Timestamp,
    pub token: Option<String>,
    pub user_data: Vec<u8>,
    pub keep: bool,
    pub shutdown_terminates: bool,
    pub hop_limit: u8,
    pub tokens_required: bool,
    pub ended: Option<Timestamp>,
    /// Code and sentence of the last change.
    pub reason: Option<(String, String)>,
    pub volumes: Vec<String>,
    pub root_device: String,
    pub architecture: String,
}

/// A disk of an instance.
#[derive(Debug, Clone)]
pub struct Volume {
    pub id: String,
    pub instance: String,
    pub device: String,
    pub size: i64,
    pub kind: String,
    pub encrypted: bool,
    pub delete_on_termination: bool,
    pub az: String,
    pub since: Timestamp,
}

/// One leg of a load balancer.
#[derive(Debug, Clone)]
pub struct Leg {
    pub subnet: String,
    pub az: String,
    pub interface: String,
    pub allocation: Option<String>,
    pub public: Option<Ipv4Addr>,
    pub private: Ipv4Addr,
}

/// A network load balancer.
#[derive(Debug, Clone)]
pub struct Balancer {
    pub arn: String,
    pub name: String,
    pub dns: String,
    pub vpc: String,
    pub legs: Vec<Leg>,
    pub groups: Vec<String>,
    pub scheme: String,
    pub created: Timestamp,
    pub active_at: Timestamp,
    pub attributes: BTreeMap<String, String>,
}

/// A registered target.
#[derive(Debug, Clone)]
pub struct Target {
    pub draining_until: Option<Timestamp>,
}

/// Health check settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub protocol: String,
    pub port: String,
    pub path: Option<String>,
    pub interval: i64,
    pub timeout: i64,
    pub healthy: i64,
    pub unhealthy: i64,
}

/// A target group.
#[derive(Debug, Clone)]
pub struct TargetGroup {
    pub arn: String,
    pub name: String,
    pub protocol: String,
    pub port: i64,
    pub vpc: String,
    pub kind: String,
    pub health: Health,
    /// By (id or address, port).
    pub targets: BTreeMap<(String, i64), Target>,
    pub attributes: BTreeMap<String, String>,
}

/// A listener.
#[derive(Debug, Clone)]
pub struct Listener {
    pub arn: String,
    pub balancer: String,
    pub port: i64,
    pub protocol: String,
    pub group: String,
}

/// Of an idempotent call: the parameters it had, and what came of it.
#[derive(Debug, Clone)]
pub struct Token {
    pub parameters: BTreeMap<String, String>,
    pub made: Vec<String>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub vpcs: BTreeMap<String, Vpc>,
    pub subnets: BTreeMap<String, Subnet>,
    pub gateways: BTreeMap<String, Gateway>,
    pub tables: BTreeMap<String, RouteTable>,
    pub groups: BTreeMap<String, Group>,
    pub addresses: BTreeMap<String, Address>,
    pub interfaces: BTreeMap<String, Interface>,
    pub instances: BTreeMap<String, Instance>,
    pub volumes: BTreeMap<String, Volume>,
    pub balancers: BTreeMap<String, Balancer>,
    /// Deleted balancers whose interfaces still stand: by ARN, until when.
    pub leaving: BTreeMap<String, Timestamp>,
    pub target_groups: BTreeMap<String, TargetGroup>,
    pub listeners: BTreeMap<String, Listener>,
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    /// By action and client token.
    pub tokens: BTreeMap<(String, String), Token>,
    /// When each resource was made, for stale reads.
    pub born: BTreeMap<String, Timestamp>,
    /// Temporary credentials of roles.
    pub sessions: Vec<crate::config::Credential>,
    /// Access keys that are switched off.
    pub inactive: BTreeSet<String>,
    /// The address most lately taken, so that a freed one is not given out at once.
    pub last_public: Option<Ipv4Addr>,
}

impl State {
    /// The interface that an instance was launched with.
    pub fn primary(&self, instance: &str) -> Option<&Interface> {
        self.interfaces.values().find(|e| {
            e.attachment
                .as_ref()
                .is_some_and(|a| a.instance == instance && a.device == 0)
        })
    }

    /// All interfaces of an instance, in the order of their devices.
    pub fn interfaces_of(&self, instance: &str) -> Vec<&Interface> {
        let device = |e: &&Interface| e.attachment.as_ref().map_or(0, |a| a.device);
        let mut all: Vec<&Interface> = self
            .interfaces
            .values()
            .filter(|e| e.attachment.as_ref().is_some_and(|a| a.instance == instance))
            .collect();
        all.sort_by_key(device);
        all
    }

    /// The elastic address bound to an interface.
    pub fn elastic(&self, interface: &str) -> Option<&Address> {
        self.addresses
            .values()
            .find(|a| a.bound.as_ref().is_some_and(|(_, e)| e == interface))
    }

    /// The public address of an interface: elastic, else given at launch.
    pub fn public_of(&self, interface: &Interface) -> Option<Ipv4Addr> {
        self.elastic(&interface.id).map(|a| a.ip).or(interface.public)
    }

    /// The route table that a subnet uses.
    pub fn table_of(&self, subnet: &Subnet) -> Option<&RouteTable> {
        let mine = |t: &&RouteTable| t.associations.iter().any(|(_, s)| s.as_deref() == Some(&subnet.id));
        let tables = || self.tables.values().filter(|t| t.vpc == subnet.vpc);
        tables().find(mine).or_else(|| tables().find(|t| t.main()))
    }

    /// The internet gateway of a network.
    pub fn gateway_of(&self, vpc: &str) -> Option<&Gateway> {
        self.gateways.values().find(|g| g.vpc.as_deref() == Some(vpc))
    }

    /// A route's gateway is attached, its interface belongs to an instance: else it is a black hole.
    pub fn route_works(&self, table: &RouteTable, route: &Route) -> bool {
        match &route.via {
            Via::Local => true,
            Via::Gateway(id) => self
                .gateways
                .get(id)
                .is_some_and(|g| g.vpc.as_deref() == Some(&table.vpc)),
            Via::Interface(id) => self.interfaces.get(id).is_some_and(|e| e.attachment.is_some()),
        }
    }

    /// Private addresses of a subnet that are taken.
    pub fn taken(&self, subnet: &str) -> BTreeSet<Ipv4Addr> {
        self.interfaces
            .values()
            .filter(|e| e.subnet == subnet)
            .map(|e| e.ip)
            .collect()
    }

    /// Public addresses that are taken.
    pub fn taken_public(&self) -> BTreeSet<Ipv4Addr> {
        self.addresses
            .values()
            .map(|a| a.ip)
            .chain(self.interfaces.values().filter_map(|e| e.public))
            .collect()
    }

    /// Forgets a resource's tags and age.
    pub fn forget(&mut self, id: &str) {
        self.tags.remove(id);
        self.born.remove(id);
    }

    /// Removes an interface, unbinding its elastic address.
    pub fn drop_interface(&mut self, id: &str) {
        for a in self.addresses.values_mut() {
            if a.bound.as_ref().is_some_and(|(_, e)| e == id) {
                a.bound = None;
            }
        }
        self.interfaces.remove(id);
        self.forget(id);
    }
}
