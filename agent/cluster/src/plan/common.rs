//! What every node needs: kernel settings, container runtime, kubelet, and the way to the API.

use skykeep_core::{Secret, lock::Artifact};

use super::{Blueprint, PlanFile, PlannedNode, Role, Step, nth_address, sources};
use crate::{API_NAME, ClusterError};

pub(super) const CONTAINERD_SOCKET: &str = "unix:///run/containerd/containerd.sock";
/// What kubelet proves itself with; there when the API has signed it.
pub(super) const KUBELET_CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
pub(super) const CA: &str = "/etc/kubernetes/pki/ca.crt";
/// systemd-resolved's list of the real servers; /etc/resolv.conf then names a stub that pods cannot reach.
pub(super) const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// Downloads, boot of the other nodes, image pulls: all of it happens inside this.
pub(super) const DEADLINE_S: u64 = 900;

/// What kubelet and API server speak with peers that know nothing newer than TLS 1.2 (CIS Kubernetes Benchmark 1.2.29 and 4.2.12).
pub(super) const CIPHERS: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
];

const SYSCTL: &str = "/etc/sysctl.d/90-skykeep.conf";

pub(super) fn artifacts(blueprint: &Blueprint<'_>, names: &[&str]) -> Result<Vec<Artifact>, ClusterError> {
    names
        .iter()
        .map(|name| Ok(blueprint.lock.artifact(name)?.clone()))
        .collect()
}

/// The API's name with every control plane's address. A control plane asks itself first; workers begin at different ones.
pub(super) fn hosts(blueprint: &Blueprint<'_>, node: &PlannedNode) -> Vec<String> {
    let mut addresses: Vec<_> = blueprint.control_planes().map(|n| n.private_ip).collect();
    let start = match node.role {
        Role::ControlPlane => addresses.iter().position(|a| *a == node.private_ip).unwrap_or(0),
        Role::Worker => {
            let workers = blueprint.nodes.iter().filter(|n| n.role == Role::Worker);
            workers.take_while(|n| n.name != node.name).count() % addresses.len().max(1)
        }
    };
    addresses.rotate_left(start);
    addresses.iter().map(|a| format!("{a} {API_NAME}")).collect()
}

pub(super) fn files(blueprint: &Blueprint<'_>) -> Result<Vec<PlanFile>, ClusterError> {
    let pause = blueprint.lock.image("registry.k8s.io/pause")?.pinned();
    let mut files = vec![
        PlanFile::new(
            "/etc/modules-load.d/skykeep.conf",
            "0644",
            "overlay\nbr_netfilter\nvxlan\n",
        ),
        PlanFile::new(SYSCTL, "0644", include_str!("files/sysctl.conf")),
        // Debian's cloud images let cloud-init rewrite /etc/hosts at every boot; our lines must stay.
        PlanFile::new(
            "/etc/cloud/cloud.cfg.d/99-skykeep.cfg",
            "0644",
            "manage_etc_hosts: false\n",
        )
        .only_if("/etc/cloud/cloud.cfg.d"),
        PlanFile::new(
            "/etc/containerd/config.toml",
            "0644",
            include_str!("files/containerd.toml").replace("{pause}", &pause),
        ),
        PlanFile::new(
            "/etc/systemd/system/containerd.service",
            "0644",
            include_str!("files/containerd.service"),
        ),
        PlanFile::new(
            "/etc/systemd/system/kubelet.service",
            "0600",
            include_str!("files/kubelet.service"),
        ),
        PlanFile::new(
            "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
            "0600",
            include_str!("files/10-kubeadm.conf"),
        ),
        PlanFile::new(CA, "0644", blueprint.pki.ca.certificate.clone()),
    ];
    files.extend(sources::files(blueprint.sources)?);
    Ok(files)
}

pub(super) fn steps(blueprint: &Blueprint<'_>) -> Vec<Step> {
    let mut steps = vec![
        Step::new(
            "kernel modules",
            30,
            &["modprobe", "-q", "-a", "overlay", "br_netfilter", "vxlan"],
        )
        .optional(),
        Step::new("kernel settings", 30, &["sysctl", "-q", "-p", SYSCTL]),
        Step::new("systemd reads its units", 60, &["systemctl", "daemon-reload"]),
        Step::new(
            "containerd",
            120,
            &["systemctl", "enable", "--now", "containerd.service"],
        ),
    ];
    steps.extend(sources::step(blueprint.sources));
    steps
}

/// Fetches what kubelet will ask for as soon as the API answers. For workers, which have nothing else to do; on a control plane it would
/// take bandwidth from the API server's own image.
pub(super) fn early_images(blueprint: &Blueprint<'_>) -> Result<Vec<Step>, ClusterError> {
    [
        "registry.k8s.io/pause",
        "ghcr.io/flannel-io/flannel",
        "registry.k8s.io/kube-proxy",
    ]
    .iter()
    .map(|name| {
        let image = blueprint.lock.image(name)?.pinned();
        // Its progress bar would fill the console.
        let pull = format!("exec ctr -n k8s.io images pull --hosts-dir /etc/containerd/certs.d {image} >/dev/null");
        Ok(Step::new(&format!("image {name}"), 120, &["sh", "-c", &pull]).optional())
    })
    .collect()
}

/// kubelet's configuration, as kubeadm's defaults would make it, with parallel image pulls.
pub(super) fn kubelet_configuration(blueprint: &Blueprint<'_>) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": CA},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "systemd",
        "clusterDNS": [nth_address(blueprint.castle.cluster.service_cidr, 10)],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": CONTAINERD_SOCKET,
        "healthzBindAddress": "127.0.0.1",
        "rotateCertificates": true,
        "serializeImagePulls": false,
        "maxParallelImagePulls": 6,
        "podPidsLimit": 4096,
        "readOnlyPort": 0,
        "seccompDefault": true,
        "tlsCipherSuites": CIPHERS,
        "staticPodPath": "/etc/kubernetes/manifests",
    })
}

pub(super) fn text<'a>(secret: &'a Secret, what: &str) -> Result<&'a str, ClusterError> {
    secret
        .expose_str()
        .ok_or_else(|| ClusterError::pki(what, "it is no text"))
}
