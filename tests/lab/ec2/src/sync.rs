//! What the backend must know of each network, computed anew after every change and pushed when it differs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ipnet::Ipv4Net;
use jiff::Timestamp;

use crate::cloud::{Cloud, lock};
use crate::state::{Interface, Peer, State, Via};
use lab_machines::{Balancer, HealthCheck, InstanceRules, Listener, Protocol, Rule};

/// One network as the backend sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    pub rules: Vec<InstanceRules>,
    pub public: Vec<(Ipv4Addr, Ipv4Addr)>,
    pub routes: (Vec<(Ipv4Net, Ipv4Addr)>, bool),
    pub balancers: Vec<Balancer>,
}

/// What was pushed last.
#[derive(Debug, Default)]
pub(crate) struct Pushed(BTreeMap<String, Network>);

impl Pushed {
    pub(crate) fn forget(&mut self, vpc: &str) {
        self.0.remove(vpc);
    }
}

/// In use: bound to an instance or to a load balancer.
fn live(e: &Interface) -> bool {
    e.attachment.is_some() || e.balancer.is_some()
}

fn rules(st: &State, vpc: &str) -> Vec<InstanceRules> {
    let inside = || st.interfaces.values().filter(|e| e.vpc == vpc && live(e));
    let members = |group: &String| -> Vec<Ipv4Net> {
        inside()
            .filter(|e| e.groups.contains(group))
            .map(|e| Ipv4Net::from(e.ip))
            .collect()
    };
    inside()
        .map(|e| {
            let mut merged: BTreeMap<(Protocol, i32, i32), Vec<Ipv4Net>> = BTreeMap::new();
            for p in e
                .groups
                .iter()
                .filter_map(|g| st.groups.get(g))
                .flat_map(|g| &g.ingress)
            {
                let sources = merged.entry((p.proto, p.from, p.to)).or_default();
                match &p.peer {
                    Peer::Net(net) => sources.push(*net),
                    Peer::Group(group) => sources.extend(members(group)),
                }
            }
            let ingress = merged
                .into_iter()
                .map(|((protocol, from_port, to_port), mut source)| {
                    source.sort();
                    source.dedup();
                    Rule {
                        protocol,
                        from_port,
                        to_port,
                        source,
                    }
                })
                .filter(|r| !r.source.is_empty())
                .collect();
            InstanceRules {
                private_ip: e.ip,
                ingress,
                source_dest_check: e.check,
            }
        })
        .collect()
}

/// A subnet whose table leads to an attached internet gateway.
fn outside(st: &State, subnet: &str) -> bool {
    let table = st.subnets.get(subnet).and_then(|s| st.table_of(s));
    table.is_some_and(|t| {
        t.routes
            .iter()
            .any(|r| matches!(r.via, Via::Gateway(_)) && st.route_works(t, r))
    })
}

fn routes(st: &State, vpc: &str) -> (Vec<(Ipv4Net, Ipv4Addr)>, bool) {
    let mut out: BTreeMap<Ipv4Net, Ipv4Addr> = BTreeMap::new();
    let subnets = || st.subnets.values().filter(|s| s.vpc == vpc);
    for t in subnets().filter_map(|s| st.table_of(s)) {
        for r in t.routes.iter().filter(|r| st.route_works(t, r)) {
            if let Via::Interface(id) = &r.via
                && let Some(e) = st.interfaces.get(id)
            {
                out.insert(r.to, e.ip);
            }
        }
    }
    let gateway = subnets().any(|s| outside(st, &s.id));
    (out.into_iter().collect(), gateway)
}

/// Address of a target, if it has one.
pub(crate) fn target_address(st: &State, kind: &str, id: &str) -> Option<Ipv4Addr> {
    match kind {
        "ip" => id.parse().ok(),
        _ => st
            .instances
            .get(id)
            .filter(|i| i.life == crate::state::Life::Running)
            .map(|i| i.ip),
    }
}

fn balancers(st: &State, vpc: &str, now: Timestamp) -> Vec<Balancer> {
    let active = st.balancers.values().filter(|b| b.vpc == vpc && b.active_at <= now);
    active
        .map(|b| Balancer {
            id: b.arn.clone(),
            addresses: b
                .legs
                .iter()
                .filter(|l| outside(st, &l.subnet))
                .filter_map(|l| l.public.map(|public| (public, l.private)))
                .collect(),
            listeners: st
                .listeners
                .values()
                .filter(|l| l.balancer == b.arn)
                .filter_map(|l| {
                    let group = st.target_groups.get(&l.group)?;
                    let seconds = |n: i64| Duration::from_secs(u64::try_from(n).unwrap_or(10));
                    let number = |n: i64| u32::try_from(n).unwrap_or(1);
                    Some(Listener {
                        port: u16::try_from(l.port).ok()?,
                        targets: group
                            .targets
                            .iter()
                            .filter(|(_, t)| t.draining_until.is_none())
                            .filter_map(|((id, port), _)| {
                                let ip = target_address(st, &group.kind, id)?;
                                Some(SocketAddrV4::new(ip, u16::try_from(*port).ok()?))
                            })
                            .collect(),
                        health: HealthCheck {
                            port: group.health.port.parse().ok(),
                            http_path: group.health.path.clone(),
                            interval: seconds(group.health.interval),
                            timeout: seconds(group.health.timeout),
                            healthy_threshold: number(group.health.healthy),
                            unhealthy_threshold: number(group.health.unhealthy),
                        },
                    })
                })
                .collect(),
        })
        .collect()
}

pub(crate) fn network(st: &State, vpc: &str, now: Timestamp) -> Network {
    let public = st
        .interfaces
        .values()
        .filter(|e| e.vpc == vpc && e.attachment.is_some() && outside(st, &e.subnet))
        .filter_map(|e| Some((st.public_of(e)?, e.ip)))
        .collect();
    Network {
        rules: rules(st, vpc),
        public,
        routes: routes(st, vpc),
        balancers: balancers(st, vpc, now),
    }
}

impl Cloud {
    /// Tells the backend what changed. What it could not do is tried again at the next turn.
    pub(crate) fn push(&self) {
        let mut pushed = lock(&self.pushed);
        let wanted: Vec<(String, Network)> = {
            let (st, now) = (lock(&self.state), Timestamp::now());
            st.vpcs.keys().map(|id| (id.clone(), network(&st, id, now))).collect()
        };
        for (id, want) in wanted {
            let old = pushed.0.get(&id);
            if old == Some(&want) {
                continue;
            }
            let b = &self.backend;
            let mut result = Ok(());
            if old.map(|o| &o.rules) != Some(&want.rules) {
                result = result.and_then(|()| b.set_firewall(&id, want.rules.clone()));
            }
            if old.map(|o| &o.routes) != Some(&want.routes) {
                let (routes, gateway) = want.routes.clone();
                result = result.and_then(|()| b.set_routes(&id, routes, gateway));
            }
            if old.map(|o| &o.public) != Some(&want.public) {
                result = result.and_then(|()| b.set_public_addresses(&id, want.public.clone()));
            }
            if old.map(|o| &o.balancers) != Some(&want.balancers) {
                result = result.and_then(|()| b.set_balancers(&id, want.balancers.clone()));
            }
            match result {
                Ok(()) => drop(pushed.0.insert(id, want)),
                Err(why) => {
                    pushed.0.remove(&id);
                    self.log.event(format!("network {id}: {why}"));
                }
            }
        }
    }
}
