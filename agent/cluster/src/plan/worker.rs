//! A worker: containerd and kubelet. It never sees a CA key.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Blueprint, NodePlan, PlanFile, PlannedNode, Step, common};
use crate::{API_NAME, API_PORT, ClusterError};

const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
/// curl reads the token from here, so that no process list shows it.
const KNOCK: &str = "/etc/kubernetes/skykeep-knock.curl";
const CONFIG: &str = "/var/lib/kubelet/config.yaml";

pub(super) fn plan(blueprint: &Blueprint<'_>, node: &PlannedNode) -> Result<NodePlan, ClusterError> {
    let mut files = common::files(blueprint)?;
    let mut configuration = common::kubelet_configuration(blueprint);
    files.push(PlanFile::new(CONFIG, "0600", pretty(&configuration)?));
    if let Some(fields) = configuration.as_object_mut() {
        fields.insert("resolvConf".into(), common::RESOLVED.into());
    }
    files.push(PlanFile::new(CONFIG, "0600", pretty(&configuration)?).only_if(common::RESOLVED));
    files.push(PlanFile::new(
        "/var/lib/kubelet/kubeadm-flags.env",
        "0644",
        format!(
            "KUBELET_KUBEADM_ARGS=\"--hostname-override={} --node-ip={}\"\n",
            node.name, node.private_ip
        ),
    ));
    files.push(PlanFile::new(BOOTSTRAP, "0600", pretty(&bootstrap(blueprint)?)?));

    let first = blueprint
        .control_planes()
        .next()
        .map(|n| n.name.as_str())
        .unwrap_or_default();
    let token = common::text(&blueprint.pki.bootstrap_token, "bootstrap token")?;
    files.push(PlanFile::new(
        KNOCK,
        "0600",
        format!(
            "silent\nshow-error\nfail\nmax-time = 5\noutput = /dev/null\ncacert = {}\nheader = \"Authorization: Bearer {token}\"\n",
            common::CA
        ),
    ));

    let mut steps = common::steps(blueprint);
    steps.extend(common::early_images(blueprint)?);
    // kubelet that comes too early is refused, and then waits longer and longer before it asks again.
    let knock = [
        "curl",
        "-K",
        KNOCK,
        &format!("https://{API_NAME}:{API_PORT}/api/v1/nodes/{first}"),
    ];
    steps.push(Step::new("the API knows this machine's token", 600, &knock).retried());
    steps.push(Step::new(
        "kubelet",
        60,
        &["systemctl", "enable", "--now", "kubelet.service"],
    ));
    Ok(NodePlan {
        version: 1,
        castle: blueprint.castle.name.clone(),
        generation: blueprint.generation.to_string(),
        node: node.name.clone(),
        role: node.role,
        deadline_s: common::DEADLINE_S,
        artifacts: common::artifacts(
            blueprint,
            &["containerd", "runc", "cni-plugins", "flannel-cni", "kubelet"],
        )?,
        images: Vec::new(),
        copies: BTreeMap::new(),
        etcd: None,
        hosts: common::hosts(blueprint, node),
        files,
        steps,
        // kubelet writes its kubeconfig at once, but this only when the API has signed its certificate.
        done_when: vec![common::KUBELET_CERTIFICATE.into()],
        wipe: vec![BOOTSTRAP.into(), KNOCK.into()],
    })
}

/// A kubeconfig that can do one thing: ask for a kubelet's certificate. The CA in it is the only one it believes.
fn bootstrap(blueprint: &Blueprint<'_>) -> Result<serde_json::Value, ClusterError> {
    Ok(json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bootstrap",
        "contexts": [{"name": "bootstrap", "context": {"cluster": "castle", "user": "bootstrap"}}],
        "clusters": [{"name": "castle", "cluster": {
            "server": format!("https://{API_NAME}:{API_PORT}"), "certificate-authority": common::CA}}],
        "users": [{"name": "bootstrap", "user": {
            "token": common::text(&blueprint.pki.bootstrap_token, "bootstrap token")?}}],
    }))
}

fn pretty(value: &serde_json::Value) -> Result<String, ClusterError> {
    serde_json::to_string_pretty(value).map_err(|e| ClusterError::Plan(e.to_string()))
}
