use sha2::{Digest, Sha256};
use skykeep_core::Secret;

use super::*;

pub(crate) fn castle() -> Castle {
    Castle::parse(include_str!("../../../../tests/castle/castle.yaml")).unwrap()
}

pub(crate) fn lock() -> Lock {
    let artifact = |name: &str, unpack: bool| {
        serde_json::json!({"name": name, "url": format!("https://dl.example/{name}"), "sha256": "a".repeat(64), "size": 1,
            "dest": format!("/usr/local/bin/{name}"), "mode": "0755", "unpack": if unpack { Some("tar.gz") } else { None }})
    };
    let images = [
        "pause",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "etcd",
        "coredns/coredns",
    ];
    let images: Vec<_> = images
        .iter()
        .map(|i| format!("registry.k8s.io/{i}"))
        .chain(["ghcr.io/flannel-io/flannel".to_owned()])
        .map(|i| serde_json::json!({"name": format!("{i}:v1"), "digest": format!("sha256:{}", "b".repeat(64))}))
        .collect();
    let text = serde_json::json!({"version": 1, "kubernetes": "v1.36.3", "images": images, "artifacts": [
        artifact("kubelet", false), artifact("kubeadm", false), artifact("containerd", true), artifact("runc", false),
        artifact("cni-plugins", true), artifact("flannel-cni", false), artifact("skykeep", false)]});
    Lock::parse(&text.to_string()).unwrap()
}

pub(crate) fn nodes() -> Vec<PlannedNode> {
    let node = |name: &str, role, last| PlannedNode {
        name: name.into(),
        role,
        private_ip: Ipv4Addr::new(10, 42, 0, last),
    };
    vec![
        node("cp1", Role::ControlPlane, 11),
        node("cp2", Role::ControlPlane, 12),
        node("cp3", Role::ControlPlane, 13),
        node("w1", Role::Worker, 21),
        node("w2", Role::Worker, 22),
    ]
}

fn plan_of(name: &str) -> NodePlan {
    plan_with(name, &lock(), &Sources::default())
}

fn plan_with(name: &str, lock: &Lock, sources: &Sources<'_>) -> NodePlan {
    plan_joining(name, &BTreeSet::new(), lock, sources)
}

fn plan_joining(name: &str, joins: &BTreeSet<String>, lock: &Lock, sources: &Sources<'_>) -> NodePlan {
    let derive = |label: &str| Secret::new(Sha256::digest(label.as_bytes()).to_vec());
    let generation: Generation = "01KAS0000000000000000000RS".parse().unwrap();
    let pki = Pki::derive("rossi", &generation, &derive).unwrap();
    let (castle, nodes) = (castle(), nodes());
    Blueprint {
        castle: &castle,
        lock,
        generation: &generation,
        pki: &pki,
        nodes: &nodes,
        first: &nodes,
        joins,
        sources,
    }
    .node_plan(name)
    .unwrap()
}

fn file<'a>(plan: &'a NodePlan, path: &str) -> &'a str {
    plan.files
        .iter()
        .find(|f| f.path == path)
        .unwrap_or_else(|| panic!("{path}"))
        .content
        .expose()
}

#[test]
fn a_worker_never_receives_a_private_key() {
    let plan = serde_json::to_string(&plan_of("w1")).unwrap();
    assert!(!plan.contains("PRIVATE KEY"));
    assert!(!plan.contains("secretbox"));
    let control_plane = serde_json::to_string(&plan_of("cp2")).unwrap();
    assert_eq!(
        control_plane.matches("BEGIN PRIVATE KEY").count(),
        4,
        "the check above looks for the right words"
    );
}

#[test]
fn a_workers_token_is_in_no_command_line_and_is_wiped_when_it_has_joined() {
    let plan = plan_of("w1");
    let token = file(&plan, "/etc/kubernetes/skykeep-knock.curl")
        .split("Bearer ")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    assert!(plan.steps.iter().all(|s| s.argv.iter().all(|a| !a.contains(&token))));
    for holder in plan.files.iter().filter(|f| f.content.expose().contains(&token)) {
        assert!(plan.wipe.contains(&holder.path), "{}", holder.path);
        assert_eq!(holder.mode, "0600");
    }
}

#[test]
fn only_the_first_control_plane_does_what_is_done_once() {
    let once = |name: &str| {
        plan_of(name)
            .steps
            .iter()
            .any(|s| s.title == "what the cluster needs once")
    };
    assert!(once("cp1") && !once("cp2") && !once("cp3") && !once("w1"));
    assert!(!file(&plan_of("cp2"), KUBEADM).contains("bootstrapTokens"));
    assert!(file(&plan_of("cp1"), KUBEADM).contains("bootstrapTokens"));
}

const KUBEADM: &str = "/etc/kubernetes/skykeep/kubeadm.yaml";

#[test]
fn every_control_plane_knows_every_etcd_member_and_asks_itself_first() {
    for (name, own) in [("cp1", "10.42.0.11"), ("cp2", "10.42.0.12"), ("cp3", "10.42.0.13")] {
        let plan = plan_of(name);
        assert!(
            file(&plan, KUBEADM)
                .contains("cp1=https://10.42.0.11:2380,cp2=https://10.42.0.12:2380,cp3=https://10.42.0.13:2380")
        );
        assert_eq!(plan.hosts[0], format!("{own} api.castle.internal"));
        assert_eq!(plan.hosts.len(), 3);
    }
    assert_ne!(
        plan_of("w1").hosts[0],
        plan_of("w2").hosts[0],
        "workers spread over the control planes"
    );
}

#[test]
fn the_kubeadm_configuration_of_the_first_control_plane() {
    insta::assert_snapshot!(file(&plan_of("cp1"), KUBEADM));
}

#[test]
fn the_steps_of_each_kind_of_node() {
    let list = |name: &str| {
        let lines: Vec<_> = plan_of(name)
            .steps
            .iter()
            .map(|s| format!("{}: {}", s.title, s.argv.join(" ")))
            .collect();
        lines.join("\n")
    };
    insta::assert_snapshot!(format!("{}\n\n{}\n\n{}", list("cp1"), list("cp2"), list("w1")));
}

#[test]
fn a_control_plane_made_anew_joins_before_its_etcd_starts() {
    let joins = BTreeSet::from(["cp2".to_owned()]);
    let plan = |name| plan_joining(name, &joins, &lock(), &Sources::default());
    let two = plan("cp2");
    assert!(file(&two, KUBEADM).contains("existing") && !file(&plan("cp1"), KUBEADM).contains("existing"));
    assert_eq!(plan("cp1").etcd, None);
    let titles: Vec<String> = two
        .steps
        .iter()
        .map(|s| format!("{}: {}", s.title, s.argv.join(" ")))
        .collect();
    insta::assert_snapshot!(format!("{:#?}\n{}", two.etcd.unwrap(), titles.join("\n")));
}

#[test]
fn etcds_first_members_are_the_same_everywhere_though_one_had_to_go_to_another_zone() {
    let derive = |label: &str| Secret::new(Sha256::digest(label.as_bytes()).to_vec());
    let generation: Generation = "01KAS0000000000000000000RS".parse().unwrap();
    let pki = Pki::derive("rossi", &generation, &derive).unwrap();
    let (castle, lock, first, sources) = (castle(), lock(), nodes(), Sources::default());
    let mut now = first.clone();
    now[1].private_ip = Ipv4Addr::new(10, 42, 16, 101);
    let blueprint = Blueprint {
        castle: &castle,
        lock: &lock,
        generation: &generation,
        pki: &pki,
        nodes: &now,
        first: &first,
        joins: &BTreeSet::from(["cp2".to_owned()]),
        sources: &sources,
    };
    let plan = |name| blueprint.node_plan(name).unwrap();
    assert!(file(&plan("cp1"), KUBEADM).contains("cp2=https://10.42.0.12:2380"));
    assert!(file(&plan("cp2"), KUBEADM).contains("cp2=https://10.42.16.101:2380"));
    for name in ["cp1", "cp2", "w1"] {
        assert!(
            plan(name)
                .hosts
                .contains(&"10.42.16.101 api.castle.internal".to_owned()),
            "{name}"
        );
    }
}

#[test]
fn a_plan_survives_its_journey_and_debug_shows_no_key() {
    let plan = plan_of("cp1");
    let json = serde_json::to_string(&plan).unwrap();
    let back: NodePlan = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), json);
    assert!(!format!("{plan:?}").contains("PRIVATE KEY"));
}

#[test]
fn mirrors_and_logins_reach_containerd_and_kubelet_and_copies_only_whom_they_concern() {
    let mut lock = lock();
    let artifact = lock.artifacts[0].sha256.clone();
    for image in &mut lock.images {
        image.blobs = vec![skykeep_core::lock::Blob {
            digest: format!("sha256:{}", hex::encode(Sha256::digest(&image.name))),
            size: 1,
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        }];
    }
    let blobs = lock.images.iter().map(|i| i.blobs[0].sha256().to_owned());
    let copies = blobs
        .chain([artifact])
        .map(|sha256| (sha256.clone(), format!("https://s3.example/{sha256}?sig")));
    let login = || {
        let secret = |text: &str| Secret::from_string(text.to_owned());
        Some(skykeep_core::registry::Login {
            username: secret("rossi"),
            password: secret("hunter2"),
        })
    };
    let mirror = "https://mirror.example/v2/k8s".parse().unwrap();
    let sources = Sources {
        registries: vec![
            RegistryAt {
                host: "registry.k8s.io",
                mirror: Some(&mirror),
                login: login(),
            },
            RegistryAt {
                host: "docker.io",
                mirror: None,
                login: login(),
            },
        ],
        copies: copies.collect(),
    };
    let worker = plan_with("w1", &lock, &sources);
    insta::assert_snapshot!(file(&worker, "/etc/containerd/certs.d/registry.k8s.io/hosts.toml"));
    insta::assert_snapshot!(file(&worker, "/var/lib/kubelet/config.json"));
    let control_plane = plan_with("cp1", &lock, &sources);
    let has = |plan: &NodePlan, name: &str| plan.images.iter().any(|i| i.name.contains(name));
    assert!(has(&control_plane, "kube-apiserver") && !has(&worker, "kube-apiserver") && has(&worker, "flannel"));
    let step = |plan: &NodePlan| plan.steps.iter().position(|s| s.own == Some(Own::Images));
    let containerd = worker.steps.iter().position(|s| s.title == "containerd").unwrap();
    assert!(step(&worker) == Some(containerd + 1) && step(&plan_of("w1")).is_none());
}
