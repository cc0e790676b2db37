//! Nodes. A server is made switched off, joined to the network at its planned address, and only then switched on: an address in the
//! network can't be chosen at creation, and whoever boots first must know the address.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use skykeep_core::{Deadline, Explained, Progress, deadline::Look};

use super::{
    HetznerCloud,
    call::{Named, Thing, lift, passes},
};
use crate::{CloudError, Instance, Network, PlannedNode, Result, Role, wait::wait};

/// Label: which attempt at the node this server is.
const ATTEMPT: &str = "skykeep.dev/attempt";
/// What Hetzner takes of user data.
const LONGEST: usize = 32 * 1024;
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
pub(super) struct Server {
    #[serde(flatten)]
    named: Named,
    pub status: String,
    #[serde(default)]
    locked: bool,
    public_net: PublicNet,
    #[serde(default)]
    private_net: Vec<PrivateNet>,
}

#[derive(Debug, Deserialize)]
struct PublicNet {
    ipv4: Option<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    ip: Ipv4Addr,
}

#[derive(Debug, Deserialize)]
struct PrivateNet {
    network: u64,
    ip: Ipv4Addr,
}

impl Thing for Server {
    fn named(&self) -> &Named {
        &self.named
    }
}

impl Server {
    pub(super) fn id(&self) -> u64 {
        self.named.id
    }

    fn node(&self, name: &str, planned: Ipv4Addr) -> Instance {
        Instance {
            name: name.to_owned(),
            id: self.named.id.to_string(),
            private_ip: planned,
            public_ip: self.public_net.ipv4.as_ref().map(|a| a.ip),
        }
    }

    /// Made for another attempt and never finished: its user data is another one.
    fn is_stale(&self, attempt: u32) -> bool {
        self.status == "off"
            && self
                .named
                .labels
                .get(ATTEMPT)
                .is_some_and(|a| *a != attempt.to_string())
    }
}

impl HetznerCloud {
    pub(super) async fn server(
        &self,
        network: &Network,
        node: &PlannedNode,
        user_data: &[u8],
        attempt: u32,
        progress: &Progress,
    ) -> Result<Instance> {
        let name = self.name_of(&node.name);
        let what = format!("node {} to be switched on", node.name);
        // Whatever was interrupted, the next look goes on from the state that it finds.
        wait(&what, Deadline::after(Duration::from_secs(280)), PAUSE, || async {
            let Some(server) = self.find::<Server>("servers", &name).await? else {
                self.make(network, node, user_data, attempt, progress).await?;
                return Ok(Look::NotYet("it was made".into()));
            };
            if server.status == "deleting" || server.is_stale(attempt) {
                if server.status != "deleting" {
                    progress.note(format!(
                        "node {} {} is of another attempt: it goes",
                        node.name,
                        server.id()
                    ));
                    self.delete_server(server.id()).await?;
                }
                return Ok(Look::NotYet("one before it is being deleted".into()));
            }
            if server.locked || server.status == "initializing" {
                return Ok(Look::NotYet(format!("it is {}", server.status)));
            }
            if !self.joined(&server, network, node)? {
                return self.join(&server, network, node).await;
            }
            if server.status == "off" {
                self.switch_on(&server, node).await?;
                progress.note(format!("node {} {} switched on", node.name, server.id()));
            }
            Ok(Look::Ready(server.node(&node.name, node.private_ip)))
        })
        .await
    }

    /// Tries the types of the castle file in their order until Hetzner has a server.
    async fn make(
        &self,
        network: &Network,
        node: &PlannedNode,
        user_data: &[u8],
        attempt: u32,
        progress: &Progress,
    ) -> Result<()> {
        let group = match node.role {
            Role::ControlPlane => &self.hetzner.control_planes,
            Role::Worker => &self.hetzner.workers,
        };
        let mut body = self.wish(network, node, user_data, attempt, progress).await?;
        let doing = format!("Creating node {}", node.name);
        let mut said = Vec::new();
        for kind in group.types() {
            if let Some(fields) = body.as_object_mut() {
                fields.insert("server_type".into(), kind.into());
            }
            match self.api.create("servers", &body).await {
                Ok(answer) => {
                    progress.note(format!("node {} made as {kind}", node.name));
                    return self.finish(&doing, &answer).await;
                }
                Err(e) if e.is_no_machine() => {
                    progress.note(format!(
                        "Hetzner has no {kind} for node {} in {} now",
                        node.name, node.zone
                    ));
                    said.push(format!("{kind}: {}", e.code().unwrap_or_default()));
                }
                // It is there, or may be: the next look finds it by its name.
                Err(e) if e.code() == Some("uniqueness_error") || e.is_unanswered() => {
                    progress.note(format!("whether node {} was made is looked at", node.name));
                    return Ok(());
                }
                Err(e) => return Err(lift(&doing)(e)),
            }
        }
        Err(CloudError::NoCapacity {
            name: node.name.clone(),
            zone: node.zone.clone(),
            said,
        })
    }

    async fn wish(
        &self,
        network: &Network,
        node: &PlannedNode,
        user_data: &[u8],
        attempt: u32,
        progress: &Progress,
    ) -> Result<Value> {
        let user_data = std::str::from_utf8(user_data).ok().filter(|text| text.len() <= LONGEST);
        let user_data = user_data.ok_or_else(|| unfit(node, "its user data is no text of at most 32 KiB"))?;
        let firewall: u64 = network
            .nodes_group
            .parse()
            .map_err(|_| unfit(node, "the firewall has no id of Hetzner"))?;
        let mut labels = self.labels(&format!("node-{}", node.name));
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(ATTEMPT.into(), attempt.to_string().into());
        }
        let mut body = json!({
            "name": self.name_of(&node.name),
            "image": self.hetzner.image,
            "location": node.zone,
            "start_after_create": false,
            "labels": labels,
            "firewalls": [{"firewall": firewall}],
            "user_data": user_data,
            "public_net": {"enable_ipv4": true, "enable_ipv6": false},
        });
        if node.role == Role::ControlPlane {
            let group = self.placement_group(progress).await?;
            if let Some(fields) = body.as_object_mut() {
                fields.insert("placement_group".into(), group.into());
            }
        }
        Ok(body)
    }

    fn joined(&self, server: &Server, network: &Network, node: &PlannedNode) -> Result<bool> {
        let mut nets = server.private_net.iter();
        match nets.find(|net| net.network.to_string() == network.vpc_id) {
            None => Ok(false),
            Some(net) if net.ip == node.private_ip => Ok(true),
            Some(net) => Err(unfit(
                node,
                &format!("it has the address {} instead of {}", net.ip, node.private_ip),
            )),
        }
    }

    async fn join(&self, server: &Server, network: &Network, node: &PlannedNode) -> Result<Look<Instance>> {
        let doing = format!("Joining node {} to the network", node.name);
        let network: u64 = network
            .vpc_id
            .parse()
            .map_err(|_| unfit(node, "the network has no id of Hetzner"))?;
        let path = format!("servers/{}/actions/attach_to_network", server.id());
        let body = json!({"network": network, "ip": node.private_ip});
        let done = match self.api.change(&path, &body, &["server_already_attached"]).await {
            Ok(answer) => self.finish(&doing, &answer).await,
            // One before it has the address until it is gone.
            Err(e) if e.code() == Some("ip_not_available") => {
                return Ok(Look::NotYet(format!("{} is still taken", node.private_ip)));
            }
            Err(e) => Err(lift(&doing)(e)),
        };
        match done {
            Err(e) if !passes(&e) => Err(e),
            _ => Ok(Look::NotYet("it joins the network".into())),
        }
    }

    async fn switch_on(&self, server: &Server, node: &PlannedNode) -> Result<()> {
        let doing = format!("Switching node {} on", node.name);
        let path = format!("servers/{}/actions/poweron", server.id());
        // Not waited for: see `nodes_running`.
        let answer = self.api.change(&path, &json!({}), &[]).await;
        answer.map(|_| ()).map_err(lift(&doing))
    }

    pub(super) async fn servers_running(
        &self,
        nodes: &[Instance],
        until: Deadline,
        progress: &Progress,
    ) -> Result<Vec<Instance>> {
        let began = tokio::time::Instant::now();
        let running = wait("all nodes to run", until, PAUSE * 2, || async {
            let servers: BTreeMap<String, Server> = self
                .ours::<Server>("servers")
                .await?
                .into_iter()
                .map(|s| (s.id().to_string(), s))
                .collect();
            let (mut running, mut waiting) = (Vec::new(), Vec::new());
            for node in nodes {
                let dead = |reason: &str| CloudError::NodeDied {
                    name: node.name.clone(),
                    id: node.id.clone(),
                    reason: format!("Hetzner shows it as {reason}"),
                };
                match servers.get(&node.id) {
                    Some(s) if s.status == "running" => running.push(s.node(&node.name, node.private_ip)),
                    // It was told to start a moment ago; one that stays off has stopped.
                    Some(s) if s.status == "off" && began.elapsed() > Duration::from_secs(30) => {
                        return Err(dead("off"));
                    }
                    Some(s) if s.status == "deleting" => return Err(dead("deleting")),
                    Some(s) => waiting.push(format!("{} is {}", node.name, s.status)),
                    None => return Err(dead("gone")),
                }
            }
            Ok(if waiting.is_empty() {
                Look::Ready(running)
            } else {
                Look::NotYet(waiting.join(", "))
            })
        })
        .await?;
        progress.note(format!("{} nodes run", running.len()));
        Ok(running)
    }

    /// An address is free when its server is gone.
    pub(super) async fn end_server(&self, node: &Instance, until: Deadline, progress: &Progress) -> Result<()> {
        let what = format!("node {} ({}) to end", node.name, node.id);
        wait(&what, until, PAUSE, || async {
            let servers = self.ours::<Server>("servers").await?;
            let Some(server) = servers.iter().find(|s| s.id().to_string() == node.id) else {
                return Ok(Look::Ready(()));
            };
            if server.status != "deleting" {
                self.delete_server(server.id()).await?;
                progress.note(format!("node {} {} told to end", node.name, node.id));
            }
            Ok(Look::NotYet(format!("it is {}", server.status)))
        })
        .await
    }

    pub(super) async fn delete_server(&self, id: u64) -> Result<()> {
        let answer = self.api.delete(&format!("servers/{id}")).await;
        answer.map(|_| ()).map_err(lift("Deleting a server"))
    }
}

fn unfit(node: &PlannedNode, why: &str) -> CloudError {
    CloudError::Unfit(Explained {
        what: format!("Node {} can't be made as it was planned", node.name),
        why: why.to_owned(),
        remedy: "Delete that server in Hetzner's console when somebody changed it, then start again.".into(),
    })
}
