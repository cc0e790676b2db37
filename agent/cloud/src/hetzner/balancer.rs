//! The load balancer. It reaches the nodes over the private network, so no port of theirs is open to the world.

use std::{net::Ipv4Addr, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use skykeep_core::{Deadline, Explained, Progress, castle::EntryPort, deadline::Look};

use super::{
    HetznerCloud,
    call::{Named, Thing, lift},
};
use crate::{CloudError, Entry, Instance, Network, Result, TargetGroup, wait::wait};

const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize)]
pub(super) struct Balancer {
    #[serde(flatten)]
    named: Named,
    public_net: PublicNet,
    #[serde(default)]
    private_net: Vec<PrivateNet>,
    #[serde(default)]
    services: Vec<Service>,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct PublicNet {
    ipv4: Address,
}

#[derive(Debug, Deserialize)]
struct Address {
    ip: Option<Ipv4Addr>,
}

#[derive(Debug, Deserialize)]
struct PrivateNet {
    network: u64,
}

#[derive(Debug, Deserialize)]
struct Service {
    listen_port: u16,
    destination_port: u16,
}

#[derive(Debug, Deserialize)]
struct Target {
    server: Option<TargetServer>,
    #[serde(default)]
    health_status: Vec<Health>,
}

#[derive(Debug, Deserialize)]
struct TargetServer {
    id: u64,
}

#[derive(Debug, Deserialize)]
struct Health {
    listen_port: u16,
    status: String,
}

impl Thing for Balancer {
    fn named(&self) -> &Named {
        &self.named
    }
}

impl Balancer {
    pub(super) fn id(&self) -> u64 {
        self.named.id
    }

    fn serves(&self, port: EntryPort) -> bool {
        let mut services = self.services.iter();
        services.any(|s| (s.listen_port, s.destination_port) == (port.port, port.node_port))
    }
}

fn service(port: EntryPort) -> Value {
    json!({
        "protocol": "tcp",
        "listen_port": port.port,
        "destination_port": port.node_port,
        "proxyprotocol": false,
        "health_check": {"protocol": "tcp", "port": port.node_port, "interval": 5, "timeout": 3, "retries": 2},
    })
}

impl HetznerCloud {
    pub(super) async fn load_balancer(
        &self,
        network: &Network,
        ports: &[EntryPort],
        progress: &Progress,
    ) -> Result<Entry> {
        let name = self.name_of("entry");
        let net: u64 = network
            .vpc_id
            .parse()
            .map_err(|_| unfit("the network has no id of Hetzner"))?;
        let body = json!({
            "name": name,
            "load_balancer_type": self.hetzner.load_balancer_type,
            "algorithm": {"type": "round_robin"},
            "location": self.hetzner.locations.first(),
            "network": net,
            "public_interface": true,
            "labels": self.labels("entry"),
            "services": ports.iter().copied().map(service).collect::<Vec<_>>(),
        });
        let kind = ("load_balancers", "load_balancer");
        let balancer: Balancer = self.adopt(kind, &name, &body, progress).await?;
        self.set_services(&balancer, ports).await?;
        if balancer.private_net.iter().all(|n| n.network != net) {
            let doing = "Joining the load balancer to the network";
            let path = format!("load_balancers/{}/actions/attach_to_network", balancer.id());
            let fine = ["load_balancer_already_attached"];
            let answer = self
                .api
                .change(&path, &json!({"network": net}), &fine)
                .await
                .map_err(lift(doing))?;
            self.finish(doing, &answer).await?;
        }
        let address = balancer
            .public_net
            .ipv4
            .ip
            .ok_or_else(|| unfit("Hetzner gave it no public address"))?;
        let id = balancer.id();
        Ok(Entry {
            addresses: vec![address],
            arn: id.to_string(),
            target_groups: ports
                .iter()
                .map(|p| TargetGroup {
                    arn: format!("{id}:{}", p.port),
                    port: p.port,
                    node_port: p.node_port,
                })
                .collect(),
        })
    }

    /// What an adopted one serves otherwise than the castle file says today is set right.
    async fn set_services(&self, balancer: &Balancer, ports: &[EntryPort]) -> Result<()> {
        let doing = "Setting the ports of the load balancer";
        for port in ports.iter().filter(|p| !balancer.serves(**p)) {
            let known = balancer.services.iter().any(|s| s.listen_port == port.port);
            let verb = if known { "update_service" } else { "add_service" };
            let path = format!("load_balancers/{}/actions/{verb}", balancer.id());
            let fine = ["source_port_already_used"];
            let answer = self
                .api
                .change(&path, &service(*port), &fine)
                .await
                .map_err(lift(doing))?;
            self.finish(doing, &answer).await?;
        }
        Ok(())
    }

    async fn look_at(&self, entry: &Entry) -> Result<Balancer> {
        let path = format!("load_balancers/{}", entry.arn);
        let found = self.api.get(&path, "load_balancer").await;
        found.map_err(lift("Looking at the load balancer"))
    }

    /// A load balancer works as soon as it is in the network.
    pub(super) async fn attached(&self, entry: &Entry, until: Deadline, progress: &Progress) -> Result<()> {
        wait("the load balancer to be in the network", until, PAUSE, || async {
            let there = !self.look_at(entry).await?.private_net.is_empty();
            Ok(if there {
                Look::Ready(())
            } else {
                Look::NotYet("it is in none".into())
            })
        })
        .await?;
        progress.note("the load balancer is in the network");
        Ok(())
    }

    pub(super) async fn add_targets(&self, entry: &Entry, nodes: &[Instance]) -> Result<()> {
        let present = self.look_at(entry).await?;
        let doing = "Sending the entry's traffic to the nodes";
        let path = format!("load_balancers/{}/actions/add_target", entry.arn);
        for node in nodes {
            let id: u64 = node.id.parse().map_err(|_| unfit("a node has no id of Hetzner"))?;
            let known = |t: &Target| t.server.as_ref().is_some_and(|s| s.id == id);
            if present.targets.iter().any(known) {
                continue;
            }
            let body = json!({"type": "server", "server": {"id": id}, "use_private_ip": true});
            // One after the other: while one is being added the balancer is locked.
            let answer = self.api.change(&path, &body, &["target_already_defined"]).await;
            self.finish(doing, &answer.map_err(lift(doing))?).await?;
        }
        Ok(())
    }

    pub(super) async fn healthy(&self, entry: &Entry, until: Deadline, progress: &Progress) -> Result<()> {
        for group in &entry.target_groups {
            let what = format!(
                "a node to answer behind port {} of the entry (node port {})",
                group.port, group.node_port
            );
            wait(&what, until, PAUSE, || async {
                let balancer = self.look_at(entry).await?;
                let health = balancer.targets.iter().flat_map(|t| &t.health_status);
                let seen = health
                    .filter(|h| h.listen_port == group.port)
                    .map(|h| h.status.as_str());
                let seen: Vec<&str> = seen.collect();
                Ok(if seen.contains(&"healthy") {
                    Look::Ready(())
                } else {
                    Look::NotYet(format!("targets are [{}]", seen.join(", ")))
                })
            })
            .await?;
            progress.note(format!("a node answers behind port {}", group.port));
        }
        Ok(())
    }
}

fn unfit(why: &str) -> CloudError {
    CloudError::Unfit(Explained {
        what: "The entry can't be built".into(),
        why: why.to_owned(),
        remedy: "Start again; when it stays so, begin a new generation.".into(),
    })
}
