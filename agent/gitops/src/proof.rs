//! That Git alone gives the castle: our hands are taken off what Flux applies, and Flux applies all of it once more.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use kube::Client;
use serde_json::{Value, json};
use skykeep_core::{Deadline, Trouble, deadline::Look, poll};

use crate::{
    apply::{Applier, MANAGER},
    repository::{FluxRoot, list, text},
    watch::{kustomizations, remind_layer},
};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Objects that are read at once.
const AT_ONCE: usize = 8;

/// What was seen when Flux applied everything once more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alone {
    /// Objects that Flux keeps.
    pub objects: usize,
    /// Those that were not the same before and after.
    pub changed: Vec<String>,
}

/// Gives up every field of Flux's own objects that a rebirth applied beside Flux. First the API server says (dry run) what would
/// be left: an object of which anything would go, because Git does not hold it, is left as it is, and named in the answer.
pub async fn let_go(client: &Client, root: &FluxRoot, deadline: Deadline) -> Result<Vec<String>, Trouble> {
    let applier = Applier::new(client, deadline);
    let mut kept = Vec::new();
    for document in root.components.iter().chain([&root.source, &root.root]) {
        let version = text(&document.value, "/apiVersion");
        let namespace = text(&document.value, "/metadata/namespace");
        let bare = bare(version, document.kind(), namespace, document.name());
        let Some(stands) = applier.get(&bare).await? else {
            continue;
        };
        let ours = |f: &Value| text(f, "/manager") == MANAGER && text(f, "/operation") == "Apply";
        if !list(&stands, "/metadata/managedFields").iter().any(ours) {
            continue;
        }
        match applier.would_be(&bare, MANAGER).await {
            Ok(left) if content(&left) == content(&stands) => applier.one(&bare, MANAGER).await?,
            Ok(_) => kept.push(name(&bare)),
            Err(trouble) => kept.push(format!("{} ({})", name(&bare), trouble.explained().why)),
        }
    }
    Ok(kept)
}

/// An object that says nothing but which one it is.
fn bare(version: &str, kind: &str, namespace: &str, name: &str) -> Value {
    let metadata = match namespace {
        "" => json!({"name": name}),
        _ => json!({"name": name, "namespace": namespace}),
    };
    json!({"apiVersion": version, "kind": kind, "metadata": metadata})
}

/// An object without what the API server and controllers write beside what was applied.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        for passing in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(passing);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            let passing = ["reconcile.fluxcd.io/", "deployment.kubernetes.io/"];
            annotations.retain(|key, _| !passing.iter().any(|p| key.starts_with(p)));
        }
        metadata.retain(|key, value| key != "annotations" || value.as_object().is_some_and(|a| !a.is_empty()));
    }
    object
}

fn name(object: &Value) -> String {
    let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
    match text(object, "/metadata/namespace") {
        "" => format!("{kind}/{name}"),
        namespace => format!("{kind}/{namespace}/{name}"),
    }
}

/// Has Flux apply every Kustomization once more, and compares all that it keeps before and after.
pub async fn prove(client: &Client, deadline: Deadline) -> Result<Alone, Trouble> {
    let applier = Applier::new(client, deadline);
    let before = inventory(client, &applier).await?;
    let asked = jiff::Timestamp::now().to_string();
    for layer in kustomizations(client)
        .await?
        .iter()
        .filter(|layer| !is_suspended(layer))
    {
        let id = (text(layer, "/metadata/namespace"), text(layer, "/metadata/name"));
        remind_layer(client, id, &asked).await?;
    }
    let what = "Flux to apply every layer once more";
    poll(what, deadline, LOOK_EVERY, || async {
        let layers = kustomizations(client).await?;
        let behind = layers.iter().filter(|layer| !is_done(layer, &asked));
        let behind: Vec<&str> = behind.map(|layer| text(layer, "/metadata/name")).collect();
        Ok(match behind.is_empty() {
            true => Look::Ready(()),
            false => Look::NotYet(format!("not yet: {}", behind.join(", "))),
        })
    })
    .await?;
    let after = inventory(client, &applier).await?;
    let changed = before
        .iter()
        .filter(|(id, content)| after.get(*id) != Some(content))
        .map(|(id, _)| id);
    let new = after.keys().filter(|id| !before.contains_key(*id));
    Ok(Alone {
        objects: after.len(),
        changed: changed.chain(new).cloned().collect(),
    })
}

fn is_suspended(layer: &Value) -> bool {
    layer.pointer("/spec/suspend") == Some(&Value::Bool(true))
}

/// Whether a layer has answered that reminder, and is ready.
fn is_done(layer: &Value, asked: &str) -> bool {
    let ready = |c: &Value| text(c, "/type") == "Ready" && text(c, "/status") == "True";
    let answered = text(layer, "/status/lastHandledReconcileAt") == asked;
    is_suspended(layer) || answered && list(layer, "/status/conditions").iter().any(ready)
}

/// Everything that Flux's Kustomizations keep, by name, as it stands.
async fn inventory(client: &Client, applier: &Applier) -> Result<BTreeMap<String, Value>, Trouble> {
    let mut wanted = Vec::new();
    for layer in kustomizations(client).await? {
        wanted.extend(list(&layer, "/status/inventory/entries").iter().filter_map(entry));
    }
    // A list of futures, not a mapped stream: the compiler can't see that the latter may be sent between threads.
    let work: Vec<_> = wanted.iter().map(|object| applier.get(object)).collect();
    let found: Vec<_> = stream::iter(work).buffered(AT_ONCE).collect().await;
    let mut all = BTreeMap::new();
    for (object, found) in wanted.iter().zip(found) {
        let stands = found?.map(|stands| content(&stands));
        all.insert(name(object), stands.unwrap_or_default());
    }
    Ok(all)
}

/// An entry of an inventory: `<namespace>_<name>_<group>_<kind>` (a colon in a name is written `__`), and the version.
fn entry(entry: &Value) -> Option<Value> {
    let (namespace, rest) = text(entry, "/id").split_once('_')?;
    let (rest, kind) = rest.rsplit_once('_')?;
    let (name, group) = rest.rsplit_once('_')?;
    let version = match (group, text(entry, "/v")) {
        ("", version) => version.to_owned(),
        (group, version) => format!("{group}/{version}"),
    };
    Some(bare(&version, kind, namespace, &name.replace("__", ":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_inventory_names_its_object() {
        let of = |id: &str, v: &str| name(&entry(&json!({"id": id, "v": v})).unwrap());
        assert_eq!(of("web_blog_apps_Deployment", "v1"), "Deployment/web/blog");
        let role = of("_system__node_rbac.authorization.k8s.io_ClusterRole", "v1");
        assert_eq!(role, "ClusterRole/system:node");
        let service = entry(&json!({"id": "web_blog__Service", "v": "v1"})).unwrap();
        assert_eq!(
            (text(&service, "/apiVersion"), name(&service).as_str()),
            ("v1", "Service/web/blog")
        );
    }

    #[test]
    fn what_controllers_write_is_no_difference_and_what_git_says_is() {
        let object = |replicas: u64, version: &str| {
            let annotations = json!({"reconcile.fluxcd.io/requestedAt": version});
            let metadata =
                json!({"name": "a", "resourceVersion": version, "generation": 1, "annotations": annotations});
            json!({"kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}, "status": {"x": version}})
        };
        assert_eq!(content(&object(1, "5")), content(&object(1, "6")));
        assert_ne!(content(&object(1, "5")), content(&object(0, "5")));
    }
}
