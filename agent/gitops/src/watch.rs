//! Follows the layers until they are ready, and reminds Flux of those it forgets.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Progress, Trouble};
use tokio::time::Instant;

use crate::{
    error::GitopsError,
    layers::{Layer, LayerState, View, judge},
    repository::FluxRoot,
};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Flux needs a moment to react; reminding it more often only makes work.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// How the layers ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Layers that are ready.
    pub ready: Vec<Layer>,
    /// Layers that wait only for a restore.
    pub held: Vec<Layer>,
    /// How often Flux had to be reminded.
    pub reminders: usize,
}

const KUSTOMIZATION: &str = "Kustomization";

/// The kinds that are followed. Kustomizations before HelmReleases: whatever a ready Kustomization made is then in the later list.
const KINDS: [(&str, &str, &str, &str); 3] = [
    ("source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories"),
    ("kustomize.toolkit.fluxcd.io", "v1", KUSTOMIZATION, "kustomizations"),
    ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
];

fn resource(kind: &str) -> Option<ApiResource> {
    let (group, version, kind, plural) = KINDS.into_iter().find(|k| k.2 == kind)?;
    Some(ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, version, kind),
        plural,
    ))
}

/// Waits until every Kustomization and HelmRelease is ready at `commit`, or held only by a pod's scheduling gate.
///
/// Failures are told as they come; the wait goes on until `deadline`, because most of them mend themselves (an image
/// that comes late, a webhook that is not up yet). Call it again when the gates are lifted, to wait for the rest.
/// `restoring` are namespaces in which an operator restores: no pod there has a gate, and layers wait all the same.
pub async fn watch_layers(
    client: &Client,
    commit: &str,
    restoring: &BTreeSet<String>,
    deadline: Deadline,
    progress: &Progress,
) -> Result<Outcome, Trouble> {
    let mut told: BTreeMap<Layer, LayerState> = BTreeMap::new();
    let mut reminded: BTreeMap<Layer, Instant> = BTreeMap::new();
    let mut reminders = 0;
    loop {
        let last_trouble = match look(client, commit, restoring).await {
            Ok(states) => {
                tell(&mut told, &states, progress);
                if let Some(outcome) = done(&states, reminders) {
                    return Ok(outcome);
                }
                for (layer, state) in &states {
                    let LayerState::Waiting {
                        forgotten: true,
                        stalled,
                        ..
                    } = state
                    else {
                        continue;
                    };
                    let due = reminded.get(layer).is_none_or(|last| last.elapsed() >= REMIND_EVERY);
                    let now = jiff::Timestamp::now().to_string();
                    if due && remind(client, layer, *stalled, &now).await.is_ok() {
                        reminded.insert(layer.clone(), Instant::now());
                        reminders += 1;
                    }
                }
                None
            }
            Err(error) if skykeep_core::Explain::is_transient(&error) => Some(error),
            Err(error) => return Err(error.into()),
        };
        if deadline.remaining() <= LOOK_EVERY {
            let mut waiting: Vec<String> = told
                .iter()
                .filter_map(|(layer, state)| match state {
                    LayerState::Waiting { message, .. } => Some(format!("{layer}: {message}")),
                    _ => None,
                })
                .collect();
            waiting.sort();
            waiting.extend(last_trouble.map(|e| e.to_string()));
            return Err(GitopsError::Layers {
                waiting,
                after: deadline.limit().as_secs(),
            }
            .into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Finished when nothing waits; an empty list, or one without any Kustomization, is a beginning and not an end.
fn done(states: &BTreeMap<Layer, LayerState>, reminders: usize) -> Option<Outcome> {
    let of = |wanted: &LayerState| {
        states
            .iter()
            .filter(|(_, s)| *s == wanted)
            .map(|(l, _)| l.clone())
            .collect::<Vec<_>>()
    };
    let outcome = Outcome {
        ready: of(&LayerState::Ready),
        held: of(&LayerState::Held),
        reminders,
    };
    let complete = outcome.ready.len() + outcome.held.len() == states.len();
    (complete && outcome.ready.iter().any(|l| l.kind == "Kustomization")).then_some(outcome)
}

fn tell(told: &mut BTreeMap<Layer, LayerState>, states: &BTreeMap<Layer, LayerState>, progress: &Progress) {
    for (layer, state) in states {
        if told.get(layer) == Some(state) {
            continue;
        }
        match state {
            LayerState::Ready => progress.note(format!("{layer}: ready")),
            LayerState::Held => progress.note(format!("{layer}: waits for a restore")),
            LayerState::Waiting { message, .. } => progress.note(format!("{layer}: {message}")),
        }
    }
    *told = states.iter().map(|(l, s)| (l.clone(), s.clone())).collect();
}

async fn look(
    client: &Client,
    commit: &str,
    restoring: &BTreeSet<String>,
) -> Result<BTreeMap<Layer, LayerState>, GitopsError> {
    let mut objects = Vec::new();
    for (_, _, kind, _) in KINDS {
        for item in list_kind(client, kind).await? {
            let mut value = serde_json::to_value(&item).map_err(|e| GitopsError::Api {
                doing: format!("list {kind}s"),
                why: e.to_string(),
                passing: false,
            })?;
            // Items of a list may come without their kind.
            if let Some(fields) = value.as_object_mut() {
                fields.insert("kind".into(), kind.into());
            }
            objects.push(value);
        }
    }
    let mut gated = gated_namespaces(client).await?;
    gated.extend(restoring.iter().cloned());
    Ok(judge(&View {
        objects: &objects,
        gated: &gated,
        commit,
    }))
}

/// Namespaces in which a pod waits behind a scheduling gate.
async fn gated_namespaces(client: &Client) -> Result<BTreeSet<String>, GitopsError> {
    let pods: Api<Pod> = Api::all(client.clone());
    let pending = ListParams::default().fields("status.phase=Pending");
    let listed = pods
        .list(&pending)
        .await
        .map_err(|e| GitopsError::api("list pods", &e))?;
    let gated = listed.items.into_iter().filter(|pod| {
        pod.spec
            .as_ref()
            .and_then(|s| s.scheduling_gates.as_ref())
            .is_some_and(|gates| !gates.is_empty())
    });
    Ok(gated.filter_map(|pod| pod.metadata.namespace).collect())
}

/// Every object of a kind that is followed.
async fn list_kind(client: &Client, kind: &str) -> Result<Vec<DynamicObject>, GitopsError> {
    let Some(resource) = resource(kind) else {
        return Ok(Vec::new());
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let listed = api.list(&ListParams::default()).await;
    let listed = listed.map_err(|e| GitopsError::api(format!("list {kind}s"), &e))?;
    Ok(listed.items)
}

/// Every Kustomization as it stands.
pub(crate) async fn kustomizations(client: &Client) -> Result<Vec<Value>, GitopsError> {
    let listed = list_kind(client, KUSTOMIZATION).await?;
    Ok(listed
        .into_iter()
        .filter_map(|one| serde_json::to_value(one).ok())
        .collect())
}

/// Has Flux apply the repository now, instead of at the next interval. Returns how many layers were told.
pub async fn remind_layers(client: &Client) -> Result<usize, GitopsError> {
    let all = list_kind(client, KUSTOMIZATION).await?;
    let now = jiff::Timestamp::now().to_string();
    for one in &all {
        let metadata = &one.metadata;
        let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
        remind_layer(client, (namespace.unwrap_or_default(), name.unwrap_or_default()), &now).await?;
    }
    Ok(all.len())
}

/// Has Flux apply one Kustomization now; `now` comes back in its `lastHandledReconcileAt`.
pub(crate) async fn remind_layer(
    client: &Client,
    (namespace, name): (&str, &str),
    now: &str,
) -> Result<(), GitopsError> {
    let layer = Layer {
        kind: KUSTOMIZATION.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    remind(client, &layer, false, now).await
}

/// Has Flux look at the castle's Git server now.
pub async fn remind_source(client: &Client, root: &FluxRoot) -> Result<(), GitopsError> {
    let layer = Layer {
        kind: "GitRepository".to_owned(),
        namespace: root.source.namespace().to_owned(),
        name: root.source.name().to_owned(),
    };
    remind(client, &layer, false, &jiff::Timestamp::now().to_string()).await
}

/// What `flux reconcile` does; a stalled release is also told to begin counting its failures anew.
async fn remind(client: &Client, layer: &Layer, stalled: bool, now: &str) -> Result<(), GitopsError> {
    let Some(resource) = resource(&layer.kind) else {
        return Ok(());
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &layer.namespace, &resource);
    let mut annotations = json!({"reconcile.fluxcd.io/requestedAt": now});
    if stalled && layer.kind == "HelmRelease" {
        annotations = json!({"reconcile.fluxcd.io/requestedAt": now, "reconcile.fluxcd.io/resetAt": now});
    }
    let patch = json!({"metadata": {"annotations": annotations}});
    api.patch(&layer.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|e| GitopsError::api(format!("remind Flux of {layer}"), &e))?;
    Ok(())
}
