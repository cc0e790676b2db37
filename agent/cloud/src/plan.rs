use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use skykeep_core::castle;

use crate::{PlannedNode, Role};

/// Hosts below this are left to the cloud and to load balancers.
const FIRST_CONTROL_PLANE: u32 = 10;
/// So that more control planes never move a worker.
const FIRST_WORKER: u32 = 20;
/// Where those begin that had to leave their zone: their addresses are nobody else's, whatever was planned there.
const FIRST_MOVED: u32 = 100;
/// Room for as many moved control planes.
const MOVED_WORKERS: u32 = 20;
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

/// The same, where some nodes, by name, had to go to another zone, because there was no machine for them in theirs.
pub fn plan_nodes_moved(cloud: &castle::Cloud, moved: &BTreeMap<String, String>) -> Vec<PlannedNode> {
    let zones = cloud.zones();
    let mut nodes = plan_nodes(cloud);
    let mut counts = [0_u32, 0];
    for node in &mut nodes {
        let (count, first) = match node.role {
            Role::ControlPlane => (&mut counts[0], FIRST_MOVED),
            Role::Worker => (&mut counts[1], FIRST_MOVED + MOVED_WORKERS),
        };
        let host = first.saturating_add(*count);
        *count = count.saturating_add(1);
        let Some(index) = moved
            .get(&node.name)
            .and_then(|zone| zones.iter().position(|z| z == zone))
        else {
            continue;
        };
        node.zone = zones.get(index).cloned().unwrap_or_default();
        node.private_ip = Ipv4Addr::from(u32::from(subnet_of(cloud.range(), index).network()).saturating_add(host));
    }
    nodes
}

/// Where a node goes when no machine is to be had for it in the zones `full`: of the castle file's other zones the one with the fewest nodes of
/// its kind. `None`: nowhere. All control planes in one zone is for the owner to say, by naming one zone.
pub fn elsewhere(cloud: &castle::Cloud, nodes: &[PlannedNode], name: &str, full: &BTreeSet<String>) -> Option<String> {
    let node = nodes.iter().find(|n| n.name == name)?;
    let others: Vec<_> = nodes.iter().filter(|n| n.role == node.role && n.name != name).collect();
    let in_zone = |zone: &String| others.iter().filter(|n| n.zone == *zone).count();
    let zones = cloud.zones().iter().filter(|zone| !full.contains(*zone));
    let allowed = zones.filter(|zone| node.role == Role::Worker || others.is_empty() || in_zone(zone) < others.len());
    allowed.min_by_key(|zone| in_zone(zone)).cloned()
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

    fn places(plan: &[PlannedNode]) -> Vec<String> {
        let place = |n: &PlannedNode| format!("{} {} {}", n.name, n.zone, n.private_ip);
        plan.iter().map(place).collect()
    }

    #[test]
    fn a_node_without_a_machine_goes_where_fewest_of_its_kind_are() {
        let cloud = aws(3, 4);
        let plan = plan_nodes(&cloud);
        let full = |zones: &[&str]| zones.iter().map(|z| format!("eu-central-1{z}")).collect();
        let to = |name: &str, zones: &[&str]| elsewhere(&cloud, &plan, name, &full(zones));
        let zone = |z: &str| Some(format!("eu-central-1{z}"));
        assert_eq!(to("cp2", &["b"]), zone("a"));
        assert_eq!(to("cp2", &["a", "b"]), zone("c"));
        assert_eq!(to("w3", &["c"]), zone("b"), "in zone a there are two workers");
        assert_eq!(to("w3", &["a", "b", "c"]), None);
        let moved = BTreeMap::from([("cp2".to_owned(), "eu-central-1a".to_owned())]);
        let now = plan_nodes_moved(&cloud, &moved);
        assert_eq!(
            elsewhere(&cloud, &now, "cp3", &full(&["b", "c"])),
            None,
            "three control planes in one zone"
        );
        assert_eq!(
            elsewhere(&cloud, &now, "w3", &full(&["b", "c"])),
            zone("a"),
            "workers may"
        );
    }

    #[test]
    fn whoever_moves_gets_an_address_that_nobody_has_and_the_others_keep_theirs() {
        let cloud = aws(3, 4);
        let moved = [("cp2", "c"), ("w1", "c"), ("w4", "c")];
        let moved = moved.map(|(name, zone)| (name.to_owned(), format!("eu-central-1{zone}")));
        assert_eq!(
            places(&plan_nodes_moved(&cloud, &BTreeMap::from(moved))),
            [
                "cp1 eu-central-1a 10.42.0.10",
                "cp2 eu-central-1c 10.42.32.101",
                "cp3 eu-central-1c 10.42.32.10",
                "w1 eu-central-1c 10.42.32.120",
                "w2 eu-central-1b 10.42.16.20",
                "w3 eu-central-1c 10.42.32.20",
                "w4 eu-central-1c 10.42.32.123",
            ]
        );
        let gone = BTreeMap::from([(
            "cp1".to_owned(),
            "a zone that the castle file does not name any more".to_owned(),
        )]);
        assert_eq!(plan_nodes_moved(&cloud, &gone), plan_nodes(&cloud));
    }

    #[test]
    fn a_small_network_is_cut_into_small_parts() {
        assert_eq!(
            subnet_of("10.0.0.0/20".parse().unwrap(), 5),
            "10.0.5.0/24".parse().unwrap()
        );
    }
}
