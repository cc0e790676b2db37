//! What the backend must know of each network, computed anew and told when it differs.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use ipnet::Ipv4Net;
use lab_machines::{Balancer, HealthCheck, InstanceRules, Listener, Protocol, Rule};
use serde_json::{Value, json};

use crate::{
    balancers,
    cloud::{Cloud, net},
    faults::lock,
    state::{self, Network, State, Target},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    rules: Vec<InstanceRules>,
    public: Vec<(Ipv4Addr, Ipv4Addr)>,
    balancers: Vec<Balancer>,
}

#[derive(Debug, Default)]
pub(crate) struct Pushed(pub BTreeMap<u64, Wanted>);

fn rule(protocol: Protocol, ports: (i32, i32), source: Vec<Ipv4Net>) -> Rule {
    Rule {
        protocol,
        from_port: ports.0,
        to_port: ports.1,
        source,
    }
}

/// What a firewall's rule lets in; outgoing rules are not made real.
fn ingress(r: &Value) -> Option<Rule> {
    if r["direction"] != "in" {
        return None;
    }
    let source = r["source_ips"]
        .as_array()?
        .iter()
        .filter_map(|s| s.as_str()?.parse().ok())
        .collect();
    let protocol = match r["protocol"].as_str()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        _ => return None,
    };
    let port = r["port"].as_str().unwrap_or("any");
    let number = |text: &str| text.parse::<i32>().ok();
    let ports = match port.split_once('-') {
        _ if port == "any" => (-1, -1),
        Some((from, to)) => (number(from)?, number(to)?),
        None => (number(port)?, number(port)?),
    };
    Some(rule(protocol, ports, source))
}

fn everybody() -> Vec<Ipv4Net> {
    vec![Ipv4Net::default()]
}

fn rules(st: &State, n: &Network) -> Vec<InstanceRules> {
    let servers = st.servers.values().filter_map(|s| {
        let (_, ip) = s.private.filter(|p| p.0 == n.id)?;
        // The private side is never filtered.
        let mut ingress_rules = vec![rule(Protocol::All, (-1, -1), vec![n.range])];
        let walls = s.firewalls.iter().filter_map(|id| st.firewalls.get(id));
        ingress_rules.extend(walls.flat_map(|f| &f.rules).filter_map(ingress));
        if s.firewalls.is_empty() {
            ingress_rules.push(rule(Protocol::All, (-1, -1), everybody()));
        }
        Some((ip, ingress_rules))
    });
    let balancers = st.balancers.values().filter_map(|b| {
        let (_, ip) = b.private.filter(|p| p.0 == n.id)?;
        let ports = b
            .services
            .iter()
            .filter_map(|s| i32::try_from(s["listen_port"].as_u64()?).ok());
        Some((ip, ports.map(|p| rule(Protocol::Tcp, (p, p), everybody())).collect()))
    });
    let all = servers.chain(balancers);
    all.map(|(private_ip, ingress)| InstanceRules {
        private_ip,
        ingress,
        source_dest_check: true,
    })
    .collect()
}

fn seconds(check: &Value, key: &str) -> u64 {
    check[key].as_u64().unwrap_or(10)
}

fn listener(st: &State, b: &state::Balancer, service: &Value) -> Option<Listener> {
    let port = |key: &str| u16::try_from(service[key].as_u64()?).ok();
    let to = port("destination_port")?;
    let ids = b.targets.iter().flat_map(|t| match t {
        Target::Server { id, .. } => vec![*id],
        Target::Selector { selector, .. } => balancers::selected(st, selector).collect(),
    });
    let address = |id| {
        st.servers
            .get(&id)
            .filter(|s| s.status == "running")
            .and_then(|s| s.private)
    };
    let check = &service["health_check"];
    Some(Listener {
        port: port("listen_port")?,
        targets: ids
            .filter_map(address)
            .map(|(_, ip)| SocketAddrV4::new(ip, to))
            .collect(),
        health: HealthCheck {
            port: check["port"].as_u64().and_then(|p| u16::try_from(p).ok()),
            http_path: check["http"]["path"].as_str().map(str::to_owned),
            interval: Duration::from_secs(seconds(check, "interval")),
            timeout: Duration::from_secs(seconds(check, "timeout")),
            healthy_threshold: 1,
            unhealthy_threshold: u32::try_from(seconds(check, "retries")).unwrap_or(3).max(1),
        },
    })
}

fn wanted(st: &State, n: &Network) -> Wanted {
    let running = st.servers.values().filter(|s| s.machine);
    Wanted {
        rules: rules(st, n),
        public: running
            .filter_map(|s| Some((s.public?, s.private.filter(|p| p.0 == n.id)?.1)))
            .collect(),
        balancers: st
            .balancers
            .values()
            .filter_map(|b| {
                let (_, ip) = b.private.filter(|p| p.0 == n.id)?;
                Some(Balancer {
                    id: b.id.to_string(),
                    addresses: vec![(b.public, ip)],
                    listeners: b.services.iter().filter_map(|s| listener(st, b, s)).collect(),
                })
            })
            .collect(),
    }
}

impl Cloud {
    /// Tells the backend what changed. What it could not do is tried again at the next turn.
    pub(crate) fn push(&self) {
        let mut pushed = lock(&self.pushed);
        let all: Vec<(u64, Wanted)> = {
            let st = lock(&self.state);
            st.networks.values().map(|n| (n.id, wanted(&st, n))).collect()
        };
        for (id, want) in all {
            let old = pushed.0.get(&id);
            if old == Some(&want) {
                continue;
            }
            let (b, name) = (&self.backend, net(id));
            let mut result = Ok(());
            if old.is_none() {
                // Every server has a way out of its own.
                result = b.set_routes(&name, Vec::new(), true);
            }
            if old.map(|o| &o.rules) != Some(&want.rules) {
                result = result.and_then(|()| b.set_firewall(&name, want.rules.clone()));
            }
            if old.map(|o| &o.public) != Some(&want.public) {
                result = result.and_then(|()| b.set_public_addresses(&name, want.public.clone()));
            }
            if old.map(|o| &o.balancers) != Some(&want.balancers) {
                result = result.and_then(|()| b.set_balancers(&name, want.balancers.clone()));
            }
            if self.note(result) {
                pushed.0.insert(id, want);
            } else {
                pushed.0.remove(&id);
            }
        }
    }

    /// Health of a server behind each service of a load balancer.
    pub(crate) fn health(&self, st: &State, b: &state::Balancer, server: u64) -> Vec<Value> {
        let ip = st.servers.get(&server).and_then(|s| s.private).map(|(_, ip)| ip);
        let of = |service: &Value| {
            let port = u16::try_from(service["listen_port"].as_u64().unwrap_or(0)).unwrap_or(0);
            let all = self.backend.target_health(&b.id.to_string(), port);
            let status = all
                .iter()
                .find(|(target, _)| Some(*target.ip()) == ip)
                .map(|(_, well)| *well);
            let status = match status {
                Some(true) => "healthy",
                Some(false) => "unhealthy",
                None => "unknown",
            };
            json!({"listen_port": port, "status": status})
        };
        b.services.iter().map(of).collect()
    }
}
