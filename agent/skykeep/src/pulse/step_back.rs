//! Stepping back for a newer castle: what writes the names' records, and the backup schedules, is stopped in a way that can be
//! taken back. What Flux keeps running is stopped together with its keeper, or Flux would start it again.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use skykeep_cluster::FIELD_MANAGER;
use skykeep_core::castle::{Workload, WorkloadKind};

/// Label of what writes DNS records of this castle's names.
pub(super) const WRITES_DNS: &str = "skykeep.dev/writes-dns";
/// Label of schedules that write backups.
pub(super) const BACKUP: &str = "skykeep.dev/backup";

const KINDS: [WorkloadKind; 3] = [
    WorkloadKind::Deployment,
    WorkloadKind::StatefulSet,
    WorkloadKind::CronJob,
];

fn kind_name(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "Deployment",
        WorkloadKind::StatefulSet => "StatefulSet",
        WorkloadKind::CronJob => "CronJob",
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    /// First: who would start it again.
    Suspend {
        kind: Keeper,
        namespace: String,
        name: String,
    },
    /// Then the thing itself. `replicas` are what it had.
    Stop { workload: Workload, replicas: i64 },
}

/// Who keeps a thing as Git says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Keeper {
    Kustomization,
    HelmRelease,
}

impl Keeper {
    fn group(self) -> &'static str {
        match self {
            Keeper::Kustomization => "kustomize.toolkit.fluxcd.io",
            Keeper::HelmRelease => "helm.toolkit.fluxcd.io",
        }
    }

    fn resource(self) -> ApiResource {
        let (version, kind, plural) = match self {
            Keeper::Kustomization => ("v1", "Kustomization", "kustomizations"),
            Keeper::HelmRelease => ("v2", "HelmRelease", "helmreleases"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(self.group(), version, kind), plural)
    }
}

/// A workload as it stands.
struct Stands {
    workload: Workload,
    object: Value,
}

impl Stands {
    fn label(&self, name: &str) -> Option<&str> {
        self.object.get("metadata")?.get("labels")?.get(name)?.as_str()
    }

    /// What has to happen; nothing when it stands still already.
    fn acts(&self, listed: &[Workload]) -> Vec<Act> {
        let labelled = |name| self.label(name).is_some_and(|value| value != "false");
        let schedule = self.workload.kind == WorkloadKind::CronJob;
        let wanted = labelled(WRITES_DNS) || (schedule && labelled(BACKUP)) || listed.contains(&self.workload);
        let spec = |field: &str| self.object.get("spec").and_then(|s| s.get(field));
        let replicas = spec("replicas").and_then(Value::as_i64).unwrap_or(1);
        let still = match schedule {
            true => spec("suspend") == Some(&Value::Bool(true)),
            false => replicas == 0,
        };
        if !wanted || still {
            return Vec::new();
        }
        let keeper = |kind: Keeper| {
            let label = |end: &str| self.label(&format!("{}/{end}", kind.group()));
            Some(Act::Suspend {
                kind,
                namespace: label("namespace")?.to_owned(),
                name: label("name")?.to_owned(),
            })
        };
        let keepers = [Keeper::Kustomization, Keeper::HelmRelease]
            .into_iter()
            .filter_map(keeper);
        let workload = self.workload.clone();
        keepers.chain([Act::Stop { workload, replicas }]).collect()
    }
}

/// Stops what has to stop. Gives what was done, a line each; nothing when all stands still already.
pub(super) async fn carry_out(client: &Client, listed: &[Workload], why: &str) -> Result<Vec<String>, kube::Error> {
    let mut acts = BTreeSet::new();
    for kind in KINDS {
        for stands in all(client, kind).await? {
            acts.extend(stands.acts(listed));
        }
    }
    let mut done = Vec::new();
    for act in acts {
        let line = one(client, &act).await?;
        // That it happened counts; that somebody is told is worth a try.
        if let Err(e) = tell(client, &act, &format!("{why}: {line}")).await {
            done.push(format!("no Event could be written: {e}"));
        }
        done.push(line);
    }
    Ok(done)
}

fn resource(kind: WorkloadKind) -> ApiResource {
    let (group, plural) = match kind {
        WorkloadKind::Deployment => ("apps", "deployments"),
        WorkloadKind::StatefulSet => ("apps", "statefulsets"),
        WorkloadKind::CronJob => ("batch", "cronjobs"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind_name(kind)), plural)
}

async fn all(client: &Client, kind: WorkloadKind) -> Result<Vec<Stands>, kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(kind));
    let found = api.list(&ListParams::default()).await?.items.into_iter();
    Ok(found
        .map(|object| Stands {
            workload: Workload {
                kind,
                namespace: object.metadata.namespace.clone().unwrap_or_default(),
                name: object.metadata.name.clone().unwrap_or_default(),
            },
            object: serde_json::to_value(&object).unwrap_or_default(),
        })
        .collect())
}

async fn one(client: &Client, act: &Act) -> Result<String, kube::Error> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    match act {
        Act::Suspend { kind, namespace, name } => {
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind.resource());
            let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
            match api.patch(name, &params, &suspend).await {
                Ok(_) => Ok(format!(
                    "{kind:?} {namespace}/{name} suspended (`flux resume` takes it back)"
                )),
                // Its label outlived it.
                Err(kube::Error::Api(e)) if e.code == 404 => Ok(format!("{kind:?} {namespace}/{name} is not there")),
                Err(e) => Err(e),
            }
        }
        Act::Stop { workload, replicas } => {
            let Workload { kind, namespace, name } = workload;
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource(*kind));
            if *kind == WorkloadKind::CronJob {
                let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
                api.patch(name, &params, &suspend).await?;
                return Ok(format!("CronJob {namespace}/{name} suspended"));
            }
            let scale = Patch::Merge(json!({"spec": {"replicas": 0}}));
            api.patch_scale(name, &params, &scale).await?;
            Ok(format!(
                "{} {namespace}/{name} scaled from {replicas} to 0",
                kind_name(*kind)
            ))
        }
    }
}

/// An Event at the thing itself, so that `kubectl describe` says why it stands still.
async fn tell(client: &Client, act: &Act, message: &str) -> Result<(), kube::Error> {
    let (api_version, kind, namespace, name) = match act {
        Act::Suspend { kind, namespace, name } => {
            let resource = kind.resource();
            (resource.api_version, format!("{kind:?}"), namespace, name)
        }
        Act::Stop { workload, .. } => {
            let resource = resource(workload.kind);
            (resource.api_version, resource.kind, &workload.namespace, &workload.name)
        }
    };
    let now = jiff::Timestamp::now().to_string();
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"generateName": "skykeep-pulse-", "namespace": namespace},
        "involvedObject": {"apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name},
        "type": "Warning", "reason": "SteppedBack", "message": message,
        "source": {"component": "skykeep-pulse"}, "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    });
    let event: Event = serde_json::from_value(event).map_err(kube::Error::SerdeError)?;
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    events.create(&PostParams::default(), &event).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(kind: WorkloadKind, name: &str, labels: Value, spec: Value) -> Stands {
        let workload = Workload {
            kind,
            namespace: "web".into(),
            name: name.into(),
        };
        let object = json!({"metadata": {"labels": labels}, "spec": spec});
        Stands { workload, object }
    }

    #[test]
    fn only_what_is_labelled_or_listed_stops_and_its_keepers_before_it() {
        use WorkloadKind::{CronJob, Deployment, StatefulSet};
        let flux = json!({WRITES_DNS: "true", "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
        let helm = json!({WRITES_DNS: "", "helm.toolkit.fluxcd.io/name": "external-dns", "helm.toolkit.fluxcd.io/namespace": "dns"});
        let listed = Workload {
            kind: StatefulSet,
            namespace: "web".into(),
            name: "listed".into(),
        };
        let all = [
            stands(Deployment, "ddns", flux, json!({"replicas": 2})),
            stands(Deployment, "external-dns", helm, json!({})),
            stands(
                Deployment,
                "stopped-already",
                json!({WRITES_DNS: "true"}),
                json!({"replicas": 0}),
            ),
            stands(
                Deployment,
                "says-no",
                json!({WRITES_DNS: "false"}),
                json!({"replicas": 1}),
            ),
            stands(
                Deployment,
                "backup-label-on-an-app",
                json!({BACKUP: "true"}),
                json!({"replicas": 1}),
            ),
            stands(Deployment, "blog", json!({}), json!({"replicas": 1})),
            stands(StatefulSet, "listed", json!({}), json!({"replicas": 1})),
            stands(CronJob, "nightly", json!({BACKUP: "true"}), json!({})),
            stands(
                CronJob,
                "suspended-already",
                json!({BACKUP: "true"}),
                json!({"suspend": true}),
            ),
            stands(CronJob, "reports", json!({}), json!({})),
        ];
        let acts: BTreeSet<Act> = all.iter().flat_map(|s| s.acts(std::slice::from_ref(&listed))).collect();
        let lines: Vec<String> = acts.iter().map(|act| format!("{act:?}")).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}

#[cfg(test)]
#[path = "step_back_tests.rs"]
mod real;
