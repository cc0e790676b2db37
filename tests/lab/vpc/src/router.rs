//! A network's router: one namespace, an uplink to the internet's bridge, one point-to-point interface per instance. All traffic
//! between instances passes here, inside one subnet too, because the router answers every ARP request itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use ipnet::Ipv4Net;

use crate::balancer::Balancers;
use crate::host::{in_netns, ip_batch, netns_list, run, run_args};
use crate::imds::{Directory, Imds};
use crate::nft::{self, METADATA, Policy, UPLINK};
use crate::registry::{self, Kind};
use crate::spec::{Balancer, HypervisorConfig, InstanceRules, InstanceSpec, Internet};

/// A running network.
pub struct Router {
    id: String,
    netns: String,
    internet: Internet,
    policy: Policy,
    routes: BTreeMap<Ipv4Net, Ipv4Addr>,
    applied: BTreeSet<Ipv4Net>,
    /// Addresses of ours and the interface each is on.
    bound: BTreeMap<Ipv4Addr, &'static str>,
    local: BTreeSet<Ipv4Addr>,
    attached: BTreeSet<Ipv4Addr>,
    wanted_balancers: Vec<Balancer>,
    /// Who asks the metadata service, shared with its threads.
    pub directory: Arc<Directory>,
    imds: Imds,
    balancers: Balancers,
}

/// A network's namespace.
pub fn netns_of_vpc(id: &str) -> String {
    format!("sk-vpc-{id}")
}

/// An instance's namespace.
pub fn netns_of_instance(id: &str) -> String {
    format!("sk-i-{id}")
}

/// The router's interface as the internet's bridge sees it, unique in that namespace.
fn bridge_port(router: Ipv4Addr) -> String {
    format!("vpc{:08x}", u32::from(router))
}

/// The network's first address, and the nth after it.
fn nth(net: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net.network()).saturating_add(n))
}

impl Router {
    /// Makes the namespace, its uplink and its metadata service.
    pub fn create(config: &HypervisorConfig, id: &str, cidr: Ipv4Net) -> Result<Self> {
        let router = registry::claim_uplink(config.internet.routers)?;
        if let Err(error) = registry::claim(Kind::Vpc, id, &router.to_string()) {
            registry::release(Kind::Uplink, &router.to_string());
            return Err(error);
        }
        let made = Self::build(config, id, cidr, router);
        if made.is_err() {
            erase(id, &config.internet, router);
        }
        made
    }

    fn build(config: &HypervisorConfig, id: &str, cidr: Ipv4Net, router: Ipv4Addr) -> Result<Self> {
        let netns = netns_of_vpc(id);
        let internet = config.internet.clone();
        let port = bridge_port(router);
        run(&format!("ip netns add {netns}"))?;
        in_netns(&netns, || {
            for (key, value) in [
                ("ip_forward", "1"),
                ("conf/all/rp_filter", "0"),
                ("conf/default/rp_filter", "0"),
                ("conf/all/send_redirects", "0"),
                ("conf/default/send_redirects", "0"),
            ] {
                std::fs::write(format!("/proc/sys/net/ipv4/{key}"), value).with_context(|| format!("setting {key}"))?;
            }
            Ok(())
        })?;
        run(&format!(
            "ip -n {} link add {port} type veth peer name {UPLINK} netns {netns}",
            internet.netns
        ))?;
        run(&format!(
            "ip -n {} link set {port} master {} up",
            internet.netns, internet.bridge
        ))?;
        let dns_inside = nth(cidr, 2);
        ip_batch(
            &netns,
            &[
                "link set lo up".into(),
                format!("addr add {METADATA}/32 dev lo"),
                format!("addr add {dns_inside}/32 dev lo"),
                format!("link set {UPLINK} up"),
                format!("addr add {router}/{} dev {UPLINK}", internet.prefix),
                format!("route add default via {}", internet.gateway),
                // An address of ours that nobody has is nowhere, not on the internet.
                format!("route add unreachable {cidr}"),
            ],
        )?;
        let directory = Arc::new(Directory::default());
        let imds = Imds::start(&netns, Arc::clone(&directory))?;
        let mut made = Self {
            id: id.to_owned(),
            balancers: Balancers::new(&netns),
            netns,
            internet,
            policy: Policy {
                dns_inside,
                dns_outside: config.dns,
                router,
                internet_gateway: false,
                firewall: Vec::new(),
                public: Vec::new(),
                listeners: Vec::new(),
            },
            routes: BTreeMap::new(),
            applied: BTreeSet::new(),
            bound: BTreeMap::new(),
            local: BTreeSet::new(),
            attached: BTreeSet::new(),
            wanted_balancers: Vec::new(),
            directory,
            imds,
        };
        made.apply_policy()?;
        Ok(made)
    }

    /// The address where instances ask for names.
    pub fn resolver(&self) -> Ipv4Addr {
        self.policy.dns_inside
    }

    /// Whether any instance still hangs on this router.
    pub fn in_use(&self) -> bool {
        !self.attached.is_empty()
    }

    /// Gives an instance its namespace and its cable.
    pub fn attach(&mut self, spec: &InstanceSpec) -> Result<()> {
        let private = spec.private_ip;
        ensure!(
            spec.subnet_cidr.contains(&private),
            "{private} is not in {}",
            spec.subnet_cidr
        );
        ensure!(!self.attached.contains(&private), "{private} is in use in {}", self.id);
        let plugged = self.plug(spec);
        if plugged.is_err() {
            self.detach(&spec.id, private);
        }
        plugged
    }

    fn plug(&mut self, spec: &InstanceSpec) -> Result<()> {
        let (private, inside) = (spec.private_ip, netns_of_instance(&spec.id));
        let (name, gateway) = (nft::interface(private), nth(spec.subnet_cidr, 1));
        run(&format!("ip netns add {inside}"))?;
        run(&format!(
            "ip -n {} link add {name} mtu 1500 type veth peer name eth0 mtu 1500 address {} netns {inside}",
            self.netns, spec.mac
        ))?;
        self.attached.insert(private);
        let on_interface = name.clone();
        in_netns(&self.netns, move || {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{on_interface}/proxy_arp"), "1")?;
            // Linux waits up to 0.8 s before it answers for another; a cloud's router does not.
            std::fs::write(format!("/proc/sys/net/ipv4/neigh/{on_interface}/proxy_delay"), "0")?;
            Ok(())
        })?;
        let mut lines = vec![
            format!("link set {name} up"),
            format!("route add {private}/32 dev {name}"),
            format!("neigh replace {private} lladdr {} dev {name} nud permanent", spec.mac),
        ];
        if self.local.insert(gateway) {
            lines.push(format!("addr add {gateway}/32 dev lo"));
        }
        ip_batch(&self.netns, &lines)?;
        ip_batch(
            &inside,
            &[
                "link set lo up".into(),
                "link set eth0 up".into(),
                format!("addr add {private}/{} dev eth0", spec.subnet_cidr.prefix_len()),
                format!("route add default via {gateway}"),
            ],
        )?;
        self.apply_routes()
    }

    /// Takes the cable away; the namespace goes with it.
    pub fn detach(&mut self, id: &str, private: Ipv4Addr) {
        let name = nft::interface(private);
        // The cable first: a namespace dies asynchronously and would keep its end alive.
        let _ = run(&format!("ip -n {} link del {name}", self.netns));
        let _ = run(&format!("ip netns del {}", netns_of_instance(id)));
        self.attached.remove(&private);
        self.applied.retain(|net| self.routes.get(net) != Some(&private));
        // Connections of the dead must not be taken for ones of whoever gets the address next.
        let _ = run(&format!(
            "nsenter --net=/run/netns/{} conntrack -D -s {private}",
            self.netns
        ));
        let _ = run(&format!(
            "nsenter --net=/run/netns/{} conntrack -D -r {private}",
            self.netns
        ));
    }

    /// Replaces every security group.
    pub fn set_firewall(&mut self, rules: &[InstanceRules]) -> Result<()> {
        self.policy.firewall = rules.to_vec();
        self.apply_policy()
    }

    /// Replaces every public address.
    pub fn set_public(&mut self, public: &[(Ipv4Addr, Ipv4Addr)]) -> Result<()> {
        self.policy.public = public.to_vec();
        self.directory.set_public(public);
        self.apply_policy()
    }

    /// Tells a newcomer's metadata which public address it already has.
    pub fn refresh_directory(&self) {
        self.directory.set_public(&self.policy.public);
    }

    /// Replaces the network's routes.
    pub fn set_routes(&mut self, routes: &[(Ipv4Net, Ipv4Addr)], internet_gateway: bool) -> Result<()> {
        self.routes = routes.iter().copied().collect();
        self.policy.internet_gateway = internet_gateway;
        self.apply_routes()?;
        self.apply_policy()
    }

    /// Replaces every balancer.
    pub fn set_balancers(&mut self, balancers: &[Balancer]) -> Result<()> {
        self.wanted_balancers = balancers.to_vec();
        self.policy.listeners = balancers
            .iter()
            .flat_map(|balancer| balancer.listeners.iter().map(move |listener| (balancer, listener.port)))
            .flat_map(|(balancer, port)| balancer.addresses.iter().map(move |(public, _)| (*public, port)))
            .collect();
        self.apply_policy()?;
        self.balancers.set(&self.wanted_balancers)
    }

    /// What a balancer thinks of its targets.
    pub fn target_health(&self, balancer: &str, port: u16) -> Vec<(std::net::SocketAddrV4, bool)> {
        self.balancers.health(balancer, port)
    }

    /// Routes to instances that do not exist (yet) are black holes, as on a cloud.
    fn apply_routes(&mut self) -> Result<()> {
        let live: BTreeMap<_, _> = self
            .routes
            .iter()
            .filter(|(_, target)| self.attached.contains(target))
            .collect();
        let mut lines: Vec<_> = self
            .applied
            .iter()
            .filter(|net| !live.contains_key(net))
            .map(|net| format!("route del {net}"))
            .collect();
        lines.extend(live.iter().map(|(net, target)| {
            format!(
                "route replace {net} via {target} dev {} onlink",
                nft::interface(**target)
            )
        }));
        let applied = live.keys().map(|net| **net).collect();
        if !lines.is_empty() {
            ip_batch(&self.netns, &lines)?;
        }
        self.applied = applied;
        Ok(())
    }

    fn apply_policy(&mut self) -> Result<()> {
        let public: BTreeSet<_> = self
            .policy
            .public
            .iter()
            .map(|(public, _)| *public)
            .chain(
                self.wanted_balancers
                    .iter()
                    .flat_map(|balancer| balancer.addresses.iter().map(|(public, _)| *public)),
            )
            .collect();
        let private: BTreeSet<_> = self
            .wanted_balancers
            .iter()
            .flat_map(|balancer| balancer.addresses.iter().map(|(_, private)| *private))
            .collect();
        let mut lines = Vec::new();
        let wanted: BTreeMap<_, _> = public
            .iter()
            .map(|address| (*address, UPLINK))
            .chain(private.iter().map(|address| (*address, "lo")))
            .collect();
        let gone = self.bound.iter().filter(|(address, _)| !wanted.contains_key(address));
        lines.extend(gone.map(|(address, on)| format!("addr del {address}/32 dev {on}")));
        let fresh: Vec<_> = wanted
            .iter()
            .filter(|(address, _)| !self.bound.contains_key(address))
            .collect();
        lines.extend(
            fresh
                .iter()
                .map(|(address, on)| format!("addr add {address}/32 dev {on}")),
        );
        if !lines.is_empty() {
            ip_batch(&self.netns, &lines)?;
        }
        for (address, _) in fresh.iter().filter(|(_, on)| **on == UPLINK) {
            self.announce(**address);
        }
        self.bound = wanted;
        let rules = nft::render(&self.policy);
        let enter = format!("--net=/run/netns/{}", self.netns);
        run_args(&["nsenter", &enter, "nft", "-f", "-"], Some(&rules)).with_context(|| format!("loading\n{rules}"))?;
        Ok(())
    }

    /// Neighbours may remember another network's router for this address.
    fn announce(&self, address: Ipv4Addr) {
        for netns in netns_list()
            .iter()
            .filter(|name| name.starts_with("sk-") && !name.starts_with("sk-i-"))
        {
            let _ = run(&format!("ip -n {netns} neigh flush to {address}"));
        }
    }

    /// Everything of this network, gone.
    pub fn delete(mut self) {
        self.balancers.stop();
        self.imds.stop();
        erase(&self.id, &self.internet, self.policy.router);
    }
}

/// Removes a network's namespace and names, whoever made it.
pub fn erase(id: &str, internet: &Internet, router: Ipv4Addr) {
    let _ = run(&format!("ip -n {} link del {}", internet.netns, bridge_port(router)));
    let _ = run(&format!("ip netns del {}", netns_of_vpc(id)));
    registry::release(Kind::Vpc, id);
    registry::release(Kind::Uplink, &router.to_string());
}
