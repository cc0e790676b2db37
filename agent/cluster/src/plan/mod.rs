//! What each node has to do, decided before any machine exists: pure, from the castle, the lock, the keys and the addresses.
//!
//! All control planes start together: their addresses are known, so etcd gets a static initial cluster, and the API is found by one
//! name with several addresses in /etc/hosts (Go clients dial them in turn). Workers need no kubeadm: kubelet's own TLS bootstrap
//! with the derived token, pinned to our CA, asks again until the API answers.

mod common;
mod control_plane;
mod sources;
mod types;
mod worker;

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::Ipv4Net;
use skykeep_core::{Generation, castle::Castle, lock::Lock};

pub use sources::{RegistryAt, Sources};
pub use types::{NodePlan, Own, PlanFile, SecretText, Step};

use crate::{
    ClusterError, Pki,
    etcd::{CLIENT_PORT, Join, PEER_PORT},
};

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// etcd, API server, scheduler, controllers.
    ControlPlane,
    /// Applications.
    Worker,
}

/// A node that will exist: its address was chosen by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedNode {
    /// Its name in Kubernetes, for example `cp1`.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its fixed private address.
    pub private_ip: Ipv4Addr,
}

/// Everything that decides what the nodes do.
pub struct Blueprint<'a> {
    /// The castle file.
    pub castle: &'a Castle,
    /// The lock file.
    pub lock: &'a Lock,
    /// This rebirth.
    pub generation: &'a Generation,
    /// Its keys.
    pub pki: &'a Pki,
    /// Every node; the first control plane does what has to be done once.
    pub nodes: &'a [PlannedNode],
    /// The same before anybody had to go to another zone: what etcd starts with for the first time must be the same everywhere.
    pub first: &'a [PlannedNode],
    /// Control planes that take the place of a dead one in an etcd that runs, by name.
    pub joins: &'a BTreeSet<String>,
    /// Where images and downloads come from besides their own places.
    pub sources: &'a Sources<'a>,
}

impl Blueprint<'_> {
    /// The plan of one node.
    pub fn node_plan(&self, name: &str) -> Result<NodePlan, ClusterError> {
        if self.lock.kubernetes != self.castle.cluster.kubernetes {
            return Err(ClusterError::Plan(format!(
                "castle.yaml wants Kubernetes {}, castle.lock was made for {}",
                self.castle.cluster.kubernetes, self.lock.kubernetes
            )));
        }
        let node = self
            .nodes
            .iter()
            .find(|n| n.name == name)
            .ok_or_else(|| ClusterError::Plan(format!("there is no node `{name}`")))?;
        if self.control_planes().next().is_none() {
            return Err(ClusterError::Plan("there is no control plane".into()));
        }
        let plan = match node.role {
            Role::ControlPlane => control_plane::plan(self, node),
            Role::Worker => worker::plan(self, node),
        };
        Ok(sources::complete(self, plan?))
    }

    fn control_planes(&self) -> impl Iterator<Item = &PlannedNode> {
        self.nodes.iter().filter(|n| n.role == Role::ControlPlane)
    }

    /// How etcd on this node finds the others: at its first start together with them, or by joining.
    fn joins(&self, node: &PlannedNode) -> Option<Join> {
        self.joins.contains(&node.name).then(|| Join {
            name: node.name.clone(),
            peer_url: format!("https://{}:{PEER_PORT}", node.private_ip),
            others: self
                .control_planes()
                .filter(|other| other.name != node.name)
                .map(|other| format!("https://{}:{CLIENT_PORT}", other.private_ip))
                .collect(),
        })
    }

    /// The members that etcd on this node starts with.
    fn members(&self, node: &PlannedNode) -> impl Iterator<Item = &PlannedNode> {
        let all = if self.joins.contains(&node.name) {
            self.nodes
        } else {
            self.first
        };
        all.iter().filter(|n| n.role == Role::ControlPlane)
    }

    fn is_first(&self, node: &PlannedNode) -> bool {
        self.control_planes()
            .next()
            .is_some_and(|first| first.name == node.name)
    }
}

/// The n-th address of a network, as Kubernetes counts service addresses: the API is the first, DNS the tenth.
pub(crate) fn nth_address(network: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.network()).saturating_add(n))
}

#[cfg(test)]
mod tests;
