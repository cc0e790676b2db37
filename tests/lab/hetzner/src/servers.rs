//! Servers and their actions.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    ask::{Asked, Kind, inner},
    cloud::Cloud,
    error::{Refusal, Result},
    faults::lock,
    labels, render,
    state::{Effect, Server, State},
};

/// RFC 1123.
fn is_host_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

impl Cloud {
    pub(crate) fn create_server(&self, asked: &Asked) -> Result<Value> {
        asked.fields(&[
            ("name", true, Kind::Text),
            ("server_type", true, Kind::NameOrId),
            ("image", true, Kind::NameOrId),
            ("location", false, Kind::NameOrId),
            ("start_after_create", false, Kind::Bool),
            ("labels", false, Kind::Object),
            ("firewalls", false, Kind::List),
            ("networks", false, Kind::List),
            ("placement_group", false, Kind::Number),
            ("user_data", false, Kind::Text),
            ("public_net", false, Kind::Object),
            ("ssh_keys", false, Kind::List),
            ("volumes", false, Kind::List),
            ("automount", false, Kind::Bool),
        ])?;
        let (name, kind) = (asked.text("name"), asked.text("server_type"));
        let location = match asked.text("location") {
            "" => "fsn1",
            location => location,
        };
        if !is_host_name(name) {
            return Err(Refusal::invalid("name", "must be a valid hostname as per RFC 1123"));
        }
        let labels = labels::read(asked.body.get("labels"))?;
        let known = self.cfg.server_types.iter().any(|t| t.name == kind);
        if !known || !self.cfg.locations.iter().any(|(l, _)| l == location) {
            return Err(Refusal::invalid("server_type", "unknown server type or location"));
        }
        if asked.text("image") != "debian-12" || kind.starts_with("cax") {
            return Err(Refusal::invalid(
                "image",
                "no such image for the architecture of the server type",
            ));
        }
        if asked.text("user_data").len() > 32 * 1024 {
            return Err(Refusal::invalid("user_data", "Longer than maximum length 32768."));
        }
        let mut st = lock(&self.state);
        self.free_name(&st, "servers", name)?;
        let firewalls = self.firewalls_of(&st, asked)?;
        let group = asked.number("placement_group");
        if let Some(id) = group {
            let of = st.servers.values().filter(|s| s.group == group).count();
            st.groups
                .get(&id)
                .ok_or_else(|| Refusal::not_found("placement_group", id))?;
            if of >= 10 {
                return Err(Refusal::new(
                    409,
                    "placement_error",
                    "an error during the placement occurred",
                ));
            }
        }
        if st.servers.len() >= self.cfg.limits.servers {
            return Err(Refusal::limit("server"));
        }
        if self.faults.is_full(location, kind) {
            return Err(Refusal::no_machine());
        }
        let public = match asked.body.get("public_net") {
            Some(wish) => {
                let known = [
                    ("enable_ipv4", true, Kind::Bool),
                    ("enable_ipv6", true, Kind::Bool),
                    ("ipv4", false, Kind::Number),
                    ("ipv6", false, Kind::Number),
                ];
                let wish = inner(wish, "public_net", &known)?;
                wish.get("enable_ipv4").and_then(Value::as_bool) == Some(true)
            }
            None => true,
        };
        let address = st.public(self.cfg.public_pool).filter(|_| public);
        if public && address.is_none() {
            return Err(Refusal::limit("primary IP"));
        }
        let server = Server {
            id: st.id(),
            name: name.to_owned(),
            labels,
            status: "initializing",
            locked: true,
            location: location.to_owned(),
            kind: kind.to_owned(),
            public: address,
            private: None,
            firewalls,
            group,
            user_data: asked.text("user_data").to_owned(),
            created: Timestamp::now(),
            machine: false,
        };
        // The address has an id of its own.
        st.id();
        let id = server.id;
        st.servers.insert(id, server.clone());
        let action = self.begin(&mut st, "create_server", vec![(id, "server")], Effect::Created(id), 10);
        let start = asked.body.get("start_after_create").and_then(Value::as_bool) != Some(false);
        let mut next = Vec::new();
        if start {
            next.push(render::action(&self.begin(
                &mut st,
                "start_server",
                vec![(id, "server")],
                Effect::SwitchOn(id),
                20,
            )));
        }
        Ok(json!({
            "server": self.server(&st, &server),
            "action": render::action(&action),
            "next_actions": next,
            // Without an SSH key Hetzner makes a password, and sends it by mail too.
            "root_password": asked.list("ssh_keys").is_empty().then_some("YItygq1v3GYjjMomLaKc"),
        }))
    }

    fn firewalls_of(&self, st: &State, asked: &Asked) -> Result<Vec<u64>> {
        let mut ids = Vec::new();
        for one in asked.list("firewalls") {
            let one = inner(one, "firewalls", &[("firewall", true, Kind::Number)])?;
            let id = one.get("firewall").and_then(Value::as_u64).unwrap_or(0);
            st.firewalls
                .get(&id)
                .ok_or_else(|| Refusal::not_found("firewall", id))?;
            ids.push(id);
        }
        Ok(ids)
    }

    pub(crate) fn server_action(&self, id: u64, verb: &str, asked: &Asked) -> Result<Value> {
        let mut st = lock(&self.state);
        let server = st
            .servers
            .get(&id)
            .ok_or_else(|| Refusal::not_found("server", id))?
            .clone();
        if server.locked {
            return Err(Refusal::locked("server"));
        }
        let (command, effect, status, of) = match verb {
            "poweron" => {
                asked.fields(&[])?;
                let done = server.status == "running";
                let effect = if done { Effect::Nothing } else { Effect::SwitchOn(id) };
                ("start_server", effect, if done { "running" } else { "starting" }, None)
            }
            "poweroff" => {
                asked.fields(&[])?;
                ("stop_server", Effect::SwitchOff(id), "stopping", None)
            }
            "attach_to_network" => {
                asked.fields(&[
                    ("network", true, Kind::Number),
                    ("ip", false, Kind::Text),
                    ("alias_ips", false, Kind::List),
                    ("ip_range", false, Kind::Text),
                ])?;
                let network = asked.number("network").unwrap_or(0);
                let ip = self.place_for(
                    &st,
                    &server.location,
                    server.private,
                    network,
                    asked.text("ip"),
                    "server",
                )?;
                (
                    "attach_to_network",
                    Effect::Join(id, network, ip),
                    server.status,
                    Some(network),
                )
            }
            "detach_from_network" => {
                asked.fields(&[("network", true, Kind::Number)])?;
                let network = asked.number("network").unwrap_or(0);
                if server.private.is_none_or(|p| p.0 != network) {
                    return Err(Refusal::not_found("network", network));
                }
                ("detach_from_network", Effect::Leave(id), server.status, Some(network))
            }
            _ => return Err(Refusal::new(404, "not_found", "the resource was not found")),
        };
        let mut resources = vec![(id, "server")];
        resources.extend(of.map(|network| (network, "network")));
        let action = self.begin(&mut st, command, resources, effect.clone(), 10);
        if let Some(s) = st.servers.get_mut(&id) {
            s.status = status;
            s.locked = !matches!(effect, Effect::Nothing);
        }
        Ok(json!({"action": render::action(&action)}))
    }

    /// Where a member of a network may stand: its location lies in the zone of a subnet, and the address is free.
    pub(crate) fn place_for(
        &self,
        st: &State,
        location: &str,
        now: Option<(u64, Ipv4Addr)>,
        network: u64,
        ip: &str,
        what: &str,
    ) -> Result<Ipv4Addr> {
        let found = st
            .networks
            .get(&network)
            .ok_or_else(|| Refusal::not_found("network", network))?;
        if now.is_some() {
            let code = match what {
                "server" => "server_already_attached",
                _ => "load_balancer_already_attached",
            };
            return Err(Refusal::new(
                409,
                code,
                format!("{what} is already attached to the network"),
            ));
        }
        let zone = self
            .cfg
            .locations
            .iter()
            .find(|(name, _)| name == location)
            .map(|(_, zone)| zone);
        let mut here = found.clone();
        here.subnets.retain(|(_, of)| Some(of) == zone);
        if here.subnets.is_empty() {
            return Err(Refusal::new(
                409,
                "no_subnet_available",
                "no subnet in this network zone",
            ));
        }
        let wanted = match ip {
            "" => None,
            ip => Some(ip.parse().map_err(|_| Refusal::invalid("ip", "Not a valid address."))?),
        };
        st.address(&here, wanted)
            .ok_or_else(|| Refusal::new(409, "ip_not_available", "IP is not available"))
    }
}
