//! The gate's policies on a real API server without nodes. Needs `KUBECONFIG` (agent/gitops/tests/empty-api starts such a
//! server) and, to read the records, `AUDIT_LOG`: `cargo test -p skykeep-restore --test gates -- --ignored`.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use kube::{Api, Client, Config, api::PostParams, config::KubeConfigOptions};
use serde_json::{Value, json};
use skykeep_core::Deadline;
use skykeep_restore::{gate, ledger};

async fn pod(client: &Client, name: &str, claims: &[&str], labels: Value) -> Pod {
    let volume = |claim: &&str| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}});
    let volumes: Vec<Value> = claims.iter().map(volume).collect();
    let pod = json!({"metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "x", "image": "x"}], "volumes": volumes}});
    let pods: Api<Pod> = Api::namespaced(client.clone(), "web");
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap()
}

async fn gated(client: &Client, name: &str) -> bool {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "web");
    let spec = pods.get(name).await.unwrap().spec.unwrap();
    spec.scheduling_gates.is_some_and(|gates| !gates.is_empty())
}

#[tokio::test]
#[ignore = "needs an empty API server"]
async fn pods_wait_for_all_of_their_treasures_and_an_empty_claim_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::from_kubeconfig(&KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let web = json!({"metadata": {"name": "web"}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(&PostParams::default(), &serde_json::from_value(web).unwrap())
        .await
        .unwrap();
    let claims = ["a", "b"].map(|c| ("web".to_owned(), c.to_owned()));
    let soon = || Deadline::after(Duration::from_secs(60));
    gate::close(&client, &claims, soon()).await.unwrap();

    pod(&client, "both", &["a", "b", "cache"], json!({})).await;
    pod(&client, "backup", &[], json!({"skykeep.dev/backup": "true"})).await;
    pod(&client, "free", &["cache"], json!({})).await;
    pod(&client, "restore", &["a"], json!({"skykeep.dev/restore": "a"})).await;
    let held = async |name| gated(&client, name).await;
    assert!(held("both").await && held("backup").await && !held("free").await && !held("restore").await);

    ledger::mark_done(&client, "web", "a").await.unwrap();
    assert_eq!(gate::lift_for_good(&client, "web", "a", soon()).await.unwrap(), 0);
    assert!(held("both").await && held("backup").await);
    ledger::mark_done(&client, "web", "b").await.unwrap();
    assert_eq!(gate::lift_for_good(&client, "web", "b", soon()).await.unwrap(), 2);
    assert!(!held("both").await && !held("backup").await);

    let anew = json!({"metadata": {"name": "a"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let anew: PersistentVolumeClaim = serde_json::from_value(anew).unwrap();
    let all: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "web");
    let refused = all.create(&PostParams::default(), &anew).await.unwrap_err().to_string();
    assert!(refused.contains("skykeep restore NAME --again NAME"), "{refused}");
    ledger::reopen(&client, "web", "a").await.unwrap();
    gate::wait_closed(&client, "web", "a", soon()).await.unwrap();
    all.create(&PostParams::default(), &anew).await.unwrap();
    pod(&client, "later", &["a"], json!({})).await;
    assert!(held("later").await);

    let log = std::fs::read_to_string(std::env::var("AUDIT_LOG").unwrap()).unwrap();
    for record in [
        r#""skykeep-record-pods/mounts":"web/both - app a b""#,
        r#""skykeep-record-pods/mounts":"web/restore - restore a""#,
        r#""skykeep-record-pods/mounts":"web/later - app a""#,
        "web.a=done",
        "web.b=pending",
    ] {
        assert!(log.contains(record), "{record} is not in the audit log");
    }
    assert!(!log.contains("mounts\":\"web/free"));
}
