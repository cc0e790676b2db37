use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs etcd and the API.
    ControlPlane,
    /// Runs applications.
    Worker,
}

/// A node as it will be: everything is known before anything boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedNode {
    /// `cp1`, `w1`...
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Availability zone.
    pub zone: String,
    /// Its address.
    pub private_ip: Ipv4Addr,
}

/// What was found before anything is created.
#[derive(Debug, Clone, Serialize)]
pub struct Preflight {
    /// Account number.
    pub account: String,
    /// Who we are there.
    pub identity: String,
    /// The image's name.
    pub image: String,
    /// Elastic addresses that may still be taken; `None` when the cloud does not say.
    pub addresses_left: Option<u32>,
    /// Virtual processors all nodes need together, of the largest type that each may get.
    pub vcpus_needed: u32,
    /// Virtual processors that may still be taken.
    pub vcpus_left: Option<u32>,
    /// Networks that may still be made.
    pub networks_left: Option<u32>,
    /// Things worth knowing that are no errors.
    pub warnings: Vec<String>,
}

/// A part of the network in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subnet {
    /// Its id.
    pub id: String,
    /// Its zone.
    pub zone: String,
    /// Its range.
    pub cidr: Ipv4Net,
}

/// The castle's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Its id.
    pub vpc_id: String,
    /// One part per zone, in the order of the castle file.
    pub subnets: Vec<Subnet>,
    /// The security group of all nodes.
    pub nodes_group: String,
    /// The security group of the entry.
    pub entry_group: String,
}

/// Where a port of the entry leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: String,
    /// The port the world uses.
    pub port: u16,
    /// The port on every node.
    pub node_port: u16,
}

/// The public way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The fixed public addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// The load balancer.
    pub arn: String,
    /// Its targets, one group per port.
    pub target_groups: Vec<TargetGroup>,
}

/// A node that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// `cp1`, `w1`...
    pub name: String,
    /// The cloud's id.
    pub id: String,
    /// Its address inside.
    pub private_ip: Ipv4Addr,
    /// Its address outside, once it runs.
    pub public_ip: Option<Ipv4Addr>,
}

impl Instance {
    /// Whether it runs etcd and the API: [`crate::plan_nodes`] names them so.
    pub fn is_control_plane(&self) -> bool {
        self.name.starts_with("cp")
    }
}

/// Anything that carries the castle's tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Thing {
    /// `vpc`, `instance`...
    pub kind: String,
    /// The cloud's id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What state it is in, as far as it has any.
    pub state: String,
}

impl Thing {
    /// Whether it is a machine, by whatever word its supplier calls it.
    pub fn is_machine(&self) -> bool {
        matches!(self.kind.as_str(), "instance" | "server")
    }

    /// Whether it is a machine that runs or is about to, by its supplier's word.
    pub fn is_up(&self) -> bool {
        self.is_machine()
            && !matches!(
                self.state.as_str(),
                "stopped" | "stopping" | "shutting-down" | "off" | "deleting"
            )
    }
}
