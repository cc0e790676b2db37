//! The restore gate: an admission policy in the cluster that holds every new pod which mounts a claim whose treasure is
//! not back yet, and stays when the laptop has gone. The ledger is its parameter; without the ledger no pod is admitted.

use std::collections::BTreeMap;

use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Trouble, castle::WAITS_FOR, deadline::Look, poll};

use crate::{RestoreError, ledger, policy};

/// The gate's name on a pod, and the label that exempts our own restore pods.
pub const GATE: &str = "skykeep.dev/restore";
/// The label of a pod that makes backups: it waits until every treasure is back.
pub const BACKUP: &str = "skykeep.dev/backup";
pub(crate) const MANAGER: &str = "skykeep";

/// Puts the ledger and the policy in place and waits until the API servers obey it. Claims already in the ledger keep
/// what it says of them; the others become pending.
pub async fn close(client: &Client, claims: &[(String, String)], deadline: Deadline) -> Result<(), Trouble> {
    let mut all = claims.to_vec();
    let (namespace, probe) = ledger::PROBE;
    all.push((namespace.to_owned(), probe.to_owned()));
    ledger::open(client, &all).await?;
    for object in policy::all() {
        apply(client, &object).await?;
    }
    poll(
        "the restore gate to be in force",
        deadline,
        std::time::Duration::from_millis(300),
        || async {
            Ok(if !is_gated(client, namespace, probe).await? {
                Look::NotYet("a pod that mounts a pending claim would still be scheduled".into())
            } else if !is_refused(client, ledger::PROBE_BACK).await? {
                Look::NotYet("a claim that has its treasure back could still be made anew".into())
            } else {
                Look::Ready(())
            })
        },
    )
    .await
}

/// Lifts the gate of every pod that mounts this claim, waits for it, or makes backups, and waits for nothing any more: of a pod with
/// several treasures the last one lifts it. To be called when the ledger says that the claim is restored.
/// Returns how many were lifted.
pub async fn lift(client: &Client, namespace: &str, claim: &str) -> Result<usize, RestoreError> {
    let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), &core("Pod", "pods"));
    let pending = ListParams::default().fields("status.phase=Pending");
    let pods = everywhere.list(&pending).await;
    let pods = pods.map_err(|e| RestoreError::kube("list pods", &e))?;
    // After the list: a pod that came later is the policy's business, which reads the same ledger.
    let ledger = ledger::read(client).await?.unwrap_or_default();
    let mut lifted = 0;
    for pod in pods {
        let here = pod.metadata.namespace.clone().unwrap_or_default();
        let concerned = here == namespace && mounted(&pod.data).any(|c| c == claim)
            || named(&pod).any(|key| key == ledger::key(namespace, claim))
            || is_backup(&pod);
        let Some(index) = gate_of(&pod.data).filter(|_| concerned && !waits(&pod, &here, &ledger)) else {
            continue;
        };
        let name = pod.metadata.name.unwrap_or_default();
        let path = format!("/spec/schedulingGates/{index}");
        let patch = json!([
            {"op": "test", "path": format!("{path}/name"), "value": GATE},
            {"op": "remove", "path": path},
        ]);
        let patch: json_patch::Patch =
            serde_json::from_value(patch).map_err(|e| RestoreError::Internal(e.to_string()))?;
        let pods: Api<DynamicObject> = Api::namespaced_with(client.clone(), &here, &core("Pod", "pods"));
        match pods
            .patch(&name, &PatchParams::default(), &Patch::Json::<()>(patch))
            .await
        {
            Ok(_) => lifted += 1,
            // Deleted or lifted meanwhile.
            Err(kube::Error::Api(e)) if matches!(e.code, 404 | 422) => {}
            Err(e) => return Err(RestoreError::kube("lift the gate of a pod", &e)),
        }
    }
    Ok(lifted)
}

/// Waits until every API server asked admits new pods of this claim without a gate, lifting those that still got one.
pub async fn lift_for_good(
    client: &Client,
    namespace: &str,
    claim: &str,
    deadline: Deadline,
) -> Result<usize, Trouble> {
    let mut lifted = lift(client, namespace, claim).await?;
    let mut clear = 0;
    // Several answers in a row, because each API server has its own view of the ledger.
    while clear < 6 {
        if deadline.passed() {
            return Err(RestoreError::GateStays {
                claim: format!("{namespace}/{claim}"),
            }
            .into());
        }
        clear = if is_gated(client, namespace, claim).await? {
            0
        } else {
            clear + 1
        };
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        lifted += lift(client, namespace, claim).await?;
    }
    Ok(lifted)
}

/// Waits until the API servers hold new pods of this claim. Several answers in a row, because each has its own view.
pub async fn wait_closed(client: &Client, namespace: &str, claim: &str, deadline: Deadline) -> Result<(), Trouble> {
    let mut held = 0;
    while held < 6 {
        if deadline.passed() {
            return Err(RestoreError::GateStays {
                claim: format!("{namespace}/{claim}"),
            }
            .into());
        }
        held = if is_gated(client, namespace, claim).await? {
            held + 1
        } else {
            0
        };
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
    Ok(())
}

/// Asks the API server, by a dry run, whether a pod that mounts this claim would be held.
async fn is_gated(client: &Client, namespace: &str, claim: &str) -> Result<bool, RestoreError> {
    let pods: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &core("Pod", "pods"));
    let pod: DynamicObject = object(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "skykeep-probe-", "namespace": namespace},
        "spec": {
            "containers": [{"name": "probe", "image": "registry.k8s.io/pause"}],
            "automountServiceAccountToken": false,
            "volumes": [{"name": "treasure", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }))?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let answer = pods.create(&dry, &pod).await.map_err(|e| match &e {
        // A namespace that is seconds old has no service account yet.
        kube::Error::Api(s) if s.code == 403 && s.message.contains("service account") => RestoreError::Kube {
            doing: "probe the restore gate".into(),
            why: s.message.clone(),
            transient: true,
        },
        _ => RestoreError::kube("probe the restore gate", &e),
    })?;
    Ok(gate_of(&answer.data).is_some())
}

/// Asks the API server, by a dry run, whether making this claim would be refused. The policy that does it was applied last:
/// when it is in force, those before it are.
async fn is_refused(client: &Client, (namespace, claim): (&str, &str)) -> Result<bool, RestoreError> {
    let claims = core("PersistentVolumeClaim", "persistentvolumeclaims");
    let claims: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &claims);
    let anew: DynamicObject = object(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }))?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match claims.create(&dry, &anew).await {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(e)) if e.message.contains(policy::CLAIM_POLICY) => Ok(true),
        Err(e) => Err(RestoreError::kube("probe the claims' gate", &e)),
    }
}

/// Where our gate stands in a pod.
fn gate_of(pod: &Value) -> Option<usize> {
    let gates = pod.pointer("/spec/schedulingGates")?.as_array()?;
    gates
        .iter()
        .position(|g| g.get("name").and_then(Value::as_str) == Some(GATE))
}

/// The claims that a pod mounts.
pub(crate) fn mounted(pod: &Value) -> impl Iterator<Item = &str> {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let volumes = volumes.into_iter().flatten();
    volumes.filter_map(|v| v.pointer("/persistentVolumeClaim/claimName")?.as_str())
}

/// What a pod says that it waits for without mounting it.
fn named(pod: &DynamicObject) -> impl Iterator<Item = &str> {
    let said = pod.metadata.annotations.as_ref().and_then(|a| a.get(WAITS_FOR));
    said.map(String::as_str).unwrap_or_default().split_whitespace()
}

fn is_backup(pod: &DynamicObject) -> bool {
    pod.metadata.labels.as_ref().is_some_and(|l| l.contains_key(BACKUP))
}

/// Whether a pod still waits for a treasure: one that it mounts or names or, when it makes backups, any. The same words as the policy's.
fn waits(pod: &DynamicObject, namespace: &str, ledger: &BTreeMap<String, String>) -> bool {
    let pending = |key: &str| ledger.get(key).is_some_and(|v| v == ledger::PENDING);
    mounted(&pod.data).any(|claim| pending(&ledger::key(namespace, claim)))
        || named(pod).any(|key| ledger.get(key).is_none_or(|v| v != ledger::DONE))
        || is_backup(pod) && ledger::unfinished(ledger).next().is_some()
}

/// Applies one object, server side, as the field manager `skykeep`.
pub(crate) async fn apply(client: &Client, value: &Value) -> Result<(), RestoreError> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", "v1"));
    let kind = text("/kind");
    let plural = match kind {
        "MutatingAdmissionPolicy" => "mutatingadmissionpolicies".to_owned(),
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural);
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    api.patch(
        text("/metadata/name"),
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(value),
    )
    .await
    .map(|_| ())
    .map_err(|e| RestoreError::kube(&format!("apply {kind} {}", text("/metadata/name")), &e))
}

pub(crate) fn core(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), plural)
}

fn object(value: Value) -> Result<DynamicObject, RestoreError> {
    serde_json::from_value(value).map_err(|e| RestoreError::Internal(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(claims: &[&str], labels: Value) -> DynamicObject {
        let volumes: Vec<Value> = claims
            .iter()
            .map(|c| json!({"persistentVolumeClaim": {"claimName": c}}))
            .chain([json!({"emptyDir": {}})])
            .collect();
        object(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "x", "namespace": "web", "labels": labels},
            "spec": {"schedulingGates": [{"name": "other"}, {"name": GATE}], "volumes": volumes},
        }))
        .unwrap()
    }

    fn ledger(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let probe = (ledger::NAMESPACE, ledger::PROBE.1);
        let entries = entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        entries
            .chain([(ledger::key(probe.0, probe.1), "pending".to_owned())])
            .collect()
    }

    #[test]
    fn our_gate_is_found_among_others() {
        assert_eq!(gate_of(&pod(&["site"], json!({})).data), Some(1));
        assert_eq!(
            gate_of(&json!({"spec": {"schedulingGates": [{"name": "other"}]}})),
            None
        );
    }

    #[test]
    fn a_pod_with_two_treasures_waits_for_both() {
        let pod = pod(&["a", "b"], json!({}));
        let after = |a: &str, b: &str| waits(&pod, "web", &ledger(&[("web.a", a), ("web.b", b)]));
        assert!(after("pending", "pending") && after("done", "pending") && after("pending", "done"));
        assert!(!after("done", "done"));
    }

    #[test]
    fn a_pod_does_not_wait_for_claims_that_are_no_treasure_or_of_another_namespace() {
        let pod = pod(&["a", "cache"], json!({}));
        assert!(!waits(
            &pod,
            "web",
            &ledger(&[("web.a", "done"), ("db.cache", "pending")])
        ));
        assert!(waits(&pod, "web", &ledger(&[("web.cache", "pending")])));
    }

    #[test]
    fn a_pod_waits_for_what_it_names_also_when_nobody_knows_it() {
        let mut pod = pod(&["a"], json!({}));
        let said = BTreeMap::from([(WAITS_FOR.to_owned(), "db.home db.shop".to_owned())]);
        pod.metadata.annotations = Some(said);
        let after = |home: &str, shop: &str| {
            waits(
                &pod,
                "web",
                &ledger(&[("web.a", "done"), ("db.home", home), ("db.shop", shop)]),
            )
        };
        assert!(after("pending", "done") && after("done", "pending") && !after("done", "done"));
        assert!(waits(&pod, "web", &ledger(&[("db.home", "done")])));
    }

    #[test]
    fn what_makes_backups_waits_until_everything_is_back() {
        let pod = pod(&[], json!({BACKUP: "nightly"}));
        assert!(waits(
            &pod,
            "web",
            &ledger(&[("db.data", "pending"), ("web.a", "done")])
        ));
        assert!(!waits(&pod, "web", &ledger(&[("db.data", "done")])));
    }
}
