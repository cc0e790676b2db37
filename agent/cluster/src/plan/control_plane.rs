//! A control plane: kubeadm's own phases, all control planes at once.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{
    Blueprint, NodePlan, Own, PlanFile, PlannedNode, Step,
    common::{self, CONTAINERD_SOCKET, DEADLINE_S, KUBELET_CERTIFICATE},
};
use crate::{API_NAME, API_PORT, ClusterError, etcd::PEER_PORT};

const PKI: &str = "/etc/kubernetes/pki";
const OURS: &str = "/etc/kubernetes/skykeep";
const KUBEADM_YAML: &str = "/etc/kubernetes/skykeep/kubeadm.yaml";
const TAINT: &str = "node-role.kubernetes.io/control-plane";

/// Phases that touch only this machine; all control planes run them at the same time.
const LOCAL: [&str; 5] = ["certs", "kubeconfig", "etcd", "control-plane", "kubelet-start"];
/// Phases that talk to the API, once for the cluster. `addon/kube-proxy` is not among them: see `network`.
const ONCE: [&str; 4] = [
    "upload-config",
    "mark-control-plane",
    "bootstrap-token",
    "addon/coredns",
];
/// Every phase of `kubeadm init` 1.36.
const ALL: [&str; 15] = [
    "preflight",
    "certs",
    "kubeconfig",
    "etcd",
    "control-plane",
    "kubelet-start",
    "wait-control-plane",
    "upload-config",
    "upload-certs",
    "mark-control-plane",
    "bootstrap-token",
    "kubelet-finalize",
    "addon/coredns",
    "addon/kube-proxy",
    "show-join-command",
];

pub(super) fn plan(blueprint: &Blueprint<'_>, node: &PlannedNode) -> Result<NodePlan, ClusterError> {
    let mut files = common::files(blueprint)?;
    files.extend(keys(blueprint)?);
    files.extend(patches(blueprint)?);
    files.push(PlanFile::new(
        &format!("{OURS}/audit.yaml"),
        "0600",
        include_str!("files/audit.yaml"),
    ));
    files.push(PlanFile::new(
        &format!("{OURS}/authentication.yaml"),
        "0600",
        include_str!("files/authentication.yaml"),
    ));
    files.push(PlanFile::new(
        &format!("{OURS}/encryption.yaml"),
        "0600",
        include_str!("files/encryption.yaml").replace("{key}", &BASE64.encode(blueprint.pki.encryption_key.expose())),
    ));
    files.push(PlanFile::new(KUBEADM_YAML, "0600", kubeadm_config(blueprint, node)?));

    Ok(NodePlan {
        version: 1,
        castle: blueprint.castle.name.clone(),
        generation: blueprint.generation.to_string(),
        node: node.name.clone(),
        role: node.role,
        deadline_s: DEADLINE_S,
        artifacts: common::artifacts(
            blueprint,
            &["containerd", "runc", "cni-plugins", "flannel-cni", "kubelet", "kubeadm"],
        )?,
        images: Vec::new(),
        copies: BTreeMap::new(),
        etcd: blueprint.joins(node),
        hosts: common::hosts(blueprint, node),
        files,
        steps: steps(blueprint, node),
        done_when: vec![KUBELET_CERTIFICATE.into()],
        wipe: Vec::new(),
    })
}

fn steps(blueprint: &Blueprint<'_>, node: &PlannedNode) -> Vec<Step> {
    let init = |title: &str, wanted: &[&str]| {
        let skip: Vec<_> = ALL.iter().filter(|phase| !wanted.contains(phase)).copied().collect();
        let skip = format!("--skip-phases={}", skip.join(","));
        Step::new(title, 600, &["kubeadm", "init", "--config", KUBEADM_YAML, &skip]).retried()
    };
    let mut steps = common::steps(blueprint);
    steps.push(Step::new(
        "kubelet is enabled",
        60,
        &["systemctl", "enable", "kubelet.service"],
    ));
    if blueprint.joins(node).is_some() {
        let (certificates, rest) = LOCAL.split_at(1);
        steps.push(init("certificates", certificates));
        steps.push(Step::own("a place in etcd", 600, Own::EtcdJoin));
        steps.push(init("etcd and the control plane's pods", rest));
        steps.push(Step::own("a vote in etcd", 300, Own::EtcdVote));
    } else {
        steps.push(init("certificates, etcd and the control plane's pods", &LOCAL));
    }
    // Each is safe to repeat: kubeadm creates or updates.
    steps.push(if blueprint.is_first(node) {
        init("what the cluster needs once", &ONCE)
    } else {
        Step::new(
            "this node is marked as a control plane",
            600,
            &[
                "kubeadm",
                "init",
                "phase",
                "mark-control-plane",
                "--config",
                KUBEADM_YAML,
            ],
        )
        .retried()
    });
    steps.push(
        Step::new(
            "kubelet's certificate renews itself",
            300,
            &[
                "kubeadm",
                "init",
                "phase",
                "kubelet-finalize",
                "all",
                "--config",
                KUBEADM_YAML,
            ],
        )
        .retried()
        .wait_for(KUBELET_CERTIFICATE),
    );
    steps
}

fn keys(blueprint: &Blueprint<'_>) -> Result<Vec<PlanFile>, ClusterError> {
    let pki = blueprint.pki;
    let mut files = Vec::new();
    for (name, authority) in [
        ("ca", &pki.ca),
        ("front-proxy-ca", &pki.front_proxy_ca),
        ("etcd/ca", &pki.etcd_ca),
    ] {
        files.push(PlanFile::new(
            &format!("{PKI}/{name}.crt"),
            "0644",
            authority.certificate.clone(),
        ));
        files.push(PlanFile::new(
            &format!("{PKI}/{name}.key"),
            "0600",
            common::text(&authority.key, name)?,
        ));
    }
    files.push(PlanFile::new(
        &format!("{PKI}/sa.key"),
        "0600",
        common::text(&pki.service_account_key, "sa.key")?,
    ));
    files.push(PlanFile::new(
        &format!("{PKI}/sa.pub"),
        "0644",
        pki.service_account_public.clone(),
    ));
    Ok(files)
}

/// kubeadm names images by tag; its patches pin them to the lock's digests.
fn patches(blueprint: &Blueprint<'_>) -> Result<Vec<PlanFile>, ClusterError> {
    let pod = "/spec/containers/0/image";
    let targets = [
        ("kube-apiserver", "registry.k8s.io/kube-apiserver", pod),
        (
            "kube-controller-manager",
            "registry.k8s.io/kube-controller-manager",
            pod,
        ),
        ("kube-scheduler", "registry.k8s.io/kube-scheduler", pod),
        ("etcd", "registry.k8s.io/etcd", pod),
        (
            "corednsdeployment",
            "registry.k8s.io/coredns/coredns",
            "/spec/template/spec/containers/0/image",
        ),
    ];
    targets
        .iter()
        .map(|(target, repository, path)| {
            let image = blueprint.lock.image(repository)?.pinned();
            let patch = json!([{"op": "replace", "path": path, "value": image}]).to_string();
            Ok(PlanFile::new(
                &format!("{OURS}/patches/{target}0+json.json"),
                "0644",
                patch,
            ))
        })
        .collect()
}

fn kubeadm_config(blueprint: &Blueprint<'_>, node: &PlannedNode) -> Result<String, ClusterError> {
    let documents = [
        init(blueprint, node)?,
        cluster(blueprint, node),
        common::kubelet_configuration(blueprint),
    ]
    .map(|document| {
        // JSON is YAML, and needs no thought about quoting.
        serde_json::to_string_pretty(&document).map_err(|e| ClusterError::Plan(e.to_string()))
    });
    let documents: Vec<String> = documents.into_iter().collect::<Result<_, _>>()?;
    Ok(documents.join("\n---\n") + "\n")
}

fn args(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

fn init(blueprint: &Blueprint<'_>, node: &PlannedNode) -> Result<Value, ClusterError> {
    let address = node.private_ip.to_string();
    let mut init = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": address, "bindPort": API_PORT},
        "nodeRegistration": {
            "name": node.name,
            "criSocket": CONTAINERD_SOCKET,
            "taints": [{"key": TAINT, "effect": "NoSchedule"}],
            // With the taint from its first moment, so that nothing lands here before it is marked.
            "kubeletExtraArgs": args(&[
                ("node-ip", &address),
                ("register-with-taints", &format!("{TAINT}=:NoSchedule")),
            ]),
        },
        "patches": {"directory": format!("{OURS}/patches")},
    });
    if blueprint.is_first(node) {
        let token = common::text(&blueprint.pki.bootstrap_token, "bootstrap token")?;
        if let Some(fields) = init.as_object_mut() {
            fields.insert(
                "bootstrapTokens".into(),
                json!([{
                    "token": token,
                    "description": "skykeep: the nodes of this generation",
                    "ttl": "24h0m0s",
                    "usages": ["signing", "authentication"],
                    "groups": ["system:bootstrappers:kubeadm:default-node-token"],
                }]),
            );
        }
    }
    Ok(init)
}

fn cluster(blueprint: &Blueprint<'_>, node: &PlannedNode) -> Value {
    let state = match blueprint.joins(node) {
        Some(_) => "existing",
        None => "new",
    };
    let castle = blueprint.castle;
    let mut names = vec![API_NAME.to_owned()];
    names.extend(blueprint.control_planes().map(|n| n.private_ip.to_string()));
    let peers: Vec<_> = blueprint
        .members(node)
        .map(|n| format!("{}=https://{}:{PEER_PORT}", n.name, n.private_ip))
        .collect();
    let mount = |name: &str, path: &str, kind: &str, read_only: bool| json!({"name": name, "hostPath": path, "mountPath": path, "readOnly": read_only, "pathType": kind});
    json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": castle.name,
        "kubernetesVersion": castle.cluster.kubernetes,
        "controlPlaneEndpoint": format!("{API_NAME}:{API_PORT}"),
        "encryptionAlgorithm": "ECDSA-P256",
        "networking": {
            "podSubnet": castle.cluster.pod_cidr, "serviceSubnet": castle.cluster.service_cidr, "dnsDomain": "cluster.local",
        },
        "apiServer": {
            "certSANs": names,
            "extraArgs": args(&[
                ("authentication-config", &format!("{OURS}/authentication.yaml")),
                ("profiling", "false"),
                ("tls-cipher-suites", &common::CIPHERS.join(",")),
                ("encryption-provider-config", &format!("{OURS}/encryption.yaml")),
                ("audit-policy-file", &format!("{OURS}/audit.yaml")),
                ("audit-log-path", "/var/log/kubernetes/audit.log"),
                ("audit-log-maxage", "30"),
                ("audit-log-maxbackup", "10"),
                ("audit-log-maxsize", "100"),
            ]),
            "extraVolumes": [
                mount("skykeep-authentication", &format!("{OURS}/authentication.yaml"), "File", true),
                mount("skykeep-encryption", &format!("{OURS}/encryption.yaml"), "File", true),
                mount("skykeep-audit", &format!("{OURS}/audit.yaml"), "File", true),
                mount("audit-log", "/var/log/kubernetes", "DirectoryOrCreate", false),
            ],
        },
        "controllerManager": {"extraArgs": args(&[("profiling", "false"), ("terminated-pod-gc-threshold", "1000")])},
        "scheduler": {"extraArgs": args(&[("profiling", "false")])},
        "etcd": {"local": {
            "dataDir": "/var/lib/etcd",
            "extraArgs": args(&[
                ("initial-cluster", &peers.join(",")),
                ("initial-cluster-state", state),
                ("initial-cluster-token", &blueprint.pki.etcd_cluster_token),
            ]),
        }},
    })
}
