//! Load balancers and their actions.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    ask::{Asked, Kind, inner},
    cloud::Cloud,
    error::{Refusal, Result},
    faults::lock,
    labels, render,
    state::{Balancer, Effect, State, Target},
};

/// The servers that a selector names.
pub(crate) fn selected<'a>(st: &'a State, selector: &'a str) -> impl Iterator<Item = u64> + 'a {
    let fits = move |labels| labels::select(selector, labels).unwrap_or(false);
    st.servers.values().filter(move |s| fits(&s.labels)).map(|s| s.id)
}

const SERVICE: [(&str, bool, Kind); 6] = [
    ("protocol", true, Kind::Text),
    ("listen_port", true, Kind::Number),
    ("destination_port", true, Kind::Number),
    ("proxyprotocol", false, Kind::Bool),
    ("health_check", false, Kind::Object),
    ("http", false, Kind::Object),
];

/// One service, its defaults filled in. Only TCP is made real here.
fn service(object: &Map<String, Value>) -> Result<Value> {
    crate::ask::check(object, &SERVICE)?;
    let port = |key: &str| {
        object
            .get(key)
            .and_then(Value::as_u64)
            .filter(|p| (1..=65535).contains(p))
    };
    let (Some(listen), Some(to)) = (port("listen_port"), port("destination_port")) else {
        return Err(Refusal::invalid("listen_port", "ports are 1 to 65535"));
    };
    if object.get("protocol").and_then(Value::as_str) != Some("tcp") {
        return Err(Refusal::new(
            422,
            "unsupported_error",
            "only tcp is there in this laboratory",
        ));
    }
    let check = match object.get("health_check") {
        Some(check) => {
            let known = [
                ("protocol", true, Kind::Text),
                ("port", true, Kind::Number),
                ("interval", true, Kind::Number),
                ("timeout", true, Kind::Number),
                ("retries", true, Kind::Number),
                ("http", false, Kind::Object),
            ];
            let check = inner(check, "health_check", &known)?;
            let within = |key: &str, least, most| {
                check
                    .get(key)
                    .and_then(Value::as_u64)
                    .is_some_and(|n| (least..=most).contains(&n))
            };
            if !(within("interval", 3, 60) && within("timeout", 1, 60) && within("retries", 0, 5)) {
                return Err(Refusal::invalid(
                    "health_check",
                    "interval 3 to 60, timeout 1 to 60, retries 0 to 5",
                ));
            }
            Value::Object(check.clone())
        }
        None => json!({"protocol": "tcp", "port": to, "interval": 15, "timeout": 10, "retries": 3}),
    };
    let proxy = object.get("proxyprotocol").and_then(Value::as_bool).unwrap_or(false);
    Ok(
        json!({"protocol": "tcp", "listen_port": listen, "destination_port": to, "proxyprotocol": proxy, "health_check": check}),
    )
}

impl Cloud {
    pub(crate) fn create_balancer(&self, asked: &Asked) -> Result<Value> {
        asked.fields(&[
            ("name", true, Kind::Text),
            ("load_balancer_type", true, Kind::NameOrId),
            ("algorithm", false, Kind::Object),
            ("location", false, Kind::NameOrId),
            ("network_zone", false, Kind::Text),
            ("network", false, Kind::Number),
            ("public_interface", false, Kind::Bool),
            ("labels", false, Kind::Object),
            ("services", false, Kind::List),
            ("targets", false, Kind::List),
        ])?;
        if asked.text("load_balancer_type") != "lb11" {
            return Err(Refusal::invalid("load_balancer_type", "unknown load balancer type"));
        }
        let location = asked.text("location");
        if !self.cfg.locations.iter().any(|(l, _)| l == location) {
            return Err(Refusal::invalid("location", "location or network_zone is required"));
        }
        let labels = labels::read(asked.body.get("labels"))?;
        let mut services: Vec<Value> = Vec::new();
        for one in asked.list("services") {
            let object = one
                .as_object()
                .ok_or_else(|| Refusal::invalid("services", "Not a valid object."))?;
            let one = service(object)?;
            if services.iter().any(|s| s["listen_port"] == one["listen_port"]) {
                return Err(Refusal::new(
                    409,
                    "source_port_already_used",
                    "the source port is used twice",
                ));
            }
            services.push(one);
        }
        let mut st = lock(&self.state);
        self.free_name(&st, "load_balancers", asked.text("name"))?;
        if st.balancers.len() >= self.cfg.limits.load_balancers {
            return Err(Refusal::limit("load_balancer"));
        }
        let network = match asked.number("network") {
            Some(network) => Some((
                network,
                self.place_for(&st, location, None, network, "", "load_balancer")?,
            )),
            None => None,
        };
        let public = st
            .public(self.cfg.public_pool)
            .ok_or_else(|| Refusal::limit("address"))?;
        let mut balancer = Balancer {
            id: st.id(),
            name: asked.text("name").to_owned(),
            labels,
            location: location.to_owned(),
            algorithm: "round_robin".into(),
            public,
            public_interface: asked
                .body
                .get("public_interface")
                .and_then(Value::as_bool)
                .unwrap_or(true),
            private: network,
            services,
            targets: Vec::new(),
            locked: true,
            created: Timestamp::now(),
        };
        for one in asked.list("targets") {
            let object = one
                .as_object()
                .ok_or_else(|| Refusal::invalid("targets", "Not a valid object."))?;
            let target = target(&st, &balancer, object)?;
            balancer.targets.push(target);
        }
        let id = balancer.id;
        st.balancers.insert(id, balancer.clone());
        let action = self.begin(
            &mut st,
            "create_load_balancer",
            vec![(id, "load_balancer")],
            Effect::Unlock(id),
            2,
        );
        Ok(json!({"load_balancer": self.balancer(&st, &balancer), "action": render::action(&action)}))
    }

    pub(crate) fn balancer_action(&self, id: u64, verb: &str, asked: &Asked) -> Result<Value> {
        let mut st = lock(&self.state);
        let mut balancer = st
            .balancers
            .get(&id)
            .ok_or_else(|| Refusal::not_found("load_balancer", id))?
            .clone();
        if balancer.locked {
            return Err(Refusal::locked("load balancer"));
        }
        let mut effect = Effect::Unlock(id);
        let place = |port: &Value| balancer.services.iter().position(|s| s["listen_port"] == *port);
        let command = match verb {
            "add_service" => {
                let new = service(&asked.body)?;
                if place(&new["listen_port"]).is_some() {
                    return Err(Refusal::new(
                        409,
                        "source_port_already_used",
                        "the source port is already used",
                    ));
                }
                balancer.services.push(new);
                "add_service"
            }
            "update_service" => {
                let new = service(&asked.body)?;
                let at =
                    place(&new["listen_port"]).ok_or_else(|| Refusal::invalid("listen_port", "no such service"))?;
                balancer.services.splice(at..=at, [new]);
                "update_service"
            }
            "delete_service" => {
                asked.fields(&[("listen_port", true, Kind::Number)])?;
                let port = asked.body.get("listen_port").cloned().unwrap_or_default();
                let at = place(&port).ok_or_else(|| Refusal::invalid("listen_port", "no such service"))?;
                balancer.services.remove(at);
                "delete_service"
            }
            "add_target" => {
                let target = target(&st, &balancer, &asked.body)?;
                if balancer.targets.contains(&target) {
                    return Err(Refusal::new(
                        409,
                        "target_already_defined",
                        "the target is already defined",
                    ));
                }
                balancer.targets.push(target);
                "add_target"
            }
            "remove_target" => {
                let gone = asked.body.get("server").and_then(|s| s["id"].as_u64());
                balancer
                    .targets
                    .retain(|t| !matches!(t, Target::Server { id, .. } if Some(*id) == gone));
                "remove_target"
            }
            "attach_to_network" => {
                asked.fields(&[
                    ("network", true, Kind::Number),
                    ("ip", false, Kind::Text),
                    ("ip_range", false, Kind::Text),
                ])?;
                let network = asked.number("network").unwrap_or(0);
                let (now, ip) = (balancer.private, asked.text("ip"));
                let ip = self.place_for(&st, &balancer.location, now, network, ip, "load_balancer")?;
                effect = Effect::JoinBalancer(id, network, ip);
                "attach_to_network"
            }
            "detach_from_network" => {
                asked.fields(&[("network", true, Kind::Number)])?;
                effect = Effect::LeaveBalancer(id);
                "detach_from_network"
            }
            _ => return Err(Refusal::new(404, "not_found", "the resource was not found")),
        };
        balancer.locked = true;
        st.balancers.insert(id, balancer);
        let action = self.begin(&mut st, command, vec![(id, "load_balancer")], effect, 1);
        Ok(json!({"action": render::action(&action)}))
    }
}

/// A target as it must be sent: over the private network only when both are in it.
fn target(st: &State, balancer: &Balancer, object: &Map<String, Value>) -> Result<Target> {
    crate::ask::check(
        object,
        &[
            ("type", true, Kind::Text),
            ("server", false, Kind::Object),
            ("label_selector", false, Kind::Object),
            ("use_private_ip", false, Kind::Bool),
        ],
    )?;
    let private = object.get("use_private_ip").and_then(Value::as_bool).unwrap_or(false);
    let network = balancer.private.map(|p| p.0);
    if private && network.is_none() {
        return Err(Refusal::new(
            422,
            "load_balancer_not_attached_to_network",
            "the load balancer is not attached to a network",
        ));
    }
    match object.get("type").and_then(Value::as_str) {
        Some("server") => {
            let id = object.get("server").and_then(|s| s["id"].as_u64()).unwrap_or(0);
            let server = st.servers.get(&id).ok_or_else(|| Refusal::not_found("server", id))?;
            if private && server.private.map(|p| p.0) != network {
                return Err(Refusal::new(
                    422,
                    "server_not_attached_to_network",
                    "the server is not attached to the load balancer's network",
                ));
            }
            Ok(Target::Server { id, private })
        }
        Some("label_selector") => {
            let selector = object
                .get("label_selector")
                .and_then(|s| s["selector"].as_str())
                .unwrap_or_default();
            labels::select(selector, &labels::Labels::new())?;
            Ok(Target::Selector {
                selector: selector.to_owned(),
                private,
            })
        }
        _ => Err(Refusal::invalid("type", "must be one of: server, label_selector")),
    }
}
