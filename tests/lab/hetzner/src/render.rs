//! Things as the API shows them.

use serde_json::{Value, json};

use crate::{
    cloud::Cloud,
    config::ServerType,
    state::{Action, Balancer, Firewall, Group, Network, Server, State, Target},
};

pub(crate) fn action(a: &Action) -> Value {
    json!({
        "id": a.id,
        "command": a.command,
        "status": a.status,
        "progress": if a.status == "running" { 0 } else { 100 },
        "started": a.started.to_string(),
        "finished": a.finished.map(|t| t.to_string()),
        "resources": a.resources.iter().map(|(id, kind)| json!({"id": id, "type": kind})).collect::<Vec<_>>(),
        "error": a.error.map(|(code, message)| json!({"code": code, "message": message})),
    })
}

pub(crate) fn network(st: &State, n: &Network) -> Value {
    let members: Vec<u64> = st
        .servers
        .values()
        .filter(|s| s.private.is_some_and(|p| p.0 == n.id))
        .map(|s| s.id)
        .collect();
    let balancers: Vec<u64> = st
        .balancers
        .values()
        .filter(|b| b.private.is_some_and(|p| p.0 == n.id))
        .map(|b| b.id)
        .collect();
    let gateway = |range: &ipnet::Ipv4Net| range.hosts().next().map(|ip| ip.to_string());
    json!({
        "id": n.id,
        "name": n.name,
        "labels": n.labels,
        "ip_range": n.range,
        "subnets": n.subnets.iter().map(|(range, zone)| json!({
            "type": "cloud", "ip_range": range, "network_zone": zone, "gateway": gateway(range), "vswitch_id": null,
        })).collect::<Vec<_>>(),
        "routes": [],
        "servers": members,
        "load_balancers": balancers,
        "expose_routes_to_vswitch": false,
        "protection": {"delete": false},
        "created": n.created.to_string(),
    })
}

pub(crate) fn firewall(st: &State, f: &Firewall) -> Value {
    let applied = st.servers.values().filter(|s| s.firewalls.contains(&f.id));
    json!({
        "id": f.id,
        "name": f.name,
        "labels": f.labels,
        "rules": f.rules,
        "applied_to": applied.map(|s| json!({"type": "server", "server": {"id": s.id}})).collect::<Vec<_>>(),
        "created": f.created.to_string(),
    })
}

pub(crate) fn group(st: &State, g: &Group) -> Value {
    let servers: Vec<u64> = st
        .servers
        .values()
        .filter(|s| s.group == Some(g.id))
        .map(|s| s.id)
        .collect();
    json!({"id": g.id, "name": g.name, "labels": g.labels, "type": "spread", "servers": servers, "created": g.created.to_string()})
}

pub(crate) fn location(name: &str, zone: &str) -> Value {
    let number = name.bytes().fold(0u64, |sum, b| sum * 7 + u64::from(b)) % 100;
    json!({
        "id": number, "name": name, "description": format!("{name} of the laboratory"), "country": "DE", "city": "Laboratory",
        "latitude": 50.1, "longitude": 11.2, "network_zone": zone,
    })
}

pub(crate) fn image() -> Value {
    json!({
        "id": 114_690_387, "type": "system", "status": "available", "name": "debian-12", "description": "Debian 12",
        "image_size": null, "disk_size": 5, "created": "2023-06-13T06:00:12Z", "created_from": null, "bound_to": null,
        "os_flavor": "debian", "os_version": "12", "rapid_deploy": true, "protection": {"delete": false}, "deprecated": null,
        "deleted": null, "labels": {}, "architecture": "x86",
    })
}

pub(crate) fn balancer_type() -> Value {
    json!({
        "id": 1, "name": "lb11", "description": "LB11", "max_connections": 10_000, "max_services": 5, "max_targets": 25,
        "max_assigned_certificates": 10, "deprecated": null, "prices": [],
    })
}

impl Cloud {
    pub(crate) fn place(&self, name: &str) -> Value {
        let zone = self
            .cfg
            .locations
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, zone)| zone);
        location(name, zone)
    }

    pub(crate) fn server_type(&self, t: &ServerType) -> Value {
        let number = self
            .cfg
            .server_types
            .iter()
            .position(|one| one.name == t.name)
            .unwrap_or(0)
            + 100;
        let offers: Vec<Value> = self
            .cfg
            .locations
            .iter()
            .map(|(name, _)| {
                let free = !self.faults.is_full(name, &t.name);
                json!({"id": location(name, "")["id"], "name": name, "deprecation": null, "available": free, "recommended": free})
            })
            .collect();
        json!({
            "id": number, "name": t.name, "description": t.name.to_uppercase(), "category": "Laboratory", "cores": t.cores,
            "memory": f64::from(t.memory), "disk": t.disk, "deprecated": false, "deprecation": null, "prices": [],
            "storage_type": "local", "cpu_type": if t.name.starts_with("ccx") { "dedicated" } else { "shared" },
            "architecture": if t.name.starts_with("cax") { "arm" } else { "x86" }, "locations": offers,
        })
    }

    pub(crate) fn server(&self, st: &State, s: &Server) -> Value {
        let kind = self.cfg.server_types.iter().find(|t| t.name == s.kind);
        let firewalls: Vec<Value> = s
            .firewalls
            .iter()
            .map(|id| json!({"id": id, "status": "applied"}))
            .collect();
        let private: Vec<Value> = s
            .private
            .iter()
            .map(|(net, ip)| json!({"network": net, "ip": ip, "alias_ips": [], "mac_address": crate::cloud::mac(s.id)}))
            .collect();
        json!({
            "id": s.id,
            "name": s.name,
            "labels": s.labels,
            "status": s.status,
            "locked": s.locked,
            "created": s.created.to_string(),
            "public_net": {
                "ipv4": s.public.map(|ip| json!({"id": s.id + 1, "ip": ip, "blocked": false, "dns_ptr": format!("static.{ip}.clients.your-server.de")})),
                "ipv6": null,
                "floating_ips": [],
                "firewalls": firewalls,
            },
            "private_net": private,
            "server_type": kind.map(|t| self.server_type(t)),
            "location": self.place(&s.location),
            "image": image(),
            "iso": null,
            "rescue_enabled": false,
            "backup_window": null,
            "outgoing_traffic": 0,
            "ingoing_traffic": 0,
            "included_traffic": 0,
            "protection": {"delete": false, "rebuild": false},
            "volumes": [],
            "load_balancers": [],
            "primary_disk_size": kind.map(|t| t.disk),
            "placement_group": s.group.and_then(|id| st.groups.get(&id)).map(|g| group(st, g)),
        })
    }

    pub(crate) fn balancer(&self, st: &State, b: &Balancer) -> Value {
        let target = |t: &Target| match t {
            Target::Server { id, private } => json!({
                "type": "server", "server": {"id": id}, "use_private_ip": private, "health_status": self.health(st, b, *id),
            }),
            Target::Selector { selector, private } => json!({
                "type": "label_selector", "label_selector": {"selector": selector}, "use_private_ip": private,
                "targets": crate::balancers::selected(st, selector).map(|id| json!({
                    "type": "server", "server": {"id": id}, "use_private_ip": private, "health_status": self.health(st, b, id),
                })).collect::<Vec<_>>(),
            }),
        };
        json!({
            "id": b.id,
            "name": b.name,
            "labels": b.labels,
            "public_net": {
                "enabled": b.public_interface,
                "ipv4": {"ip": b.public, "dns_ptr": null},
                "ipv6": {"ip": null, "dns_ptr": null},
            },
            "private_net": b.private.iter().map(|(net, ip)| json!({"network": net, "ip": ip})).collect::<Vec<_>>(),
            "location": self.place(&b.location),
            "load_balancer_type": balancer_type(),
            "protection": {"delete": false},
            "services": b.services,
            "targets": b.targets.iter().map(target).collect::<Vec<_>>(),
            "algorithm": {"type": b.algorithm},
            "outgoing_traffic": 0,
            "ingoing_traffic": 0,
            "included_traffic": 0,
            "created": b.created.to_string(),
        })
    }
}
