//! The policies of the gate, as the cluster keeps them. They stay when the laptop has gone.

use serde_json::{Value, json};
use skykeep_core::castle::WAITS_FOR;

use crate::{
    gate::{BACKUP, GATE},
    ledger,
};

const POLICY: &str = "skykeep-restore-gate";
pub(crate) const CLAIM_POLICY: &str = "skykeep-claim-gate";
const RECORD_PODS: &str = "skykeep-record-pods";
const RECORD_LEDGER: &str = "skykeep-record-ledger";

/// Every policy and what binds it to the ledger. The claims' gate comes last: see [`crate::gate`], which probes it.
pub(crate) fn all() -> Vec<Value> {
    vec![
        record_of_pods(),
        record_binding(RECORD_PODS, Some(ledger("Allow"))),
        record_of_ledger(),
        record_binding(RECORD_LEDGER, None),
        policy(),
        binding(),
        claim_policy(),
        claim_binding(),
    ]
}

fn policy() -> Value {
    let pending = "object.spec.?volumes.orValue([]).exists(v, has(v.persistentVolumeClaim) && \
        params.data[?(object.metadata.namespace + '.' + v.persistentVolumeClaim.claimName)].orValue('done') == 'pending')";
    let probe = ledger::key(ledger::PROBE.0, ledger::PROBE.1);
    let backup = format!(
        "'{BACKUP}' in object.metadata.?labels.orValue({{}}) && params.data.exists(k, k != '{probe}' && params.data[k] == 'pending')"
    );
    // A name that nobody knows is waited for: a mistake must be seen.
    let named = format!(
        "object.metadata.?annotations[?'{WAITS_FOR}'].orValue('').split(' ').exists(k, k != '' && params.data[?k].orValue('pending') != 'done')"
    );
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
                {"name": "waits-for-a-treasure", "expression": format!("({pending}) || ({named}) || ({backup})")},
            ],
            // Never JSONPatch here: kube-apiserver 1.36.3 panics on it.
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
            "paramRef": ledger("Deny"),
        },
    })
}

/// Keeps a claim that has its treasure back from being made anew: a re-created namespace or a deleted claim would give its
/// application an empty volume, and nobody would notice. It stays closed until the treasure is restored again on purpose.
fn claim_policy() -> Value {
    let known = "params.data[?(object.metadata.namespace + '.' + object.metadata.name)].orValue('') == 'done'";
    let message = "'the treasure of ' + object.metadata.namespace + '/' + object.metadata.name + ' was restored before and its \
        claim is gone: an empty one is not made in its place. If its volume can not be had back, restore the backup once more: skykeep restore NAME --again NAME \
        (NAME is that of the treasure in castle.yaml)'";
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
            "paramRef": ledger("Deny"),
        },
    })
}

/// Refuses nothing; writes into the API server's audit log which treasures each new pod mounts: `<namespace>/<name> <node>
/// <restore|app> <claim>...` (a pod is hardly ever born with a node). Audit of metadata holds no volumes, and audit of
/// whole pods would hold what people put into their environment.
fn record_of_pods() -> Value {
    let claims = "object.spec.?volumes.orValue([]).filter(v, has(v.persistentVolumeClaim) && \
        (object.metadata.namespace + '.' + v.persistentVolumeClaim.claimName) in params.data)\
        .map(v, string(v.persistentVolumeClaim.claimName))";
    let kind = format!("('{GATE}' in object.metadata.?labels.orValue({{}}) ? 'restore' : 'app')");
    let value = format!(
        "variables.claims.size() == 0 ? '' : object.metadata.namespace + '/' + object.metadata.name + ' ' + \
         string(object.spec.?nodeName.orValue('-')) + ' ' + {kind} + ' ' + variables.claims.join(' ')"
    );
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
        ]},
        "variables": [{"name": "claims", "expression": claims}],
        "auditAnnotations": [{"key": "mounts", "valueExpression": value}],
    });
    record(RECORD_PODS, spec)
}

/// The same for the ledger: every state that it ever had, `<namespace>.<claim>=<pending|done> ...`.
fn record_of_ledger() -> Value {
    let value = "object == null || !has(object.data) ? 'gone' : object.data.map(k, k + '=' + object.data[k]).join(' ')";
    let rule = json!({
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["configmaps"], "resourceNames": [ledger::NAME],
    });
    let spec = json!({
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ledger::NAMESPACE}},
            "resourceRules": [rule],
        },
        "auditAnnotations": [{"key": "ledger", "valueExpression": value}],
    });
    record(RECORD_LEDGER, spec)
}

/// It records; it must never be in the way.
fn record(name: &str, mut spec: Value) -> Value {
    if let Some(spec) = spec.as_object_mut() {
        spec.insert("failurePolicy".into(), "Ignore".into());
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": spec,
    })
}

fn record_binding(name: &str, ledger: Option<Value>) -> Value {
    let mut spec = json!({"policyName": name, "validationActions": ["Audit"]});
    if let (Some(spec), Some(ledger)) = (spec.as_object_mut(), ledger) {
        spec.insert("paramRef".into(), ledger);
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// How a policy finds the ledger, and what happens when it is not there.
fn ledger(not_found: &str) -> Value {
    json!({"name": ledger::NAME, "namespace": ledger::NAMESPACE, "parameterNotFoundAction": not_found})
}

#[cfg(test)]
mod tests {
    use super::*;

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
