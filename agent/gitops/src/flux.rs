//! Flux itself: its components, its source pinned to a commit, its root.

use futures::future::try_join_all;
use k8s_openapi::{
    api::apps::v1::Deployment, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Progress, Secret, Trouble, deadline::Look, poll};
use std::time::Duration;

use crate::{
    apply::{Applier, MANAGER, PATCH_MANAGER, PIN_MANAGER},
    error::GitopsError,
    inject::{patches_alone, with_patches},
    repository::{Document, FluxRoot, text},
};

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What Flux needs to reach the repository.
pub struct Sync<'a> {
    /// The commit that the castle is reborn from, 40 hex digits.
    pub commit: &'a str,
    /// User name that goes with the token.
    pub username: &'a str,
    /// The token.
    pub token: &'a Secret,
    /// Extra CAs, PEM; empty when there are none.
    pub extra_ca_pem: &'a str,
    /// What the root Kustomization is patched with: see [`crate::Layout::nest`].
    pub patches: &'a [Value],
}

/// Applies `gotk-components.yaml`: namespace and CRDs first, then the rest; waits until the controllers are available.
pub async fn apply_components(
    client: &Client,
    root: &FluxRoot,
    deadline: Deadline,
    progress: &Progress,
) -> Result<(), Trouble> {
    let applier = Applier::new(client, deadline);
    let (first, rest): (Vec<&Document>, Vec<&Document>) = root
        .components
        .iter()
        .partition(|d| matches!(d.kind(), "Namespace" | "CustomResourceDefinition"));
    applier.all(&first.iter().map(|d| &d.value).collect::<Vec<_>>()).await?;
    let crds: Vec<&str> = first
        .iter()
        .filter(|d| d.kind() == "CustomResourceDefinition")
        .map(|d| d.name())
        .collect();
    try_join_all(crds.iter().map(|name| established(client, name, deadline))).await?;
    progress.note(format!("{} kinds of Flux are known to the API", crds.len()));
    applier.all(&rest.iter().map(|d| &d.value).collect::<Vec<_>>()).await?;
    let controllers: Vec<&&Document> = rest.iter().filter(|d| d.kind() == "Deployment").collect();
    try_join_all(
        controllers
            .iter()
            .map(|d| available(client, d.namespace(), d.name(), deadline)),
    )
    .await?;
    progress.note(format!("{} controllers of Flux are available", controllers.len()));
    Ok(())
}

async fn established(client: &Client, name: &str, deadline: Deadline) -> Result<(), Trouble> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    poll(
        &format!("CRD {name} to be established"),
        deadline,
        LOOK_EVERY,
        || async {
            let crd = api
                .get(name)
                .await
                .map_err(|e| GitopsError::api(format!("read CRD {name}"), &e))?;
            let conditions = crd.status.and_then(|s| s.conditions).unwrap_or_default();
            let ready = conditions
                .iter()
                .any(|c| c.type_ == "Established" && c.status == "True");
            Ok(if ready {
                Look::Ready(())
            } else {
                Look::NotYet("not established".into())
            })
        },
    )
    .await
}

async fn available(client: &Client, namespace: &str, name: &str, deadline: Deadline) -> Result<(), Trouble> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    poll(
        &format!("Deployment {namespace}/{name} to be available"),
        deadline,
        LOOK_EVERY,
        || async {
            let found = api
                .get(name)
                .await
                .map_err(|e| GitopsError::api(format!("read Deployment {namespace}/{name}"), &e))?;
            let status = found.status.unwrap_or_default();
            // Of an older generation "available" says nothing about what was applied just now.
            let current = status.observed_generation.unwrap_or(0) >= found.metadata.generation.unwrap_or(0);
            let conditions = status.conditions.unwrap_or_default();
            let condition = conditions.iter().find(|c| c.type_ == "Available");
            Ok(match condition {
                Some(c) if c.status == "True" && current => Look::Ready(()),
                Some(c) => Look::NotYet(c.message.clone().unwrap_or_else(|| "not available".into())),
                None => Look::NotYet("no pod yet".into()),
            })
        },
    )
    .await
}

/// Applies the token's Secret, the GitRepository of `gotk-sync.yaml` pinned to the commit, and the root Kustomization.
///
/// The commit belongs to the field manager `skykeep-pin` alone. Flux later applies its own `gotk-sync.yaml` as
/// `kustomize-controller`; server-side apply takes away only fields that the same manager owned before, so the pin stays.
/// The source never exists without the pin: it is created with it by `skykeep`, which then gives that field up.
pub async fn apply_sync(client: &Client, root: &FluxRoot, sync: &Sync<'_>, deadline: Deadline) -> Result<(), Trouble> {
    let applier = Applier::new(client, deadline);
    let source = &root.source.value;
    applier.one(&secret(&root.source, sync)?, MANAGER).await?;
    applier.one(&with_commit(source, sync.commit), MANAGER).await?;
    applier.one(&pin(&root.source, Some(sync.commit)), PIN_MANAGER).await?;
    applier.one(source, MANAGER).await?;
    // The patches as the pin: no layer ever exists without them.
    applier.one(&with_patches(root, sync.patches), MANAGER).await?;
    applier.one(&patches_alone(root, sync.patches), PATCH_MANAGER).await?;
    applier.one(&root.root.value, MANAGER).await
}

/// Puts other patches in the place of those that the root Kustomization has from us; none takes ours away.
pub async fn apply_patches(
    client: &Client,
    root: &FluxRoot,
    patches: &[Value],
    deadline: Deadline,
) -> Result<(), Trouble> {
    let applier = Applier::new(client, deadline);
    applier.one(&patches_alone(root, patches), PATCH_MANAGER).await
}

/// Pins Flux to a commit, or (`None`) lets it follow the branch again.
pub async fn set_pin(
    client: &Client,
    root: &FluxRoot,
    commit: Option<&str>,
    deadline: Deadline,
) -> Result<(), Trouble> {
    Applier::new(client, deadline)
        .one(&pin(&root.source, commit), PIN_MANAGER)
        .await
}

fn secret(source: &Document, sync: &Sync<'_>) -> Result<Value, GitopsError> {
    let name = Some(text(&source.value, "/spec/secretRef/name"))
        .filter(|n| !n.is_empty())
        .unwrap_or("flux-system");
    let token = sync
        .token
        .expose_str()
        .ok_or_else(|| GitopsError::Value("the Git token is no text".into()))?;
    let mut data = json!({"username": sync.username, "password": token.trim()});
    if let (Some(map), false) = (data.as_object_mut(), sync.extra_ca_pem.is_empty()) {
        map.insert("ca.crt".into(), sync.extra_ca_pem.into());
    }
    Ok(json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"namespace": source.namespace(), "name": name}, "stringData": data}))
}

fn with_commit(source: &Value, commit: &str) -> Value {
    let mut pinned = source.clone();
    if let Some(spec) = pinned.pointer_mut("/spec").and_then(Value::as_object_mut) {
        let reference = spec.entry("ref").or_insert_with(|| json!({}));
        if let Some(reference) = reference.as_object_mut() {
            reference.insert("commit".into(), commit.into());
        }
    }
    pinned
}

fn pin(source: &Document, commit: Option<&str>) -> Value {
    let mut object = json!({"apiVersion": text(&source.value, "/apiVersion"), "kind": source.kind(),
        "metadata": {"namespace": source.namespace(), "name": source.name()}});
    if let (Some(map), Some(commit)) = (object.as_object_mut(), commit) {
        map.insert("spec".into(), json!({"ref": {"commit": commit}}));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Document {
        let value = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "flux-system", "namespace": "flux-system"},
            "spec": {"url": "https://x", "interval": "1m", "ref": {"branch": "main"}, "secretRef": {"name": "creds"}}});
        Document {
            file: "gotk-sync.yaml".into(),
            value,
            namespace: None,
        }
    }

    #[test]
    fn the_pin_holds_the_commit_and_nothing_else() {
        assert_eq!(pin(&source(), Some("abc"))["spec"], json!({"ref": {"commit": "abc"}}));
        assert!(pin(&source(), None).get("spec").is_none());
        assert_eq!(
            with_commit(&source().value, "abc")["spec"]["ref"],
            json!({"branch": "main", "commit": "abc"})
        );
    }

    #[test]
    fn the_secret_has_the_name_that_the_source_asks_for_and_a_ca_only_when_there_is_one() {
        let token = Secret::from_string("tok\n".into());
        let sync = Sync {
            commit: "abc",
            username: "git",
            token: &token,
            extra_ca_pem: "",
            patches: &[],
        };
        let object = secret(&source(), &sync).unwrap();
        assert_eq!(object["metadata"]["name"], "creds");
        assert_eq!(object["stringData"], json!({"username": "git", "password": "tok"}));
        let object = secret(
            &source(),
            &Sync {
                extra_ca_pem: "PEM",
                ..sync
            },
        )
        .unwrap();
        assert_eq!(object["stringData"]["ca.crt"], "PEM");
    }
}
