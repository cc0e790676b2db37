//! Against a real API server and the real Flux controllers, in the laboratory's world, without nodes:
//! the test itself plays the kubelet (every pod is called ready). Needs in the environment `SKYKEEP_WORLD` (a running
//! world) and `SKYKEEP_CACHE` (parts), and `KUBECONFIG`: an empty API server with the deployment and replicaset controllers.
//! `tests/empty-api` starts such a one; run both inside the world's `sk-host` namespace.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
    config::KubeConfigOptions,
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Progress, Secret, castle::Castle, http::Trust};
use skykeep_gitops::{Sync, apply_components, apply_sync, before_flux, fetch, set_pin, watch_layers};

fn path(variable: &str) -> PathBuf {
    std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is needed"))
        .into()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

/// Controllers that end with the test.
struct Controllers(Vec<Child>);

impl Drop for Controllers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start_flux(folder: &std::path::Path) -> Controllers {
    let start = |name: &str, port: u16, extra: &[&str]| {
        let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
        Command::new(path("SKYKEEP_CACHE").join("parts/current").join(name))
            .args(["--watch-all-namespaces", "--events-addr=", "--concurrent=10"])
            .arg(format!("--metrics-addr=127.0.0.1:{port}"))
            .arg(format!("--health-addr=127.0.0.1:{}", port + 1))
            .args(extra)
            .env("RUNTIME_NAMESPACE", "flux-system")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    };
    let storage = format!("--storage-path={}", folder.display());
    Controllers(vec![
        start(
            "source-controller",
            19790,
            &[
                &storage,
                "--storage-addr=127.0.0.1:19780",
                "--storage-adv-addr=127.0.0.1:19780",
            ],
        ),
        start("kustomize-controller", 19792, &[]),
        start("helm-controller", 19794, &[]),
    ])
}

fn api(client: &Client, group: &str, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Api::all_with(client.clone(), &resource)
}

fn in_namespace(
    client: &Client,
    namespace: &str,
    group: &str,
    version: &str,
    kind: &str,
    plural: &str,
) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Calls every pod and DaemonSet ready, as if nodes ran them, and gives load balancers an address.
async fn play_kubelet(client: Client) {
    loop {
        for item in api(&client, "", "v1", "Pod", "pods")
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
        {
            let one = in_namespace(
                &client,
                &item.metadata.namespace.clone().unwrap(),
                "",
                "v1",
                "Pod",
                "pods",
            );
            let patch = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
            let _ = one
                .patch_status(
                    &item.metadata.name.unwrap(),
                    &PatchParams::default(),
                    &Patch::Merge(&patch),
                )
                .await;
        }
        for item in api(&client, "apps", "v1", "DaemonSet", "daemonsets")
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
        {
            let generation = item.metadata.generation.unwrap_or(1);
            let patch = json!({"status": {"observedGeneration": generation, "desiredNumberScheduled": 1,
                "currentNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1, "numberReady": 1, "numberMisscheduled": 0}});
            let namespace = item.metadata.namespace.clone().unwrap();
            let one = in_namespace(&client, &namespace, "apps", "v1", "DaemonSet", "daemonsets");
            let _ = one
                .patch_status(
                    &item.metadata.name.unwrap(),
                    &PatchParams::default(),
                    &Patch::Merge(&patch),
                )
                .await;
        }
        for item in api(&client, "", "v1", "Service", "services")
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
        {
            if item.data.pointer("/spec/type") == Some(&json!("LoadBalancer")) {
                let one = in_namespace(
                    &client,
                    &item.metadata.namespace.clone().unwrap(),
                    "",
                    "v1",
                    "Service",
                    "services",
                );
                let patch = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.200"}]}}});
                let _ = one
                    .patch_status(
                        &item.metadata.name.unwrap(),
                        &PatchParams::default(),
                        &Patch::Merge(&patch),
                    )
                    .await;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What kubeadm and the castle's network layer bring before Flux.
async fn network(client: &Client) {
    for (kind, plural, name) in [
        ("DaemonSet", "daemonsets", "kube-flannel"),
        ("Deployment", "deployments", "coredns"),
    ] {
        let object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": {"a": name}}, "template": {"metadata": {"labels": {"a": name}},
                "spec": {"containers": [{"name": "x", "image": "x"}]}}}});
        let one = in_namespace(client, "kube-system", "apps", "v1", kind, plural);
        one.patch(name, &PatchParams::apply("test"), &Patch::Apply(&object))
            .await
            .unwrap();
    }
}

#[tokio::test]
#[ignore = "needs the laboratory's world and an empty API server"]
async fn real_flux_brings_all_layers_up_and_leaves_the_pin_alone() {
    let castle = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
    let trust = Trust::with_extra_pem(&std::fs::read(path("SKYKEEP_WORLD").join("ca.pem")).unwrap()).unwrap();
    let credentials: Value =
        serde_json::from_slice(&std::fs::read(path("SKYKEEP_WORLD").join("credentials.json")).unwrap()).unwrap();
    let token = Secret::from_string(credentials["github_token"].as_str().unwrap().to_owned());
    let repository = fetch(&castle.gitops, None, &token, &trust, soon())
        .await
        .unwrap()
        .repository;
    let root = repository.flux(&castle.gitops.path).unwrap();

    let config = Config::from_kubeconfig(&KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    network(&client).await;
    let kubelet = tokio::spawn(play_kubelet(client.clone()));
    let (progress, mut said) = Progress::channel("flux");
    let printer = tokio::spawn(async move {
        while let Ok(event) = said.recv().await {
            println!("{}", serde_json::to_string(&event).unwrap());
        }
    });

    let began = std::time::Instant::now();
    let pem = Secret::from_string("pem".into());
    before_flux(&client, &castle.before_flux, |_| Some(&pem), soon())
        .await
        .unwrap();
    apply_components(&client, &root, soon(), &progress).await.unwrap();
    println!("components after {:?}", began.elapsed());
    let sync = Sync {
        commit: &repository.commit,
        username: &castle.gitops.username,
        token: &token,
        extra_ca_pem: trust.extra_pem(),
        patches: &[],
    };
    apply_sync(&client, &root, &sync, soon()).await.unwrap();
    apply_sync(&client, &root, &sync, soon())
        .await
        .expect("a second time changes nothing");
    let folder = tempfile::tempdir().unwrap();
    let controllers = start_flux(folder.path());
    let outcome = watch_layers(&client, &repository.commit, &BTreeSet::new(), soon(), &progress)
        .await
        .unwrap();
    println!("layers after {:?}, {} reminders", began.elapsed(), outcome.reminders);
    assert_eq!(outcome.held, []);
    let names: Vec<&str> = outcome.ready.iter().map(|l| l.name.as_str()).collect();
    for name in ["flux-system", "core", "data", "ingress", "apps", "traefik", "notes"] {
        assert!(names.contains(&name), "{name} is among {names:?}");
    }

    // Flux has applied its own gotk-sync.yaml by now; the pin must have survived, owned by us alone.
    let sources = in_namespace(
        &client,
        "flux-system",
        "source.toolkit.fluxcd.io",
        "v1",
        "GitRepository",
        "gitrepositories",
    );
    let source = sources.get("flux-system").await.unwrap();
    let reference = source.data.pointer("/spec/ref").unwrap();
    assert_eq!(
        reference,
        &json!({"branch": castle.gitops.branch, "commit": repository.commit})
    );
    let fields = source.metadata.managed_fields.unwrap();
    let owners = |field: &str| -> Vec<String> {
        let pointer = format!("/f:spec/f:ref/{field}");
        let owning = fields
            .iter()
            .filter(|f| f.fields_v1.as_ref().is_some_and(|v| v.0.pointer(&pointer).is_some()));
        owning.filter_map(|f| f.manager.clone()).collect()
    };
    assert_eq!(owners("f:commit"), ["skykeep-pin"]);
    assert!(
        owners("f:branch").contains(&"kustomize-controller".to_owned()),
        "Flux applied its root: {:?}",
        owners("f:branch")
    );

    set_pin(&client, &root, None, soon()).await.unwrap();
    let source = sources.get("flux-system").await.unwrap();
    assert_eq!(
        source.data.pointer("/spec/ref").unwrap(),
        &json!({"branch": castle.gitops.branch})
    );
    drop(controllers);
    kubelet.abort();
    printer.abort();
}
