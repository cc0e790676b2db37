//! Stepping back before a real API server, with the rights that the manifest gives and no other. `agent/skykeep/tests/step-back`.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::CronJob};
use kube::{Config, config::AuthInfo};
use skykeep_core::{Deadline, Secret, deadline::Look, lock::Lock, poll};

use super::*;

const PULSE: &str = "system:serviceaccount:skykeep-system:pulse";

/// etcd and kube-apiserver on loopback, ended with the test.
struct Server {
    children: Vec<Child>,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(program: &Path, args: &[String], folder: &Path) -> Child {
    let name = program.file_name().unwrap().to_str().unwrap();
    let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap_or_else(|e| panic!("{}: {e}", program.display()))
}

impl Server {
    fn start() -> Self {
        let parts =
            std::env::var_os("SKYKEEP_PARTS").expect("SKYKEEP_PARTS is the folder with etcd and kube-apiserver");
        let parts = PathBuf::from(parts);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let made = Command::new("openssl")
            .args(["genrsa", "-out", &at("sa.key"), "2048"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let tokens = format!("admin-token,admin,1,system:masters\npulse-token,{PULSE},2\n");
        std::fs::write(folder.path().join("tokens"), tokens).unwrap();
        let (client, peer, port) = (free_port(), free_port(), free_port());
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let etcd = [
            format!("--data-dir={}", at("etcd")),
            format!("--listen-client-urls={}", url(client)),
            format!("--advertise-client-urls={}", url(client)),
            format!("--listen-peer-urls={}", url(peer)),
            format!("--initial-advertise-peer-urls={}", url(peer)),
            format!("--initial-cluster=default={}", url(peer)),
            "--unsafe-no-fsync".into(),
        ];
        let api = [
            format!("--etcd-servers={}", url(client)),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".into(),
            format!("--cert-dir={}", at("certs")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", at("sa.key")),
            format!("--service-account-signing-key-file={}", at("sa.key")),
            format!("--token-auth-file={}", at("tokens")),
            "--authorization-mode=RBAC".into(),
            "--service-cluster-ip-range=10.96.0.0/24".into(),
        ];
        let children = vec![
            start(&parts.join("etcd"), &etcd, folder.path()),
            start(&parts.join("kube-apiserver"), &api, folder.path()),
        ];
        Server { children, port, folder }
    }

    fn client(&self, token: &str) -> Client {
        let mut config = Config::new(format!("https://127.0.0.1:{}", self.port).parse().unwrap());
        config.accept_invalid_certs = true;
        config.auth_info = AuthInfo {
            token: Some(token.to_owned().into()),
            ..AuthInfo::default()
        };
        Client::try_from(config).unwrap()
    }

    async fn ready(&self) -> Client {
        let admin = self.client("admin-token");
        let namespaces = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Namespace"), "namespaces");
        let api: Api<DynamicObject> = Api::all_with(admin.clone(), &namespaces);
        let look = || async {
            Ok(match api.get("default").await {
                Ok(_) => Look::Ready(()),
                Err(e) => Look::NotYet(e.to_string()),
            })
        };
        let deadline = Deadline::after(Duration::from_secs(150));
        let waited = poll("kube-apiserver", deadline, Duration::from_millis(500), look).await;
        let log = std::fs::read_to_string(self.folder.path().join("kube-apiserver.log")).unwrap_or_default();
        assert!(
            waited.is_ok(),
            "{waited:?}\n{}",
            log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
        );
        admin
    }
}

async fn make(client: &Client, resource: &ApiResource, object: Value) {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let api: Api<DynamicObject> = match object.metadata.namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    api.create(&PostParams::default(), &object).await.unwrap();
}

fn pod() -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"restartPolicy": "Always", "containers": [{"name": "x", "image": "x"}]}})
}

/// A DDNS program that Flux keeps, an application, and a nightly backup.
async fn castle(admin: &Client) {
    let crd = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        "customresourcedefinitions",
    );
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    make(admin, &crd, json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "kustomizations.kustomize.toolkit.fluxcd.io"},
        "spec": {"group": "kustomize.toolkit.fluxcd.io", "scope": "Namespaced",
            "names": {"kind": "Kustomization", "plural": "kustomizations", "singular": "kustomization", "listKind": "KustomizationList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}}))
    .await;
    let layers: Api<DynamicObject> = Api::all_with(admin.clone(), &Keeper::Kustomization.resource());
    let served = || async {
        Ok(layers
            .list(&ListParams::default())
            .await
            .map_or_else(|e| Look::NotYet(e.to_string()), |_| Look::Ready(())))
    };
    let deadline = Deadline::after(Duration::from_secs(60));
    poll("the CRD", deadline, Duration::from_millis(300), served)
        .await
        .unwrap();
    make(
        admin,
        &Keeper::Kustomization.resource(),
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "dns", "namespace": "default"}, "spec": {"path": "./dns"}}),
    )
    .await;
    let flux = json!({WRITES_DNS: "true", "kustomize.toolkit.fluxcd.io/name": "dns", "kustomize.toolkit.fluxcd.io/namespace": "default"});
    for (name, labels) in [("ddns", flux), ("blog", json!({}))] {
        make(
            admin,
            &resource(WorkloadKind::Deployment),
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default", "labels": labels},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": pod()}}),
        )
        .await;
    }
    let mut job = pod();
    job["spec"]["restartPolicy"] = "Never".into();
    make(
        admin,
        &resource(WorkloadKind::CronJob),
        json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "nightly", "namespace": "default", "labels": {BACKUP: "true"}},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": job}}}}),
    )
    .await;
}

#[tokio::test]
#[ignore = "needs etcd and kube-apiserver: agent/skykeep/tests/step-back"]
async fn a_real_cluster_is_stopped_with_few_rights_once_and_says_why() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start();
    let admin = server.ready().await;
    castle(&admin).await;
    let lock = json!({"version": 1, "kubernetes": "v1", "artifacts": [],
        "images": [{"name": "ghcr.io/skykeep/skykeep:v0.1.0", "digest": format!("sha256:{}", "d".repeat(64))}]});
    let secret = |text: &str| Secret::from_string(text.to_owned());
    let job = skykeep_cluster::pulse::Job {
        spec: "{}",
        extra_ca_pem: "",
        access_key_id: &secret("id"),
        secret_access_key: &secret("key"),
        seal: &secret("00"),
    };
    skykeep_cluster::pulse::apply(&admin, &Lock::parse(&lock.to_string()).unwrap(), &job)
        .await
        .unwrap();

    let pulse = server.client("pulse-token");
    let seen = super::super::look::testament(&pulse).await.unwrap();
    assert!(seen.kubernetes.starts_with("v1.") && seen.green.is_none(), "{seen:?}");
    let done = carry_out(&pulse, &[], "generation 01J is alive").await.unwrap();
    insta::assert_snapshot!(done.join("\n"));
    let deployments: Api<Deployment> = Api::default_namespaced(admin.clone());
    let replicas = async |name: &str| deployments.get(name).await.unwrap().spec.unwrap().replicas;
    assert_eq!((replicas("ddns").await, replicas("blog").await), (Some(0), Some(1)));
    let crons: Api<CronJob> = Api::default_namespaced(admin.clone());
    assert_eq!(crons.get("nightly").await.unwrap().spec.suspend, Some(true));
    let layers: Api<DynamicObject> = Api::namespaced_with(admin.clone(), "default", &Keeper::Kustomization.resource());
    assert_eq!(layers.get("dns").await.unwrap().data["spec"]["suspend"], true);
    let events: Api<Event> = Api::default_namespaced(admin.clone());
    let told = events.list(&ListParams::default()).await.unwrap();
    let told: Vec<_> = told
        .iter()
        .filter(|e| e.reason.as_deref() == Some("SteppedBack"))
        .collect();
    assert_eq!(told.len(), 3);
    assert!(
        told.iter()
            .all(|e| e.message.as_deref().unwrap().starts_with("generation 01J is alive: "))
    );

    assert_eq!(
        carry_out(&pulse, &[], "again").await.unwrap(),
        Vec::<String>::new(),
        "nothing is left to stop"
    );
    // It may set a number of replicas, and no other image.
    let theirs: Api<Deployment> = Api::default_namespaced(pulse);
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "x", "image": "evil"}]}}}});
    let refused = theirs
        .patch("blog", &PatchParams::default(), &Patch::Strategic(image))
        .await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(e)) if e.code == 403),
        "{refused:?}"
    );
}
