//! The guard: what stays in the castle when the laptop has gone. It gives Services of type LoadBalancer the node ports that were
//! registered at birth and tells them the entry's addresses. This is its manifest; the program is `skykeep guard`.

use std::collections::BTreeMap;

use kube::{Client, api::DynamicObject};
use serde::{Deserialize, Serialize};
use skykeep_core::{castle::Castle, lock::Lock};

use crate::{ClusterError, manifest};

/// Namespace of what is ours.
pub const NAMESPACE: &str = "skykeep-system";
/// The ConfigMap, its key, and the folder where the guard finds it.
pub const CONFIG_MAP: &str = "entry";
/// Key in the ConfigMap.
pub const CONFIG_KEY: &str = "entry.json";
/// Where the guard reads it.
pub const CONFIG_PATH: &str = "/etc/skykeep/entry.json";

/// The way in, as it was registered at birth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Port of the entry -> port on every node.
    pub ports: BTreeMap<u16, u16>,
    /// The entry's public addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// The load balancer's own name, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

impl Entry {
    /// The castle's registered ports with the entry's addresses.
    pub fn of(castle: &Castle, addresses: &[std::net::IpAddr]) -> Self {
        let ports = castle.entry.ports.iter().map(|p| (p.port, p.node_port)).collect();
        let mut addresses = addresses.to_vec();
        addresses.sort();
        Entry {
            ports,
            addresses,
            hostname: None,
        }
    }
}

/// The guard's objects.
pub fn objects(lock: &Lock, entry: &Entry) -> Result<Vec<DynamicObject>, ClusterError> {
    let json = serde_json::to_string(entry).map_err(|e| ClusterError::Plan(e.to_string()))?;
    let text = include_str!("guard.yaml")
        .replace("{image}", &lock.image("ghcr.io/skykeep/skykeep")?.pinned())
        // As a quoted YAML text, which JSON's own quoting is.
        .replace(
            "{entry}",
            &serde_json::to_string(&json).map_err(|e| ClusterError::Plan(e.to_string()))?,
        );
    manifest::parse(&text)
}

/// Applies the guard. Safe to repeat; a changed entry reaches the running guard through its mounted ConfigMap.
pub async fn apply(client: &Client, lock: &Lock, entry: &Entry) -> Result<(), ClusterError> {
    manifest::apply(client, &objects(lock, entry)?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guards_manifest_carries_the_entry_and_a_pinned_image() {
        let lock = format!(
            r#"{{"version":1,"kubernetes":"v1","artifacts":[],"images":[{{"name":"ghcr.io/skykeep/skykeep:v0.1.0","digest":"sha256:{}"}}]}}"#,
            "d".repeat(64)
        );
        let entry = Entry {
            ports: [(80, 30080), (443, 30443)].into(),
            addresses: vec!["203.0.113.160".parse().unwrap()],
            hostname: None,
        };
        let objects = objects(&Lock::parse(&lock).unwrap(), &entry).unwrap();
        let config = objects
            .iter()
            .find(|o| o.types.as_ref().unwrap().kind == "ConfigMap")
            .unwrap();
        let back: Entry = serde_json::from_str(config.data["data"][CONFIG_KEY].as_str().unwrap()).unwrap();
        assert_eq!(back, entry);
        let all = serde_json::to_string(&objects).unwrap();
        assert!(all.contains("@sha256:dddd"));
        assert!(!all.contains("\"*\""), "least privilege: no wildcard");
        assert!(!all.contains("secrets"), "the guard reads no secret");
    }
}
