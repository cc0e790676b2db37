//! Networks, firewalls, placement groups.

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    ask::{Asked, Kind, inner},
    cloud::{Cloud, net},
    error::{Refusal, Result},
    faults::lock,
    labels, render,
    state::{Effect, Firewall, Group, Network},
};

fn private(range: &Ipv4Net) -> bool {
    range.network().is_private() && range.broadcast().is_private() && range.trunc() == *range
}

/// One rule, as it must be sent.
fn rule(value: &Value) -> Result<Value> {
    let rule = inner(
        value,
        "rules",
        &[
            ("direction", true, Kind::Text),
            ("protocol", true, Kind::Text),
            ("port", false, Kind::Text),
            ("source_ips", false, Kind::List),
            ("destination_ips", false, Kind::List),
            ("description", false, Kind::Text),
        ],
    )?;
    let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
    let list = |key: &str| rule.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (direction, protocol, port) = (text("direction"), text("protocol"), text("port"));
    if !["in", "out"].contains(&direction) || !["tcp", "udp", "icmp", "esp", "gre"].contains(&protocol) {
        return Err(Refusal::invalid("rules", "unknown direction or protocol"));
    }
    if ["tcp", "udp"].contains(&protocol) == port.is_empty() {
        return Err(Refusal::invalid("rules", "port is for tcp and udp, and required there"));
    }
    let number = |p: &str| p == "any" || p.parse::<u16>().is_ok_and(|p| p > 0);
    if !port.is_empty() && !port.split('-').all(number) {
        return Err(Refusal::invalid("rules", "port is not valid"));
    }
    let addresses = list(if direction == "in" {
        "source_ips"
    } else {
        "destination_ips"
    });
    let valid = |a: &Value| {
        a.as_str()
            .is_some_and(|a| a.parse::<ipnet::IpNet>().is_ok_and(|n| n.trunc() == n))
    };
    if addresses.is_empty() || addresses.len() > 100 || !addresses.iter().all(valid) {
        return Err(Refusal::invalid(
            "rules",
            "1 to 100 addresses in CIDR notation are required",
        ));
    }
    Ok(json!({
        "direction": direction,
        "protocol": protocol,
        "port": (!port.is_empty()).then_some(port),
        "source_ips": list("source_ips"),
        "destination_ips": list("destination_ips"),
        "description": rule.get("description").cloned().unwrap_or_default(),
    }))
}

fn rules(asked: &Asked) -> Result<Vec<Value>> {
    let all = asked.list("rules");
    if all.len() > 50 {
        return Err(Refusal::limit("firewall rules"));
    }
    all.iter().map(rule).collect()
}

impl Cloud {
    pub(crate) fn create_network(&self, asked: &Asked) -> Result<Value> {
        asked.fields(&[
            ("name", true, Kind::Text),
            ("ip_range", true, Kind::Text),
            ("subnets", false, Kind::List),
            ("routes", false, Kind::List),
            ("labels", false, Kind::Object),
            ("expose_routes_to_vswitch", false, Kind::Bool),
        ])?;
        let labels = labels::read(asked.body.get("labels"))?;
        let range: Ipv4Net = asked
            .text("ip_range")
            .parse()
            .map_err(|_| Refusal::invalid("ip_range", "Not a valid range."))?;
        if !private(&range) || range.prefix_len() > 24 {
            return Err(Refusal::invalid("ip_range", "must be a private range of at least /24"));
        }
        let mut subnets: Vec<(Ipv4Net, String)> = Vec::new();
        for one in asked.list("subnets") {
            subnets.push(self.subnet(one, &range, &subnets)?);
        }
        let mut st = lock(&self.state);
        self.free_name(&st, "networks", asked.text("name"))?;
        if st.networks.len() >= self.cfg.limits.networks {
            return Err(Refusal::limit("network"));
        }
        let network = Network {
            id: st.id(),
            name: asked.text("name").to_owned(),
            labels,
            range,
            subnets,
            created: Timestamp::now(),
        };
        let id = network.id;
        st.networks.insert(id, network.clone());
        let shown = render::network(&st, &network);
        drop(st);
        self.note(self.backend.create_vpc(&net(id), range));
        Ok(json!({"network": shown}))
    }

    fn subnet(&self, value: &Value, range: &Ipv4Net, others: &[(Ipv4Net, String)]) -> Result<(Ipv4Net, String)> {
        let subnet = inner(
            value,
            "subnets",
            &[
                ("type", true, Kind::Text),
                ("ip_range", false, Kind::Text),
                ("network_zone", true, Kind::Text),
                ("vswitch_id", false, Kind::Number),
            ],
        )?;
        let text = |key: &str| subnet.get(key).and_then(Value::as_str).unwrap_or_default();
        let part: Ipv4Net = text("ip_range")
            .parse()
            .map_err(|_| Refusal::invalid("subnets", "Not a valid range."))?;
        if text("type") != "cloud" || part.trunc() != part || !range.contains(&part) {
            return Err(Refusal::invalid("subnets", "ip_range must be a part of the network's"));
        }
        if others
            .iter()
            .any(|(other, _)| other.contains(&part) || part.contains(other))
        {
            return Err(Refusal::new(422, "networks_overlap", "the subnets overlap"));
        }
        if !self.cfg.locations.iter().any(|(_, zone)| zone == text("network_zone")) {
            return Err(Refusal::invalid("network_zone", "unknown network zone"));
        }
        Ok((part, text("network_zone").to_owned()))
    }

    pub(crate) fn create_firewall(&self, asked: &Asked) -> Result<Value> {
        asked.fields(&[
            ("name", true, Kind::Text),
            ("rules", false, Kind::List),
            ("labels", false, Kind::Object),
            ("apply_to", false, Kind::List),
        ])?;
        let (labels, rules) = (labels::read(asked.body.get("labels"))?, rules(asked)?);
        let mut st = lock(&self.state);
        self.free_name(&st, "firewalls", asked.text("name"))?;
        let firewall = Firewall {
            id: st.id(),
            name: asked.text("name").to_owned(),
            labels,
            rules,
            created: Timestamp::now(),
        };
        st.firewalls.insert(firewall.id, firewall.clone());
        Ok(json!({"firewall": render::firewall(&st, &firewall), "actions": []}))
    }

    pub(crate) fn firewall_action(&self, id: u64, verb: &str, asked: &Asked) -> Result<Value> {
        if verb != "set_rules" {
            return Err(Refusal::new(404, "not_found", "the resource was not found"));
        }
        asked.fields(&[("rules", true, Kind::List)])?;
        let rules = rules(asked)?;
        let mut st = lock(&self.state);
        let firewall = st
            .firewalls
            .get_mut(&id)
            .ok_or_else(|| Refusal::not_found("firewall", id))?;
        firewall.rules = rules;
        let of = vec![(id, "firewall")];
        let action = self.begin(&mut st, "set_firewall_rules", of, Effect::Nothing, 1);
        Ok(json!({"actions": [render::action(&action)]}))
    }

    pub(crate) fn create_group(&self, asked: &Asked) -> Result<Value> {
        asked.fields(&[
            ("name", true, Kind::Text),
            ("type", true, Kind::Text),
            ("labels", false, Kind::Object),
        ])?;
        if asked.text("type") != "spread" {
            return Err(Refusal::invalid("type", "must be one of: spread"));
        }
        let labels = labels::read(asked.body.get("labels"))?;
        let mut st = lock(&self.state);
        self.free_name(&st, "placement_groups", asked.text("name"))?;
        let group = Group {
            id: st.id(),
            name: asked.text("name").to_owned(),
            labels,
            created: Timestamp::now(),
        };
        st.groups.insert(group.id, group.clone());
        Ok(json!({"placement_group": render::group(&st, &group), "action": null}))
    }
}
