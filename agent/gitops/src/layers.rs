//! How far the layers are: pure, from what the API lists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    injected::INJECTED,
    repository::{list, text},
};

/// A Kustomization or HelmRelease of Flux.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layer {
    /// `Kustomization`, `HelmRelease` or `GitRepository`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// How a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerState {
    /// Ready, at the wanted commit.
    Ready,
    /// Unready, and only because pods in it wait for a restore (or because it depends on such a layer).
    Held,
    /// Unready for another reason.
    Waiting {
        /// Flux's words.
        message: String,
        /// Whether it only needs to be reminded: all it depends on is ready, and it is not at work.
        forgotten: bool,
        /// Whether Flux has given it up for good until told to begin anew.
        stalled: bool,
    },
}

/// What is known at one moment.
pub(crate) struct View<'a> {
    /// GitRepositories, Kustomizations and HelmReleases.
    pub(crate) objects: &'a [Value],
    /// Namespaces with pods that have a scheduling gate.
    pub(crate) gated: &'a BTreeSet<String>,
    /// The pinned commit.
    pub(crate) commit: &'a str,
}

fn id(object: &Value) -> Layer {
    let part = |pointer| text(object, pointer).to_owned();
    Layer {
        kind: part("/kind"),
        namespace: part("/metadata/namespace"),
        name: part("/metadata/name"),
    }
}

struct Condition<'a> {
    status: bool,
    reason: &'a str,
    message: &'a str,
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let found = list(object, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == kind)?;
    Some(Condition {
        status: text(found, "/status") == "True",
        reason: text(found, "/reason"),
        message: text(found, "/message"),
    })
}

fn is_ready(object: &Value, commit: &str) -> bool {
    let number = |pointer| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let current = number("/status/observedGeneration") >= number("/metadata/generation");
    let from_git = text(object, "/spec/sourceRef/kind") == "GitRepository";
    let revision = text(object, "/status/lastAppliedRevision");
    // A Kustomization of the castle's repository must have applied the pinned commit, not an older one.
    let at_commit = match text(object, "/kind") {
        "Kustomization" if from_git => revision.ends_with(commit),
        _ => true,
    };
    current && at_commit && condition(object, "Ready").is_some_and(|c| c.status)
}

/// At work right now. `ProgressingWithRetry` is Flux's word for "failed, will look again later": that is not work.
fn is_busy(object: &Value) -> bool {
    condition(object, "Reconciling").is_some_and(|c| c.status && c.reason != "ProgressingWithRetry")
}

/// Namespaces that a layer puts objects into.
fn namespaces(object: &Value) -> BTreeSet<&str> {
    let mut all: BTreeSet<&str> = ["/spec/targetNamespace", "/status/history/0/namespace"]
        .iter()
        .map(|pointer| text(object, pointer))
        .filter(|n| !n.is_empty())
        .collect();
    // Inventory ids are `namespace_name_group_kind`.
    let inventory = list(object, "/status/inventory/entries")
        .iter()
        .filter_map(|e| text(e, "/id").split_once('_'));
    all.extend(inventory.map(|(namespace, _)| namespace).filter(|n| !n.is_empty()));
    if text(object, "/kind") == "HelmRelease" && text(object, "/spec/targetNamespace").is_empty() {
        all.insert(text(object, "/metadata/namespace"));
    }
    all
}

/// Judges every layer.
pub(crate) fn judge(view: &View<'_>) -> BTreeMap<Layer, LayerState> {
    let ready: BTreeSet<Layer> = view
        .objects
        .iter()
        .filter(|o| is_ready(o, view.commit))
        .map(id)
        .collect();
    let mut held: BTreeSet<Layer> = BTreeSet::new();
    // Once for those whose own pods are gated, then for whoever waits for them, and for those in turn.
    loop {
        let before = held.len();
        for object in view.objects {
            let layer = id(object);
            if ready.contains(&layer) || layer.kind == "GitRepository" {
                continue;
            }
            // Ours, until its owner lifts it.
            let marked = object.pointer("/metadata/annotations").and_then(|a| a.get(INJECTED));
            if marked.is_some() && object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
                held.insert(layer);
                continue;
            }
            let gated = namespaces(object).iter().any(|n| view.gated.contains(*n));
            if gated || dependencies(object).iter().any(|d| held.contains(d)) {
                held.insert(layer);
            }
        }
        if held.len() == before {
            break;
        }
    }
    let state = |object: &Value| {
        let layer = id(object);
        if ready.contains(&layer) {
            return LayerState::Ready;
        }
        if held.contains(&layer) {
            return LayerState::Held;
        }
        let stalled = condition(object, "Stalled").is_some_and(|c| c.status);
        LayerState::Waiting {
            message: message(object),
            forgotten: !is_busy(object) && dependencies(object).iter().all(|d| ready.contains(d)),
            stalled,
        }
    };
    view.objects.iter().map(|object| (id(object), state(object))).collect()
}

fn dependencies(object: &Value) -> Vec<Layer> {
    let own = text(object, "/metadata/namespace");
    let on = |d: &Value| Layer {
        kind: text(object, "/kind").to_owned(),
        namespace: Some(text(d, "/namespace"))
            .filter(|n| !n.is_empty())
            .unwrap_or(own)
            .to_owned(),
        name: text(d, "/name").to_owned(),
    };
    list(object, "/spec/dependsOn").iter().map(on).collect()
}

fn message(object: &Value) -> String {
    if object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return "it is suspended".into();
    }
    match condition(object, "Ready") {
        Some(c) if !c.status => format!("{}: {}", c.reason, c.message),
        Some(c) => format!("ready, but not at the pinned commit or its latest form ({})", c.message),
        None => "Flux has not looked at it yet".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    fn layer(name: &str, depends_on: &[&str], conditions: &[(&str, &str, &str)], revision: &str) -> Value {
        let on: Vec<Value> = depends_on.iter().map(|n| json!({"name": n})).collect();
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(kind, status, reason)| json!({"type": kind, "status": status, "reason": reason, "message": "words"}))
            .collect();
        json!({"kind": "Kustomization", "metadata": {"namespace": "flux-system", "name": name, "generation": 1},
            "spec": {"sourceRef": {"kind": "GitRepository"}, "dependsOn": on},
            "status": {"observedGeneration": 1, "conditions": conditions, "lastAppliedRevision": revision,
                "inventory": {"entries": [{"id": format!("{name}-ns_x_apps_Deployment", ), "v": "v1"}]}}})
    }

    fn judged(objects: &[Value], gated: &[&str]) -> BTreeMap<String, LayerState> {
        let gated = gated.iter().map(|g| (*g).to_owned()).collect();
        let view = View {
            objects,
            gated: &gated,
            commit: COMMIT,
        };
        judge(&view).into_iter().map(|(l, s)| (l.name, s)).collect()
    }

    fn at_commit() -> String {
        format!("main@sha1:{COMMIT}")
    }

    const READY: (&str, &str, &str) = ("Ready", "True", "ReconciliationSucceeded");

    #[test]
    fn a_layer_whose_dependencies_are_ready_but_that_sleeps_is_forgotten() {
        let objects = [
            layer("core", &[], &[READY], &at_commit()),
            layer(
                "apps",
                &["core"],
                &[
                    ("Ready", "False", "DependencyNotReady"),
                    ("Reconciling", "True", "ProgressingWithRetry"),
                ],
                "",
            ),
            layer(
                "busy",
                &["core"],
                &[
                    ("Ready", "Unknown", "Progressing"),
                    ("Reconciling", "True", "Progressing"),
                ],
                "",
            ),
            layer("later", &["apps"], &[("Ready", "False", "DependencyNotReady")], ""),
        ];
        let states = judged(&objects, &[]);
        assert_eq!(states["core"], LayerState::Ready);
        assert!(matches!(states["apps"], LayerState::Waiting { forgotten: true, .. }));
        assert!(matches!(states["busy"], LayerState::Waiting { forgotten: false, .. }));
        assert!(matches!(states["later"], LayerState::Waiting { forgotten: false, .. }));
    }

    #[test]
    fn ready_at_another_commit_or_an_older_generation_is_not_ready() {
        let mut old = layer("old", &[], &[READY], &at_commit());
        old["metadata"]["generation"] = json!(2);
        let states = judged(&[layer("other", &[], &[READY], "main@sha1:ffff"), old], &[]);
        assert!(
            states.values().all(|s| matches!(s, LayerState::Waiting { .. })),
            "{states:?}"
        );
    }

    #[test]
    fn a_layer_held_by_a_gate_and_those_behind_it_do_not_count_as_waiting() {
        let unready = ("Ready", "False", "HealthCheckFailed");
        let objects = [
            layer("data", &[], &[unready], ""),
            layer("apps", &["data"], &[unready], ""),
            layer("other", &[], &[unready], ""),
        ];
        let states = judged(&objects, &["data-ns"]);
        assert_eq!(
            (&states["data"], &states["apps"]),
            (&LayerState::Held, &LayerState::Held)
        );
        assert!(matches!(states["other"], LayerState::Waiting { .. }));
    }

    #[test]
    fn flux_says_in_its_own_words_why_a_layer_waits() {
        let states = judged(
            &[layer(
                "a",
                &[],
                &[("Ready", "False", "BuildFailed"), ("Stalled", "True", "x")],
                "",
            )],
            &[],
        );
        let LayerState::Waiting { message, stalled, .. } = &states["a"] else {
            panic!("{states:?}")
        };
        assert_eq!((message.as_str(), *stalled), ("BuildFailed: words", true));
    }
}
