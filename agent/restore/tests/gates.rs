//! The gate's policies on a real API server without nodes. Needs `KUBECONFIG` (agent/gitops/tests/empty-api starts such a
//! server) and, to read the records, `AUDIT_LOG`: `cargo test -p skykeep-restore --test gates -- --ignored`.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Namespace, PersistentVolumeClaim, Pod},
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, PostParams},
    config::KubeConfigOptions,
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Progress, Secret};
use skykeep_restore::{
    gate,
    job::JobSpec,
    ledger,
    order::{Order, Source, restore},
};

async fn pod(client: &Client, name: &str, claims: &[&str], labels: Value) -> Pod {
    named(client, name, claims, labels, json!({})).await
}

async fn named(client: &Client, name: &str, claims: &[&str], labels: Value, annotations: Value) -> Pod {
    let volume = |claim: &&str| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}});
    let volumes: Vec<Value> = claims.iter().map(volume).collect();
    let pod = json!({"metadata": {"name": name, "labels": labels, "annotations": annotations},
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
    let waits = |name, what: &'static str| named(&client, name, &[], json!({}), json!({"skykeep.dev/waits-for": what}));
    waits("names-one", "web.b").await;
    waits("names-both", " web.a web.b").await;
    waits("names-nobody", "web.unknown").await;
    pod(&client, "restore", &["a"], json!({"skykeep.dev/restore": "a"})).await;
    let held = async |name| gated(&client, name).await;
    assert!(held("both").await && held("backup").await && !held("free").await && !held("restore").await);

    assert!(held("names-one").await && held("names-both").await && held("names-nobody").await);
    ledger::mark_done(&client, "web", "a").await.unwrap();
    assert_eq!(gate::lift_for_good(&client, "web", "a", soon()).await.unwrap(), 0);
    assert!(held("both").await && held("backup").await);
    ledger::mark_done(&client, "web", "b").await.unwrap();
    assert_eq!(gate::lift_for_good(&client, "web", "b", soon()).await.unwrap(), 4);
    assert!(!held("both").await && !held("backup").await && !held("names-one").await && !held("names-both").await);
    assert!(held("names-nobody").await);

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

fn order<'a>(name: &'a str, claim: &'a str, spec: &'a JobSpec, secret: &'a Secret) -> Order<'a> {
    Order {
        name,
        namespace: "web",
        claim,
        source: Source::Restic(spec, secret),
        access_key_id: secret,
        secret_access_key: secret,
        extra_ca_pem: "",
        image: "x",
    }
}

/// The machine of each pod in `web`, by the pod's name.
async fn machines(client: &Client) -> BTreeMap<String, Option<String>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "web");
    let all = pods.list(&ListParams::default()).await.unwrap();
    let of = |pod: Pod| (pod.metadata.name.unwrap(), pod.spec.and_then(|s| s.node_name));
    all.into_iter().map(of).collect()
}

/// With a scheduler and all controllers, two machines without kubelets (`w1`, `w2`), the class `castle-storage` that waits for
/// a first consumer, and the manifests of tests/castle/repo/apps for `web`: agent/restore/tests/shapes starts them.
#[tokio::test]
#[ignore = "needs a cluster without kubelets"]
async fn restores_stand_where_their_applications_will_and_nothing_else_moves() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::from_kubeconfig(&KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let treasures = [
        ("wiki", "pages-wiki-0"),
        ("media", "wiki-media"),
        ("shelf", "shelf"),
        ("site", "site-content"),
    ];
    let claims = treasures.map(|(_, claim)| ("web".to_owned(), claim.to_owned()));
    gate::close(&client, &claims, Deadline::after(Duration::from_secs(60)))
        .await
        .unwrap();
    let apply = std::env::var("APPLY").unwrap();
    assert!(
        std::process::Command::new("sh")
            .args(["-ec", &apply])
            .status()
            .unwrap()
            .success()
    );

    let spec = JobSpec {
        bucket: "b".into(),
        prefix: String::new(),
        region: "r".into(),
        endpoint: None,
        snapshot: "latest".into(),
        path: "/".into(),
        replace: false,
    };
    let secret = Secret::new(b"x".to_vec());
    let (progress, _events) = Progress::channel("test");
    let deadline = || Deadline::after(Duration::from_secs(25));
    let orders = treasures.map(|(name, claim)| order(name, claim, &spec, &secret));
    // Without kubelets no restore ends: what matters is where they were put.
    let ended = tokio::join!(
        restore(&client, &orders[0], deadline(), &progress),
        restore(&client, &orders[1], deadline(), &progress),
        restore(&client, &orders[2], deadline(), &progress),
        restore(&client, &orders[3], deadline(), &progress),
    );
    assert!(ended.0.is_err() && ended.1.is_err() && ended.2.is_err() && ended.3.is_err());
    let seen = machines(&client).await;
    let of = |seen: &BTreeMap<String, Option<String>>, begin: &str| {
        let found = seen.iter().find(|(name, _)| name.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin} in {seen:?}")).1.clone()
    };
    assert_eq!(of(&seen, "skykeep-restore-shelf"), Some("w2".into()));
    let wiki = of(&seen, "skykeep-restore-wiki");
    assert!(wiki.is_some() && wiki == of(&seen, "skykeep-restore-media"), "{seen:?}");
    for app in ["wiki-0", "shelf-", "blog-"] {
        assert_eq!(of(&seen, app), None, "{app} got a machine before its treasure was back");
    }

    for (_, claim) in treasures {
        ledger::mark_done(&client, "web", claim).await.unwrap();
        gate::lift_for_good(&client, "web", claim, deadline()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let seen = machines(&client).await;
    assert_eq!(of(&seen, "wiki-0"), wiki);
    assert_eq!(of(&seen, "shelf-"), Some("w2".into()));
    assert_eq!(of(&seen, "blog-"), of(&seen, "skykeep-restore-site"));
    the_guard_stays(&client).await;
}

/// The claim of a StatefulSet and its pod are lost: nothing runs on an empty one, and the event says what to do.
async fn the_guard_stays(client: &Client) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "web");
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "web");
    let events: Api<Event> = Api::namespaced(client.clone(), "web");
    claims.delete("pages-wiki-0", &DeleteParams::default()).await.unwrap();
    // Restores that are over don't mount anything any more; here they never ended.
    let jobs: Api<Job> = Api::namespaced(client.clone(), "web");
    for name in ["skykeep-restore-wiki", "skykeep-restore-media"] {
        jobs.delete(name, &DeleteParams::background()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    // No kubelet ends these.
    for name in machines(client)
        .await
        .into_keys()
        .filter(|name| name.contains("wiki") || name.contains("media"))
    {
        let _gone_already = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
    }
    let mut told = String::new();
    for _ in 0..60 {
        let failed = events
            .list(&ListParams::default().fields("reason=FailedCreate"))
            .await
            .unwrap();
        // Others say that the old claim is still going.
        let about = |m: &String| m.contains("pages-wiki-0") && m.contains("skykeep restore");
        let message = failed.into_iter().filter_map(|e| e.message).find(about);
        told = message.unwrap_or_default();
        if !told.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(
        told.contains("skykeep restore NAME --again NAME"),
        "the StatefulSet was not told"
    );
    assert!(claims.get_opt("pages-wiki-0").await.unwrap().is_none());

    // What `--again` begins with: the claim may be made, and whoever mounts it waits.
    ledger::reopen(client, "web", "pages-wiki-0").await.unwrap();
    for _ in 0..90 {
        if pods.get_opt("wiki-0").await.unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(gated(client, "wiki-0").await && claims.get_opt("pages-wiki-0").await.unwrap().is_some());
}
