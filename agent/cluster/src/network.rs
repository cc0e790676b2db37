//! How pods and services are reached: flannel (VXLAN) and kube-proxy (nftables), both pinned by digest.
//!
//! Both speak to the API by its fixed name from the node's own /etc/hosts, so neither waits for the other.

use kube::{Client, api::DynamicObject};
use skykeep_core::{castle::Castle, lock::Lock};

use crate::{API_NAME, API_PORT, ClusterError, manifest};

/// Namespace of the network's DaemonSets and of CoreDNS.
pub const NAMESPACE: &str = "kube-system";
/// The DaemonSet that carries packets between pods.
pub const DAEMON_SET: &str = "kube-flannel";

/// The objects of the pod network and of kube-proxy.
pub fn objects(castle: &Castle, lock: &Lock) -> Result<Vec<DynamicObject>, ClusterError> {
    let range = castle.cloud.range();
    let gateway = range.hosts().next().unwrap_or(range.network());
    let fill = |text: &str| -> Result<String, ClusterError> {
        Ok(text
            .replace("{flannel}", &lock.image("ghcr.io/flannel-io/flannel")?.pinned())
            .replace("{kube-proxy}", &lock.image("registry.k8s.io/kube-proxy")?.pinned())
            .replace("{gateway}", &gateway.to_string())
            .replace("{podCidr}", &castle.cluster.pod_cidr.to_string())
            .replace("{apiName}", API_NAME)
            .replace("{apiPort}", &API_PORT.to_string()))
    };
    let mut objects = manifest::parse(&fill(include_str!("network/kube-proxy.yaml"))?)?;
    objects.extend(manifest::parse(&fill(include_str!("network/flannel.yaml"))?)?);
    Ok(objects)
}

/// Applies the pod network and kube-proxy. Safe to repeat.
pub async fn apply(client: &Client, castle: &Castle, lock: &Lock) -> Result<(), ClusterError> {
    manifest::apply(client, &objects(castle, lock)?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_the_network_is_pinned_by_digest_and_nothing_is_left_unfilled() {
        let castle = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
        let images: Vec<_> = ["ghcr.io/flannel-io/flannel", "registry.k8s.io/kube-proxy"]
            .iter()
            .map(|n| serde_json::json!({"name": format!("{n}:v1"), "digest": format!("sha256:{}", "c".repeat(64))}))
            .collect();
        let text =
            serde_json::json!({"version": 1, "kubernetes": "v1.36.3", "artifacts": [], "images": images}).to_string();
        let objects = objects(&castle, &Lock::parse(&text).unwrap()).unwrap();
        let text = serde_json::to_string(&objects).unwrap();
        assert_eq!(text.matches("\"image\":").count(), 2);
        assert_eq!(text.matches("@sha256:cccc").count(), 2);
        assert!(text.contains("10.244.0.0/16"));
        assert!(text.contains("--iface-can-reach=10.42.0.1"));
        for name in ["{flannel}", "{podCidr}", "{apiName}", "{apiPort}", "{kube-proxy}"] {
            assert!(!text.contains(name), "{name}");
        }
        let kinds: Vec<_> = objects.iter().map(|o| o.types.clone().unwrap().kind).collect();
        assert_eq!(kinds.iter().filter(|k| *k == "DaemonSet").count(), 2);
    }
}
