//! The private network, the firewall of the public side, and what keeps control planes on different hosts.

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value, json};
use skykeep_core::Progress;

use super::{
    HetznerCloud,
    call::{Named, Thing, lift},
};
use crate::{Result, Subnet, plan::subnet_of};

/// Where the API of Kubernetes listens.
const API: &str = "6443";

#[derive(Deserialize)]
struct Firewall {
    #[serde(flatten)]
    named: Named,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    direction: String,
    protocol: String,
    port: Option<String>,
    #[serde(default)]
    source_ips: Vec<String>,
}

impl Thing for Firewall {
    fn named(&self) -> &Named {
        &self.named
    }
}

/// The laptop reaches the API. No other rule: whatever a firewall does not let in is dropped. It guards the public interface only.
fn rules(sources: &[Ipv4Net]) -> Value {
    let from: Vec<String> = sources.iter().map(|s| s.trunc().to_string()).collect();
    if from.is_empty() {
        return json!([]);
    }
    json!([{"direction": "in", "protocol": "tcp", "port": API, "source_ips": from, "description": "the API, for whoever builds the castle"}])
}

impl Firewall {
    fn lets_in(&self, sources: &[Ipv4Net]) -> bool {
        let from: Vec<String> = sources.iter().map(|s| s.trunc().to_string()).collect();
        match self.rules.as_slice() {
            [] => from.is_empty(),
            [one] => {
                one.direction == "in"
                    && one.protocol == "tcp"
                    && one.port.as_deref() == Some(API)
                    && one.source_ips == from
            }
            _ => false,
        }
    }
}

impl HetznerCloud {
    /// One part of the network for each location. They need none of their own (all lie in one zone), but so every address is the
    /// same as at other suppliers.
    pub(super) fn subnets(&self) -> Vec<Subnet> {
        let zones = self.hetzner.locations.iter().enumerate();
        zones
            .map(|(i, zone)| {
                let cidr = subnet_of(self.hetzner.network_cidr, i);
                Subnet {
                    id: cidr.to_string(),
                    zone: zone.clone(),
                    cidr,
                }
            })
            .collect()
    }

    pub(super) async fn private_network(&self, progress: &Progress) -> Result<u64> {
        let name = self.name_of("network");
        let parts: Vec<Value> = self
            .subnets()
            .iter()
            .map(|s| json!({"type": "cloud", "ip_range": s.cidr, "network_zone": self.hetzner.network_zone}))
            .collect();
        let body = json!({
            "name": name,
            "ip_range": self.hetzner.network_cidr,
            "subnets": parts,
            "labels": self.labels("network"),
        });
        let network: Named = self.adopt(("networks", "network"), &name, &body, progress).await?;
        Ok(network.id)
    }

    pub(super) async fn firewall(&self, sources: &[Ipv4Net], progress: &Progress) -> Result<u64> {
        let name = self.name_of("nodes");
        let body = json!({"name": name, "labels": self.labels("firewall"), "rules": rules(sources)});
        let firewall: Firewall = self.adopt(("firewalls", "firewall"), &name, &body, progress).await?;
        let id = firewall.named.id;
        // Another laptop's address goes, ours comes.
        if !firewall.lets_in(sources) {
            let doing = "Setting the rules of the firewall";
            let path = format!("firewalls/{id}/actions/set_rules");
            let body = json!({"rules": rules(sources)});
            let answer = self.api.change(&path, &body, &[]).await.map_err(lift(doing))?;
            self.finish(doing, &answer).await?;
            progress.note("the firewall lets this computer in, and no other");
        }
        Ok(id)
    }

    /// Its servers never share a host.
    pub(super) async fn placement_group(&self, progress: &Progress) -> Result<u64> {
        let found = self.apart.get_or_try_init(|| async {
            let name = self.name_of("apart");
            let body = json!({"name": name, "type": "spread", "labels": self.labels("placement-group")});
            let kind = ("placement_groups", "placement_group");
            let group: Named = self.adopt(kind, &name, &body, progress).await?;
            Ok(group.id)
        });
        found.await.copied()
    }
}
