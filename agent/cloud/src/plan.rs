use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use skykeep_core::castle;

use crate::{PlannedNode, Role};

/// Hosts below this are left to the cloud and to load balancers.
const FIRST_CONTROL_PLANE: u32 = 10;
/// So that more control planes never move a worker.
const FIRST_WORKER: u32 = 20;
/// Fixed public addresses of the entry at most: more make it no safer and cost money.
pub(crate) const ENTRY_ADDRESSES: usize = 3;

/// The range of the zone with this index: the network is cut into sixteen equal parts.
pub fn subnet_of(vpc: Ipv4Net, zone_index: usize) -> Ipv4Net {
    let prefix = vpc.prefix_len().saturating_add(4).min(28);
    vpc.subnets(prefix)
        .ok()
        .and_then(|mut parts| parts.nth(zone_index))
        .unwrap_or(vpc)
}

/// All nodes of the castle with their zones and addresses. The same castle file always gives the same plan.
pub fn plan_nodes(cloud: &castle::Cloud) -> Vec<PlannedNode> {
    let groups = [
        (Role::ControlPlane, "cp", FIRST_CONTROL_PLANE, cloud.control_planes()),
        (Role::Worker, "w", FIRST_WORKER, cloud.workers()),
    ];
    let zones = cloud.zones();
    let many = zones.len().max(1);
    let mut nodes = Vec::new();
    for (role, short, first, count) in groups {
        for i in 0..usize::from(count) {
            let zone = i % many;
            let host = first.saturating_add(u32::try_from(i / many).unwrap_or(u32::MAX));
            let network = subnet_of(cloud.range(), zone).network();
            nodes.push(PlannedNode {
                name: format!("{short}{}", i + 1),
                role,
                zone: zones.get(zone).cloned().unwrap_or_default(),
                private_ip: Ipv4Addr::from(u32::from(network).saturating_add(host)),
            });
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use skykeep_core::castle::{Castle, Cloud};

    fn aws(cps: u8, workers: u8) -> Cloud {
        let example = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
        let mut cloud = example.cloud;
        if let Cloud::Aws(aws) = &mut cloud {
            aws.control_planes.count = cps;
            aws.workers.count = workers;
        }
        cloud
    }

    #[test]
    fn control_planes_are_spread_over_the_zones_at_known_addresses() {
        let plan: Vec<String> = plan_nodes(&aws(3, 4))
            .into_iter()
            .map(|n| format!("{} {} {}", n.name, n.zone, n.private_ip))
            .collect();
        assert_eq!(
            plan,
            [
                "cp1 eu-central-1a 10.42.0.10",
                "cp2 eu-central-1b 10.42.16.10",
                "cp3 eu-central-1c 10.42.32.10",
                "w1 eu-central-1a 10.42.0.20",
                "w2 eu-central-1b 10.42.16.20",
                "w3 eu-central-1c 10.42.32.20",
                "w4 eu-central-1a 10.42.0.21",
            ]
        );
    }

    #[test]
    fn another_control_plane_moves_no_worker() {
        let workers = |plan: Vec<PlannedNode>| plan.into_iter().filter(|n| n.role == Role::Worker).collect::<Vec<_>>();
        assert_eq!(workers(plan_nodes(&aws(3, 6))), workers(plan_nodes(&aws(5, 6))));
    }

    #[test]
    fn a_small_network_is_cut_into_small_parts() {
        assert_eq!(
            subnet_of("10.0.0.0/20".parse().unwrap(), 5),
            "10.0.5.0/24".parse().unwrap()
        );
    }
}
