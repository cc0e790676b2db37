//! The objects that make up the job of a treasure that is files.

use serde_json::{Value, json};
use skykeep_core::Secret;

use crate::{
    RestoreError,
    gate::GATE,
    order::{Order, Source},
};

/// Keys, what is to be done, and the Job, all of one name.
pub(crate) fn objects(order: &Order<'_>, name: &str) -> Result<Vec<Value>, RestoreError> {
    Ok(vec![secret(order, name)?, config(order, name)?, job(order, name)])
}

pub(crate) fn text(secret: &Secret) -> Result<&str, RestoreError> {
    secret
        .expose_str()
        .ok_or_else(|| RestoreError::Internal("a secret is no text".into()))
}

fn secret(order: &Order<'_>, name: &str) -> Result<Value, RestoreError> {
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": order.namespace},
        "stringData": {
            "access-key-id": text(order.access_key_id)?,
            "secret-access-key": text(order.secret_access_key)?,
        },
    });
    let data = secret.get_mut("stringData").and_then(Value::as_object_mut);
    if let (Source::Restic(_, password), Some(data)) = (&order.source, data) {
        data.insert("password".to_owned(), json!(text(password)?));
    }
    Ok(secret)
}

fn config(order: &Order<'_>, name: &str) -> Result<Value, RestoreError> {
    let spec = match order.source {
        Source::Restic(spec, _) => serde_json::to_string(spec),
        Source::Longhorn(spec) => serde_json::to_string(spec),
    };
    let spec = spec.map_err(|e| RestoreError::Internal(e.to_string()))?;
    Ok(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": order.namespace},
        "data": {"spec.json": spec, "ca.pem": order.extra_ca_pem},
    }))
}

fn job(order: &Order<'_>, name: &str) -> Value {
    let mut args = vec!["restore-job", "--spec", "/etc/skykeep/restore/spec.json"];
    if matches!(order.source, Source::Longhorn(_)) {
        args.push("--longhorn");
    }
    let labels = json!({GATE: order.name, "app.kubernetes.io/managed-by": "skykeep"});
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": order.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 3,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "containers": [{
                        "name": "restore",
                        "image": order.image,
                        "args": args,
                        "securityContext": {
                            "runAsUser": 0,
                            "allowPrivilegeEscalation": false,
                            "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP"]},
                        },
                        "volumeMounts": [
                            {"name": "treasure", "mountPath": crate::job::TARGET},
                            {"name": "restore", "mountPath": "/etc/skykeep/restore", "readOnly": true},
                            {"name": "keys", "mountPath": crate::job::KEYS, "readOnly": true},
                            {"name": "tmp", "mountPath": "/tmp"},
                        ],
                    }],
                    "volumes": [
                        {"name": "treasure", "persistentVolumeClaim": {"claimName": order.claim}},
                        {"name": "restore", "configMap": {"name": name}},
                        {"name": "keys", "secret": {"secretName": name, "defaultMode": 0o400}},
                        {"name": "tmp", "emptyDir": {"medium": "Memory"}},
                    ],
                },
            },
        },
    })
}
