//! What is injected goes through Flux's real kustomize-controller into a real API server that knows CloudNativePG's and its
//! plugin's own definitions. agent/rebirth/tests/operators starts them, and says there what it asks for.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
    config::KubeConfigOptions,
    core::params::ValidationDirective,
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Secret, castle::Castle, deadline::Look, poll};
use skykeep_gitops::{Layout, Repository, Sync, apply_patches, apply_sync, remind_layers};

use super::*;

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is needed"))
        .into()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

fn castle() -> Castle {
    let text = include_str!("../../../../tests/castle/castle.yaml");
    let (before, rest) = text.split_once("  - name: db\n").unwrap();
    let (_, after) = rest.split_once("entry:\n").unwrap();
    let treasure = |name: &str, operator: &str, prefix: &str, more: &str| {
        format!(
            "  - name: {name}\n    namespace: db\n    claim: {name}\n    postgres: {{operator: {operator}, bucket: rossi-backups, prefix: {prefix}, \
             region: eu-central-1, accessKeyId: \"infisical:A\", secretAccessKey: \"infisical:B\", stanza: db{more}}}\n"
        )
    };
    let treasures = [
        treasure("shop", "cloudnative-pg", "cnpg", ", target: \"2026-11-30T08:15:00Z\""),
        treasure("wiki", "cloudnative-pg", "cnpg", ""),
        treasure("home-db", "crunchy", "pgbackrest/repo1", ""),
    ];
    Castle::parse(&format!("{before}{}entry:\n{after}", treasures.concat())).unwrap()
}

fn injections(castle: &Castle, layout: &Layout, back: bool) -> Vec<Injection> {
    let all = castle.treasures.iter().filter_map(of);
    all.flat_map(|one| {
        let archive = format!("{}/01BX", one.postgres.prefix);
        let places = (one.postgres.prefix.as_str(), archive.as_str());
        one.injections(layout, places, back).unwrap()
    })
    .collect()
}

fn api(client: &Client, group: &str, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Api::namespaced_with(client.clone(), "db", &resource)
}

fn clusters(client: &Client) -> Api<DynamicObject> {
    api(client, "postgresql.cnpg.io", "v1", "Cluster", "clusters")
}

/// Waits until an object is as wanted, and gives its spec.
async fn once(api: &Api<DynamicObject>, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    poll(
        &format!("{name} to be as wanted"),
        soon(),
        Duration::from_millis(300),
        || async {
            let found = api.get_opt(name).await.unwrap();
            let spec = found.map(|f| f.data["spec"].clone());
            Ok(match spec {
                Some(spec) if wanted(&spec) => Look::Ready(spec),
                other => Look::NotYet(format!("{other:?}")),
            })
        },
    )
    .await
    .unwrap()
}

/// Flux's source as source-controller would report it: the repository as a tar file, served on loopback.
async fn give_artifact(client: &Client, commit: &str) {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "GitRepository"),
        "gitrepositories",
    );
    let sources: Api<DynamicObject> = Api::namespaced_with(client.clone(), "flux-system", &resource);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let status = json!({"status": {"observedGeneration": 1, "artifact": {
        "path": "repo.tar.gz", "url": std::env::var("ARTIFACT_URL").unwrap(), "digest": std::env::var("ARTIFACT_DIGEST").unwrap(),
        "revision": format!("main@sha1:{commit}"), "lastUpdateTime": now,
    }, "conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored", "lastTransitionTime": now}]}});
    sources
        .patch_status("flux-system", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

/// What a spec says of where the database comes from and goes to.
fn told(spec: &Value) -> String {
    let ours = [
        "bootstrap",
        "externalClusters",
        "backup",
        "plugins",
        "storage",
        "dataSource",
        "backups",
        "instances",
    ];
    let said: Value = ours
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), spec.get(field)?.clone())))
        .collect();
    serde_json::to_string_pretty(&said).unwrap()
}

/// What the API server says to an object of this spec, strictly read, without keeping it.
async fn asked(client: &Client, spec: &Value) -> Result<(), String> {
    let object = json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster",
        "metadata": {"name": "asked", "namespace": "db"}, "spec": spec});
    let mut how = PatchParams::apply("test").dry_run();
    how.field_validation = Some(ValidationDirective::Strict);
    let answer = clusters(client).patch("asked", &how, &Patch::Apply(&object)).await;
    answer.map(|_| ()).map_err(|e| e.to_string())
}

/// What would be wrong is refused, so the acceptance above is worth something.
async fn wrong_ones_are_refused(client: &Client, good: &Value) {
    asked(client, good).await.unwrap();
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut spec = good.clone();
        change(&mut spec);
        spec
    };
    let misspelt = wrong(&|s| s["bootstrap"]["recovery"]["sorce"] = json!("skykeep-source"));
    let no_path = wrong(&|s| {
        s["externalClusters"][1]["barmanObjectStore"]
            .as_object_mut()
            .unwrap()
            .remove("destinationPath");
    });
    let no_list = wrong(&|s| s["externalClusters"] = json!({"name": "skykeep-source"}));
    for (spec, word) in [
        (misspelt, "sorce"),
        (no_path, "destinationPath"),
        (no_list, "externalClusters"),
    ] {
        let said = asked(client, &spec).await.unwrap_err();
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
#[ignore = "needs an API server with CloudNativePG's definitions and kustomize-controller"]
async fn flux_gives_every_operator_its_source() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let castle = castle();
    let repository = Repository::from_folder(&variable("OPERATORS_REPO")).unwrap();
    let layout = Layout::of(&repository, &castle.gitops.path).unwrap();
    let root = &layout.root;
    let client = Client::try_from(Config::from_kubeconfig(&KubeConfigOptions::default()).await.unwrap()).unwrap();
    let before = layout.nest(&injections(&castle, &layout, false)).unwrap();
    let commit = "0123456789012345678901234567890123456789";
    let sync = Sync {
        commit,
        username: "git",
        token: &Secret::from_string("token".into()),
        extra_ca_pem: "",
        patches: &before,
    };
    apply_sync(&client, root, &sync, soon()).await.unwrap();
    apply_sync(&client, root, &sync, soon())
        .await
        .expect("a second time changes nothing");
    give_artifact(&client, commit).await;

    let shop = once(&clusters(&client), "shop", |_| true).await;
    insta::assert_snapshot!("shop", told(&shop));
    wrong_ones_are_refused(&client, &shop).await;
    let owners = clusters(&client).get("shop").await.unwrap().metadata.labels.unwrap();
    assert_eq!(owners["patched"], "by-the-owner", "the layer's own patch");
    let wiki = once(&clusters(&client), "wiki", |_| true).await;
    // CloudNativePG's controller writes its own defaults into it.
    let controller = std::env::var_os("OPERATORS_CONTROLLER").is_some();
    if !controller {
        insta::assert_snapshot!("wiki", told(&wiki));
    }
    asked(&client, &wiki).await.unwrap();
    let schedules = api(
        &client,
        "postgresql.cnpg.io",
        "v1",
        "ScheduledBackup",
        "scheduledbackups",
    );
    once(&schedules, "shop-nightly", |spec| spec["suspend"] == true).await;
    // Of Crunchy's definition nobody judges more than that it is YAML: it could not be had.
    let homes = api(
        &client,
        "postgres-operator.crunchydata.com",
        "v1beta1",
        "PostgresCluster",
        "postgresclusters",
    );
    let home = once(&homes, "home-db", |_| true).await;
    insta::assert_snapshot!("home", told(&home));

    // Flux has applied its own root by now, which has no patches: ours are still there, and go only when we take them away.
    let after = layout.nest(&injections(&castle, &layout, true)).unwrap();
    apply_patches(&client, root, &after, soon()).await.unwrap();
    remind_layers(&client).await.unwrap();
    once(&schedules, "shop-nightly", |spec| spec["suspend"] != true).await;
    let home = once(&homes, "home-db", |spec| spec.get("dataSource").is_none()).await;
    assert_eq!(
        home["backups"]["pgbackrest"]["global"]["repo1-path"],
        "/pgbackrest/repo1/01BX"
    );
    assert_eq!(
        home["backups"]["pgbackrest"]["repos"][0]["schedules"]["full"],
        "0 1 * * 0"
    );
    let shop = once(&clusters(&client), "shop", |_| true).await;
    assert_eq!(shop["bootstrap"]["recovery"]["source"], "skykeep-source");

    if controller {
        a_recovery_begins(&client).await;
    }

    // Without patches Git alone has its word: an empty database. So it was they that did it, and they can be taken away.
    apply_patches(&client, root, &[], soon()).await.unwrap();
    remind_layers(&client).await.unwrap();
    once(&clusters(&client), "shop", |spec| {
        spec["bootstrap"].get("initdb").is_some()
    })
    .await;
}

/// CloudNativePG's real controller makes the job that recovers, and none that initialises; of a manifest that nobody patched it
/// makes one that does.
async fn a_recovery_begins(client: &Client) {
    let jobs = api(client, "batch", "v1", "Job", "jobs");
    let job = once(&jobs, "shop-1-full-recovery", |_| true).await;
    let command = &job["template"]["spec"]["containers"][0]["command"];
    assert_eq!(command[2], "restore", "{command}");
    let empty = json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "empty", "namespace": "db"},
        "spec": {"instances": 1, "storage": {"size": "1Gi"}}});
    let how = PatchParams::apply("test");
    clusters(client)
        .patch("empty", &how, &Patch::Apply(&empty))
        .await
        .unwrap();
    once(&jobs, "empty-1-initdb", |_| true).await;
    let all = jobs.list(&ListParams::default()).await.unwrap().items.into_iter();
    let names: BTreeSet<String> = all.filter_map(|job| job.metadata.name).collect();
    assert_eq!(
        names,
        ["empty-1-initdb", "shop-1-full-recovery"].map(str::to_owned).into()
    );
}
