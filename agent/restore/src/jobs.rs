//! The Job in the cluster that restores one treasure: made, found again, taken away.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Secret, Trouble, deadline::Look, poll};

use crate::{
    RestoreError,
    gate::{GATE, apply, core},
    order::Order,
    place::{self, Place},
};

pub(crate) fn jobs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("batch", "v1", "Job"), "jobs");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Finds the Job and adopts it; one that failed is taken away and made anew.
pub(crate) async fn start(client: &Client, order: &Order<'_>, deadline: Deadline) -> Result<String, Trouble> {
    let name = format!("skykeep-restore-{}", order.name);
    let jobs = jobs(client, order.namespace);
    if let Some(old) = jobs
        .get_opt(&name)
        .await
        .map_err(|e| RestoreError::kube("look for the restore job", &e))?
    {
        if !has_condition(&old.data, "Failed") {
            return Ok(name);
        }
        remove(client, order).await?;
    }
    let place = place::find(client, order.namespace, order.claim, deadline).await?;
    for object in [secret(order, &name)?, config(order, &name)?, job(order, &name, &place)] {
        apply(client, &object).await?;
    }
    Ok(name)
}

/// Takes the treasure's job away, if there is one, with its pods.
pub(crate) async fn remove(client: &Client, order: &Order<'_>) -> Result<(), Trouble> {
    let name = format!("skykeep-restore-{}", order.name);
    let jobs = jobs(client, order.namespace);
    match jobs.delete(&name, &DeleteParams::foreground()).await {
        Ok(_) => {}
        Err(kube::Error::Api(e)) if e.code == 404 => return Ok(()),
        Err(e) => return Err(RestoreError::kube("take away the old restore job", &e).into()),
    }
    poll(
        "the old restore job to go away",
        Deadline::after(Duration::from_secs(60)),
        Duration::from_millis(500),
        || async {
            let found = jobs.get_opt(&name).await;
            let found = found.map_err(|e| RestoreError::kube("look for the restore job", &e))?;
            Ok(match found {
                None => Look::Ready(()),
                Some(_) => Look::NotYet("it is still there".into()),
            })
        },
    )
    .await
}

pub(crate) fn has_condition(job: &Value, kind: &str) -> bool {
    let conditions = job
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    conditions.iter().any(|c| {
        c.get("type").and_then(Value::as_str) == Some(kind) && c.get("status").and_then(Value::as_str) == Some("True")
    })
}

/// The backup's keys do not stay in the cluster.
pub(crate) async fn clean(client: &Client, order: &Order<'_>, name: &str) -> Result<(), Trouble> {
    let secrets: Api<DynamicObject> = Api::namespaced_with(client.clone(), order.namespace, &core("Secret", "secrets"));
    match secrets.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(e)) if e.code == 404 => Ok(()),
        Err(e) => Err(RestoreError::kube("delete the restore job's secret", &e).into()),
    }
}

fn secret(order: &Order<'_>, name: &str) -> Result<Value, RestoreError> {
    let text = |s: &Secret| {
        s.expose_str()
            .map(str::to_owned)
            .ok_or_else(|| RestoreError::Internal("a secret is no text".into()))
    };
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": order.namespace},
        "stringData": {
            "access-key-id": text(order.access_key_id)?,
            "secret-access-key": text(order.secret_access_key)?,
            "password": text(order.password)?,
        },
    }))
}

fn config(order: &Order<'_>, name: &str) -> Result<Value, RestoreError> {
    let spec = serde_json::to_string(order.spec).map_err(|e| RestoreError::Internal(e.to_string()))?;
    Ok(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": order.namespace},
        "data": {"spec.json": spec, "ca.pem": order.extra_ca_pem},
    }))
}

fn job(order: &Order<'_>, name: &str, place: &Place) -> Value {
    let mut volumes = vec![
        json!({"name": "treasure", "persistentVolumeClaim": {"claimName": order.claim}}),
        json!({"name": "restore", "configMap": {"name": name}}),
        json!({"name": "keys", "secret": {"secretName": name, "defaultMode": 0o400}}),
        json!({"name": "tmp", "emptyDir": {"medium": "Memory"}}),
    ];
    // Not for the container: the scheduler looks for a machine where all of them can be.
    let beside = place.beside.iter().enumerate();
    volumes.extend(
        beside.map(|(i, claim)| json!({"name": format!("beside-{i}"), "persistentVolumeClaim": {"claimName": claim}})),
    );
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "containers": [{
            "name": "restore",
            "image": order.image,
            "args": ["restore-job", "--spec", "/etc/skykeep/restore/spec.json"],
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
        "volumes": volumes,
    });
    if let Some(pod) = pod.as_object_mut() {
        let rules = place.rules.iter();
        pod.extend(rules.map(|(name, rule)| ((*name).to_owned(), rule.clone())));
    }
    let labels = json!({GATE: order.name, "app.kubernetes.io/managed-by": "skykeep"});
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": order.namespace, "labels": labels},
        "spec": {"backoffLimit": 3, "template": {"metadata": {"labels": labels}, "spec": pod}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobSpec;

    #[test]
    fn a_restore_stands_beside_the_other_claims_and_touches_none_of_them() {
        let spec = JobSpec {
            bucket: "b".into(),
            prefix: String::new(),
            region: "r".into(),
            endpoint: None,
            snapshot: "latest".into(),
            path: "/".into(),
            replace: false,
        };
        let secret = Secret::new(Vec::new());
        let order = Order {
            name: "pages",
            namespace: "web",
            claim: "pages-wiki-0",
            spec: &spec,
            access_key_id: &secret,
            secret_access_key: &secret,
            password: &secret,
            extra_ca_pem: "",
            image: "x@sha256:0",
        };
        let place = Place {
            beside: ["wiki-media".to_owned()].into(),
            rules: vec![("nodeSelector", json!({"kubernetes.io/hostname": "w2"}))],
        };
        let job = job(&order, "skykeep-restore-pages", &place);
        let pod = job.pointer("/spec/template/spec").unwrap();
        assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/hostname": "w2"}));
        let pod_of = json!({"spec": pod});
        let claims: Vec<&str> = crate::gate::mounted(&pod_of).collect();
        assert_eq!(claims, ["pages-wiki-0", "wiki-media"]);
        assert!(!pod["containers"].to_string().contains("beside"));
        assert_eq!(job["spec"]["template"]["metadata"]["labels"][GATE], "pages");
    }
}
