//! Rules of security groups, pure.

use ipnet::Ipv4Net;
use serde::Deserialize;
use skykeep_aws::Params;
use skykeep_core::castle::EntryPort;

use super::xml::Items;

/// Where the API of Kubernetes listens.
const API: u16 = 6443;

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    Range(String),
    Group(String),
}

/// One rule: one protocol, one range of ports, one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    protocol: String,
    ports: Option<(u16, u16)>,
    peer: Peer,
}

impl Rule {
    fn tcp(port: u16, peer: Peer) -> Self {
        Rule {
            protocol: "tcp".into(),
            ports: Some((port, port)),
            peer,
        }
    }

    pub(super) fn params(&self, params: Params) -> Params {
        let params = params.with("IpPermissions.1.IpProtocol", &self.protocol);
        let params = match self.ports {
            Some((from, to)) => params
                .with("IpPermissions.1.FromPort", from)
                .with("IpPermissions.1.ToPort", to),
            None => params,
        };
        match &self.peer {
            Peer::Range(range) => params.with("IpPermissions.1.IpRanges.1.CidrIp", range),
            Peer::Group(id) => params.with("IpPermissions.1.Groups.1.GroupId", id),
        }
    }
}

/// Nodes trust one another; the laptop reaches the API; only the entry reaches node ports.
pub(super) fn of_nodes(nodes: &str, entry: &str, sources: &[Ipv4Net], ports: &[EntryPort]) -> Vec<Rule> {
    let mut rules = vec![Rule {
        protocol: "-1".into(),
        ports: None,
        peer: Peer::Group(nodes.to_owned()),
    }];
    rules.extend(
        sources
            .iter()
            .map(|s| Rule::tcp(API, Peer::Range(s.trunc().to_string()))),
    );
    rules.extend(
        ports
            .iter()
            .map(|p| Rule::tcp(p.node_port, Peer::Group(entry.to_owned()))),
    );
    rules
}

/// The world reaches the entry's ports.
pub(super) fn of_entry(ports: &[EntryPort]) -> Vec<Rule> {
    ports
        .iter()
        .map(|p| Rule::tcp(p.port, Peer::Range("0.0.0.0/0".into())))
        .collect()
}

/// A permission as EC2 describes it: several peers in one.
#[derive(Debug, Deserialize)]
pub(super) struct Permission {
    #[serde(rename = "ipProtocol")]
    protocol: String,
    #[serde(rename = "fromPort")]
    from: Option<i32>,
    #[serde(rename = "toPort")]
    to: Option<i32>,
    #[serde(default)]
    groups: Items<GroupPeer>,
    #[serde(rename = "ipRanges", default)]
    ranges: Items<RangePeer>,
}

#[derive(Debug, Deserialize)]
struct GroupPeer {
    #[serde(rename = "groupId")]
    id: String,
}

#[derive(Debug, Deserialize)]
struct RangePeer {
    #[serde(rename = "cidrIp")]
    cidr: String,
}

/// Described permissions as single rules.
pub(super) fn flat(permissions: &[Permission]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for p in permissions {
        let port = |n: Option<i32>| n.and_then(|n| u16::try_from(n).ok());
        let ports = if p.protocol == "-1" {
            None
        } else {
            port(p.from).zip(port(p.to))
        };
        let peers = p.groups.list.iter().map(|g| Peer::Group(g.id.clone()));
        let peers = peers.chain(p.ranges.list.iter().map(|r| Peer::Range(r.cidr.clone())));
        rules.extend(peers.map(|peer| Rule {
            protocol: p.protocol.clone(),
            ports,
            peer,
        }));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ec2_describes_is_what_we_asked_for() {
        let ports = [EntryPort {
            port: 443,
            node_port: 30443,
        }];
        let wanted = of_nodes("sg-n", "sg-e", &["203.0.113.7/32".parse().unwrap()], &ports);
        let xml = "<x><ipPermissions>
            <item><ipProtocol>-1</ipProtocol><groups><item><userId>1</userId><groupId>sg-n</groupId></item></groups><ipRanges/></item>
            <item><ipProtocol>tcp</ipProtocol><fromPort>6443</fromPort><toPort>6443</toPort><groups/><ipRanges><item><cidrIp>203.0.113.7/32</cidrIp></item></ipRanges></item>
            <item><ipProtocol>tcp</ipProtocol><fromPort>30443</fromPort><toPort>30443</toPort><groups><item><groupId>sg-e</groupId></item></groups></item>
            </ipPermissions></x>";
        #[derive(Deserialize)]
        struct X {
            #[serde(rename = "ipPermissions")]
            permissions: Items<Permission>,
        }
        let x: X = quick_xml::de::from_str(xml).unwrap();
        assert_eq!(flat(&x.permissions.list), wanted);
    }

    #[test]
    fn node_ports_are_open_to_the_entry_and_to_nobody_else() {
        let ports = [EntryPort {
            port: 80,
            node_port: 30080,
        }];
        let rules = of_nodes("sg-n", "sg-e", &[], &ports);
        let open: Vec<_> = rules
            .iter()
            .filter(|r| r.ports == Some((30080, 30080)))
            .map(|r| &r.peer)
            .collect();
        assert_eq!(open, [&Peer::Group("sg-e".into())]);
    }
}
