//! What every supplier's part of the castle file says, without naming the supplier.

use ipnet::Ipv4Net;

use super::{Aws, Cloud, Hetzner, NodeGroup, SecretRef, ServerGroup};

impl Cloud {
    /// The supplier's key in the castle file.
    pub fn supplier(&self) -> &'static str {
        match self {
            Cloud::Aws(_) => "aws",
            Cloud::Hetzner(_) => "hetzner",
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> &str {
        match self {
            Cloud::Aws(aws) => &aws.region,
            Cloud::Hetzner(hetzner) => &hetzner.network_zone,
        }
    }

    /// The castle's own network.
    pub fn range(&self) -> Ipv4Net {
        match self {
            Cloud::Aws(aws) => aws.vpc_cidr,
            Cloud::Hetzner(hetzner) => hetzner.network_cidr,
        }
    }

    /// The places that fail apart from one another.
    pub fn zones(&self) -> &[String] {
        match self {
            Cloud::Aws(aws) => &aws.zones,
            Cloud::Hetzner(hetzner) => &hetzner.locations,
        }
    }

    /// How many control planes.
    pub fn control_planes(&self) -> u8 {
        match self {
            Cloud::Aws(aws) => aws.control_planes.count,
            Cloud::Hetzner(hetzner) => hetzner.control_planes.count,
        }
    }

    /// How many workers.
    pub fn workers(&self) -> u8 {
        match self {
            Cloud::Aws(aws) => aws.workers.count,
            Cloud::Hetzner(hetzner) => hetzner.workers.count,
        }
    }

    /// The full name of a field of the supplier's part.
    pub fn field(&self, name: &str) -> String {
        format!("cloud.{}.{name}", self.supplier())
    }

    /// What opens the supplier's door.
    pub fn secret_refs(&self) -> Vec<SecretRef> {
        match self {
            Cloud::Aws(aws) => [&aws.access_key_id, &aws.secret_access_key]
                .into_iter()
                .chain(&aws.session_token)
                .cloned()
                .collect(),
            Cloud::Hetzner(hetzner) => vec![hetzner.token.clone()],
        }
    }

    /// The names of the fields of network and zones, in the supplier's own words.
    pub(super) fn words(&self) -> (&'static str, &'static str) {
        match self {
            Cloud::Aws(_) => ("vpcCidr", "zones"),
            Cloud::Hetzner(_) => ("networkCidr", "locations"),
        }
    }

    /// The machine types of control planes and workers, each in the order in which they are tried.
    pub(super) fn types(&self) -> [Vec<&str>; 2] {
        match self {
            Cloud::Aws(Aws {
                control_planes,
                workers,
                ..
            }) => [control_planes, workers].map(|group| group.types().collect()),
            Cloud::Hetzner(Hetzner {
                control_planes,
                workers,
                ..
            }) => [control_planes, workers].map(|group| group.types().collect()),
        }
    }
}

impl NodeGroup {
    /// The instance types in the order in which they are tried.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        in_order(&self.instance_type, &self.alternatives)
    }
}

impl ServerGroup {
    /// The server types in the order in which they are tried.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        in_order(&self.server_type, &self.alternatives)
    }
}

fn in_order<'a>(first: &'a str, alternatives: &'a [String]) -> impl Iterator<Item = &'a str> {
    std::iter::once(first).chain(alternatives.iter().map(String::as_str))
}
