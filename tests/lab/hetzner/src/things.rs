//! What all kinds have: lists, one, new labels, an end. And what the project does not own: places, types, images, actions.

use serde_json::{Value, json};

use crate::{
    ask::{Asked, Kind},
    cloud::{Cloud, net},
    error::{Refusal, Result},
    faults::lock,
    labels, render,
    service::page,
    state::{Effect, State},
};

/// The word for one of a kind.
fn single(kind: &str) -> Result<&'static str> {
    Ok(match kind {
        "networks" => "network",
        "firewalls" => "firewall",
        "placement_groups" => "placement_group",
        "servers" => "server",
        "load_balancers" => "load_balancer",
        _ => return Err(Refusal::new(404, "not_found", "the resource was not found")),
    })
}

fn named(value: &Value, name: &str) -> bool {
    value["name"] == name
}

impl Cloud {
    fn all(&self, st: &State, kind: &str) -> Vec<Value> {
        match kind {
            "networks" => st.networks.values().map(|n| render::network(st, n)).collect(),
            "firewalls" => st.firewalls.values().map(|f| render::firewall(st, f)).collect(),
            "placement_groups" => st.groups.values().map(|g| render::group(st, g)).collect(),
            "servers" => st.servers.values().map(|s| self.server(st, s)).collect(),
            _ => st.balancers.values().map(|b| self.balancer(st, b)).collect(),
        }
    }

    pub(crate) fn list(&self, kind: &str, asked: &Asked) -> Result<Value> {
        single(kind)?;
        asked.only(&["name", "label_selector", "status", "type"])?;
        let all = self.all(&lock(&self.state), kind);
        let mut shown = Vec::new();
        for thing in all {
            let labels = labels::read(thing.get("labels"))?;
            let selected = match asked.one("label_selector") {
                Some(selector) => labels::select(selector, &labels)?,
                None => true,
            };
            let fits = |key: &str| {
                asked
                    .query
                    .get(key)
                    .is_none_or(|some| some.iter().any(|v| thing[key] == v.as_str()))
            };
            if selected && fits("name") && fits("status") && fits("type") {
                shown.push(thing);
            }
        }
        page(kind, shown, asked)
    }

    pub(crate) fn one(&self, kind: &str, id: u64) -> Result<Value> {
        let word = single(kind)?;
        let found = self.all(&lock(&self.state), kind).into_iter().find(|t| t["id"] == id);
        found
            .map(|t| json!({word: t}))
            .ok_or_else(|| Refusal::not_found(word, id))
    }

    pub(crate) fn update(&self, kind: &str, id: u64, asked: &Asked) -> Result<Value> {
        asked.fields(&[("name", false, Kind::Text), ("labels", false, Kind::Object)])?;
        self.one(kind, id)?;
        let given = asked.body.get("labels").map(|l| labels::read(Some(l))).transpose()?;
        let name = asked.body.get("name").and_then(Value::as_str).map(str::to_owned);
        if let Some(name) = &name {
            let st = lock(&self.state);
            if self.all(&st, kind).iter().any(|t| named(t, name) && t["id"] != id) {
                return Err(Refusal::taken("name"));
            }
        }
        {
            let mut st = lock(&self.state);
            let place = match kind {
                "networks" => st.networks.get_mut(&id).map(|n| (&mut n.name, &mut n.labels)),
                "firewalls" => st.firewalls.get_mut(&id).map(|n| (&mut n.name, &mut n.labels)),
                "placement_groups" => st.groups.get_mut(&id).map(|n| (&mut n.name, &mut n.labels)),
                "servers" => st.servers.get_mut(&id).map(|n| (&mut n.name, &mut n.labels)),
                _ => st.balancers.get_mut(&id).map(|n| (&mut n.name, &mut n.labels)),
            };
            if let Some((its_name, its_labels)) = place {
                *its_name = name.unwrap_or_else(|| its_name.clone());
                *its_labels = given.unwrap_or_else(|| its_labels.clone());
            }
        }
        self.one(kind, id)
    }

    pub(crate) fn free_name(&self, st: &State, kind: &str, name: &str) -> Result<()> {
        if self.all(st, kind).iter().any(|t| named(t, name)) {
            return Err(Refusal::taken("name"));
        }
        Ok(())
    }

    pub(crate) fn delete(&self, kind: &str, id: u64) -> Result<Value> {
        self.one(kind, id)?;
        let mut st = lock(&self.state);
        match kind {
            "servers" => {
                let Some(server) = st.servers.get_mut(&id) else {
                    return Ok(Value::Null);
                };
                if server.status == "deleting" || server.locked {
                    return Err(Refusal::locked("server"));
                }
                (server.status, server.locked) = ("deleting", true);
                let action = self.begin(&mut st, "delete_server", vec![(id, "server")], Effect::Delete(id), 5);
                return Ok(json!({"action": render::action(&action)}));
            }
            "load_balancers" => {
                let Some(balancer) = st.balancers.get_mut(&id) else {
                    return Ok(Value::Null);
                };
                if balancer.locked {
                    return Err(Refusal::locked("load balancer"));
                }
                balancer.locked = true;
                let of = vec![(id, "load_balancer")];
                let action = self.begin(&mut st, "delete_load_balancer", of, Effect::DeleteBalancer(id), 2);
                return Ok(json!({"action": render::action(&action)}));
            }
            "firewalls" => {
                if st.servers.values().any(|s| s.firewalls.contains(&id)) {
                    return Err(Refusal::in_use("firewall"));
                }
                st.firewalls.remove(&id);
            }
            // Servers leave it by themselves.
            "placement_groups" => {
                for server in st.servers.values_mut().filter(|s| s.group == Some(id)) {
                    server.group = None;
                }
                st.groups.remove(&id);
            }
            // Hetzner detaches its members first; who deletes a network with living servers in it has made a mistake here.
            _ => {
                if !st.members(id).is_empty() {
                    return Err(Refusal::in_use("network"));
                }
                st.networks.remove(&id);
                drop(st);
                lock(&self.pushed).0.remove(&id);
                self.note(self.backend.delete_vpc(&net(id)));
            }
        }
        Ok(Value::Null)
    }

    /// Places, types and images.
    pub(crate) fn catalog(&self, parts: &[&str], asked: &Asked) -> Result<Value> {
        asked.only(&[
            "name",
            "type",
            "architecture",
            "status",
            "include_deprecated",
            "label_selector",
            "bound_to",
        ])?;
        let kind = parts.first().copied().unwrap_or_default();
        let all: Vec<Value> = match kind {
            "locations" => self.cfg.locations.iter().map(|(n, z)| render::location(n, z)).collect(),
            "server_types" => self.cfg.server_types.iter().map(|t| self.server_type(t)).collect(),
            "images" => vec![render::image()],
            _ => vec![render::balancer_type()],
        };
        if let Some(id) = parts.get(1) {
            let number: u64 = id.parse().unwrap_or(0);
            let found = all.into_iter().find(|t| t["id"] == number);
            let word = kind.trim_end_matches('s');
            return found
                .map(|t| json!({word: t}))
                .ok_or_else(|| Refusal::not_found(word, number));
        }
        let fits = |t: &Value, key: &str| {
            asked
                .query
                .get(key)
                .is_none_or(|some| some.iter().any(|v| t[key] == v.as_str()))
        };
        let shown = all
            .into_iter()
            .filter(|t| ["name", "type", "architecture"].iter().all(|key| fits(t, key)));
        page(kind, shown.collect(), asked)
    }

    pub(crate) fn one_action(&self, id: u64) -> Result<Value> {
        let st = lock(&self.state);
        let found = st.actions.get(&id).ok_or_else(|| Refusal::not_found("action", id))?;
        Ok(json!({"action": render::action(found)}))
    }

    /// All of a thing, or those that were asked for by their ids.
    pub(crate) fn list_actions(&self, asked: &Asked, of: Option<(u64, &str)>) -> Result<Value> {
        asked.only(&["id", "status"])?;
        let st = lock(&self.state);
        let ids = asked.query.get("id");
        let shown = st.actions.values().filter(|a| match of {
            Some((id, kind)) => a
                .resources
                .iter()
                .any(|(r, word)| *r == id && kind.trim_end_matches('s') == *word),
            None => ids.is_none_or(|ids| ids.iter().any(|id| *id == a.id.to_string())),
        });
        let status = asked.query.get("status");
        let shown = shown.filter(|a| status.is_none_or(|some| some.iter().any(|s| s == a.status)));
        page("actions", shown.map(render::action).collect(), asked)
    }
}
