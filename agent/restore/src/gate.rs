//! The restore gate: an admission policy in the cluster that holds every new pod which mounts a claim whose treasure is
//! not back yet, and stays when the laptop has gone. The ledger is its parameter; without the ledger no pod is admitted.

use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Trouble, deadline::Look, poll};

use crate::{RestoreError, ledger};

/// The gate's name on a pod, and the label that exempts our own restore pods.
pub const GATE: &str = "skykeep.dev/restore";
const POLICY: &str = "skykeep-restore-gate";
const CLAIM_POLICY: &str = "skykeep-claim-gate";
const MANAGER: &str = "skykeep";
/// A claim that never exists: asking about it (dry run) shows whether the policy is in force.
const PROBE: (&str, &str) = (ledger::NAMESPACE, "skykeep-probe");

/// Puts the ledger and the policy in place and waits until the API servers obey it. Claims already in the ledger keep
/// what it says of them; the others become pending.
pub async fn close(client: &Client, claims: &[(String, String)], deadline: Deadline) -> Result<(), Trouble> {
    let mut all = claims.to_vec();
    all.push((PROBE.0.to_owned(), PROBE.1.to_owned()));
    ledger::open(client, &all).await?;
    for object in [policy(), binding(), claim_policy(), claim_binding()] {
        apply(client, &object).await?;
    }
    poll(
        "the restore gate to be in force",
        deadline,
        std::time::Duration::from_millis(300),
        || async {
            if is_gated(client, PROBE.0, PROBE.1).await? {
                Ok(Look::Ready(()))
            } else {
                Ok(Look::NotYet(
                    "a pod that mounts a pending claim would still be scheduled".into(),
                ))
            }
        },
    )
    .await
}

/// Lifts the gate of every pod that mounts this claim. To be called when the ledger says that the claim is restored.
/// Returns how many were lifted.
pub async fn lift(client: &Client, namespace: &str, claim: &str) -> Result<usize, RestoreError> {
    let pods: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &core("Pod", "pods"));
    let mut lifted = 0;
    for pod in pods
        .list(&ListParams::default())
        .await
        .map_err(|e| RestoreError::kube("list pods", &e))?
    {
        let Some(index) = gate_of(&pod.data, claim) else {
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
    Ok(gate_of(&answer.data, claim).is_some())
}

/// Where our gate stands in a pod that mounts the claim.
fn gate_of(pod: &Value, claim: &str) -> Option<usize> {
    let volumes = pod.pointer("/spec/volumes")?.as_array()?;
    let mounts = |v: &Value| v.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str) == Some(claim);
    if !volumes.iter().any(mounts) {
        return None;
    }
    let gates = pod.pointer("/spec/schedulingGates")?.as_array()?;
    gates
        .iter()
        .position(|g| g.get("name").and_then(Value::as_str) == Some(GATE))
}

fn policy() -> Value {
    let pending = "object.spec.?volumes.orValue([]).exists(v, has(v.persistentVolumeClaim) && \
        params.data[?(object.metadata.namespace + '.' + v.persistentVolumeClaim.claimName)].orValue('done') == 'pending')";
    let gate =
        format!("Object{{spec: Object.spec{{schedulingGates: [Object.spec.schedulingGates{{name: '{GATE}'}}]}}}}");
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
            ]},
            "matchConditions": [
                {"name": "not-a-restore", "expression": format!("!('{GATE}' in object.metadata.?labels.orValue({{}}))")},
                {"name": "mounts-a-pending-treasure", "expression": pending},
            ],
            // Never JSONPatch here: kube-apiserver 1.36.3 panics on it (shared/facts/lab.md, section 6).
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": gate}}],
        },
    })
}

fn binding() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": POLICY},
        "spec": {
            "policyName": POLICY,
            "paramRef": {"name": ledger::NAME, "namespace": ledger::NAMESPACE, "parameterNotFoundAction": "Deny"},
        },
    })
}

/// Keeps a claim that has its treasure back from being made anew: a re-created namespace or a deleted claim would give its
/// application an empty volume, and nobody would notice. It stays closed until the treasure is restored again on purpose.
fn claim_policy() -> Value {
    let known = "params.data[?(object.metadata.namespace + '.' + object.metadata.name)].orValue('') == 'done'";
    let message = "'the treasure of ' + object.metadata.namespace + '/' + object.metadata.name + ' was restored before and its \
        claim is gone: an empty one is not made in its place. Restore it again with: skykeep restore NAME --again NAME'";
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": CLAIM_POLICY},
        "spec": {
            "failurePolicy": "Fail",
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["persistentvolumeclaims"]},
            ]},
            "validations": [{"expression": format!("!({known})"), "messageExpression": message}],
        },
    })
}

fn claim_binding() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": CLAIM_POLICY},
        "spec": {
            "policyName": CLAIM_POLICY,
            "validationActions": ["Deny"],
            "paramRef": {"name": ledger::NAME, "namespace": ledger::NAMESPACE, "parameterNotFoundAction": "Deny"},
        },
    })
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

    #[test]
    fn a_gate_is_found_only_on_pods_that_mount_the_claim() {
        let pod = json!({"spec": {
            "schedulingGates": [{"name": "other"}, {"name": GATE}],
            "volumes": [{"persistentVolumeClaim": {"claimName": "site"}}, {"emptyDir": {}}],
        }});
        assert_eq!(gate_of(&pod, "site"), Some(1));
        assert_eq!(gate_of(&pod, "mail"), None);
    }

    #[test]
    fn without_the_ledger_nothing_is_admitted() {
        assert_eq!(
            binding().pointer("/spec/paramRef/parameterNotFoundAction").unwrap(),
            "Deny"
        );
        assert_eq!(policy().pointer("/spec/failurePolicy").unwrap(), "Fail");
    }

    #[test]
    fn the_mutation_is_never_a_json_patch() {
        assert_eq!(
            policy().pointer("/spec/mutations/0/patchType").unwrap(),
            "ApplyConfiguration"
        );
    }
}
