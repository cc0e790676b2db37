//! Ordering a restore: the Job in the cluster that does it, followed until the data is verified, and only then the
//! ledger's word and the lifting of the gate. A second order of the same treasure finds the first one's work.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, LogParams},
    core::{ApiResource, GroupVersionKind},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use skykeep_core::{Deadline, Progress, Secret, Trouble, deadline::Look, poll};

use crate::{
    RestoreError,
    gate::{self, GATE, apply, core},
    job::{JobSpec, Outcome},
    ledger,
};

/// One treasure to bring back.
pub struct Order<'a> {
    /// The treasure's name.
    pub name: &'a str,
    /// Namespace of its claim.
    pub namespace: &'a str,
    /// The claim.
    pub claim: &'a str,
    /// Where the backup is and what of it is wanted.
    pub spec: &'a JobSpec,
    /// Access key id for the bucket.
    pub access_key_id: &'a Secret,
    /// Secret access key for the bucket.
    pub secret_access_key: &'a Secret,
    /// Password of the repository.
    pub password: &'a Secret,
    /// Extra CAs, PEM; may be empty.
    pub extra_ca_pem: &'a str,
    /// Our own image, pinned by digest.
    pub image: &'a str,
}

/// How an order ended.
#[derive(Debug)]
pub enum Done {
    /// The ledger already said so: nothing was restored.
    Already,
    /// Restored and verified now.
    Now(Outcome),
}

/// Carries an order out.
pub async fn restore(
    client: &Client,
    order: &Order<'_>,
    deadline: Deadline,
    progress: &Progress,
) -> Result<Done, Trouble> {
    let (namespace, claim) = (order.namespace, order.claim);
    if ledger::is_done(client, namespace, claim).await? {
        gate::lift_for_good(client, namespace, claim, Deadline::after(Duration::from_secs(60))).await?;
        return Ok(Done::Already);
    }
    wait_for_claim(client, namespace, claim, deadline).await?;
    progress.note(format!("{namespace}/{claim} is there; the restore starts"));
    let name = job_name(order.name);
    let objects = [secret(order, &name)?, config(order, &name)?, job(order, &name)];
    start(client, order.name, namespace, &objects).await?;
    let outcome = follow(client, order.name, namespace, deadline, progress).await?;
    let lifted = let_go(client, order.name, namespace, claim).await?;
    progress.note(format!("verified; the gate of {lifted} pods is lifted"));
    Ok(Done::Now(outcome))
}

/// The data is back: the ledger says so, the pods go, and the backup's keys do not stay in the cluster. Returns how many pods
/// were held.
pub(crate) async fn let_go(client: &Client, treasure: &str, namespace: &str, claim: &str) -> Result<usize, Trouble> {
    ledger::mark_done(client, namespace, claim).await?;
    let lifted = gate::lift_for_good(client, namespace, claim, Deadline::after(Duration::from_secs(60))).await?;
    clean(client, namespace, &job_name(treasure)).await?;
    Ok(lifted)
}

/// The name of a treasure's Job, and of what belongs to it.
pub(crate) fn job_name(treasure: &str) -> String {
    format!("skykeep-restore-{treasure}")
}

/// The claim's uid; `None` when there is no such claim. A claim that was deleted and made anew has another one.
pub async fn claim_uid(client: &Client, namespace: &str, claim: &str) -> Result<Option<String>, RestoreError> {
    let claims: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        namespace,
        &core("PersistentVolumeClaim", "persistentvolumeclaims"),
    );
    let found = claims.get_opt(claim).await;
    let found = found.map_err(|e| RestoreError::kube("look for the claim", &e))?;
    Ok(found.and_then(|c| c.metadata.uid))
}

/// Makes a claim ready for a second restore: the ledger says `pending`, the first restore's job goes, and every pod that
/// mounts the claim is ended, so that whoever comes after it is held by the gate.
pub async fn again(
    client: &Client,
    treasure: &str,
    (namespace, claim): (&str, &str),
    deadline: Deadline,
    progress: &Progress,
) -> Result<(), Trouble> {
    ledger::reopen(client, namespace, claim).await?;
    gate::wait_closed(client, namespace, claim, deadline).await?;
    remove_job(client, treasure, namespace).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    poll(
        &format!("the pods that mount {namespace}/{claim} to end"),
        deadline,
        Duration::from_secs(1),
        || async {
            let all = pods.list(&ListParams::default()).await;
            let all = all.map_err(|e| RestoreError::kube("list pods", &e))?;
            let running: Vec<&Pod> = all.iter().filter(|p| mounts(p, claim) && !is_held(p)).collect();
            for pod in running.iter().filter(|p| p.metadata.deletion_timestamp.is_none()) {
                let name = pod.metadata.name.clone().unwrap_or_default();
                progress.note(format!("pod {name} is ended: its volume is restored again"));
                match pods.delete(&name, &DeleteParams::default()).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(e)) if e.code == 404 => {}
                    Err(e) => return Err(RestoreError::kube("end a pod", &e).into()),
                }
            }
            Ok(match running.len() {
                0 => Look::Ready(()),
                n => Look::NotYet(format!("{n} still run")),
            })
        },
    )
    .await
}

fn mounts(pod: &Pod, claim: &str) -> bool {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let mut claims = volumes.filter_map(|v| v.persistent_volume_claim.as_ref());
    claims.any(|c| c.claim_name == claim)
}

fn is_held(pod: &Pod) -> bool {
    let gates = pod.spec.iter().flat_map(|s| s.scheduling_gates.iter().flatten());
    gates.into_iter().any(|g| g.name == GATE)
}

pub(crate) async fn wait_for_claim(
    client: &Client,
    namespace: &str,
    claim: &str,
    deadline: Deadline,
) -> Result<(), Trouble> {
    let claims: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        namespace,
        &core("PersistentVolumeClaim", "persistentvolumeclaims"),
    );
    poll(
        &format!("the claim {namespace}/{claim} from the repository"),
        deadline,
        Duration::from_millis(500),
        || async {
            match claims.get_opt(claim).await {
                Ok(Some(_)) => Ok(Look::Ready(())),
                Ok(None) => Ok(Look::NotYet("Flux has not applied it yet".into())),
                Err(e) => Err(RestoreError::kube("look for the claim", &e).into()),
            }
        },
    )
    .await
}

fn jobs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("batch", "v1", "Job"), "jobs");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Finds the Job and adopts it; one that failed is taken away and made anew.
pub(crate) async fn start(client: &Client, treasure: &str, namespace: &str, objects: &[Value]) -> Result<(), Trouble> {
    let name = job_name(treasure);
    let jobs = jobs(client, namespace);
    if let Some(old) = jobs
        .get_opt(&name)
        .await
        .map_err(|e| RestoreError::kube("look for the restore job", &e))?
    {
        if !has_condition(&old.data, "Failed") {
            return Ok(());
        }
        remove_job(client, treasure, namespace).await?;
    }
    for object in objects {
        apply(client, object).await?;
    }
    Ok(())
}

/// Takes the treasure's job away, if there is one, with its pods.
async fn remove_job(client: &Client, treasure: &str, namespace: &str) -> Result<(), Trouble> {
    let name = job_name(treasure);
    let jobs = jobs(client, namespace);
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

fn has_condition(job: &Value, kind: &str) -> bool {
    let conditions = job
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    conditions.iter().any(|c| {
        c.get("type").and_then(Value::as_str) == Some(kind) && c.get("status").and_then(Value::as_str) == Some("True")
    })
}

/// Waits for the Job's end, telling how far it is; gives the outcome that it printed.
pub(crate) async fn follow<T: DeserializeOwned>(
    client: &Client,
    treasure: &str,
    namespace: &str,
    deadline: Deadline,
    progress: &Progress,
) -> Result<T, Trouble> {
    let job = &job_name(treasure);
    let jobs = jobs(client, namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    poll(
        &format!("the treasure `{treasure}`"),
        deadline,
        Duration::from_secs(1),
        || async {
            let now = jobs
                .get(job)
                .await
                .map_err(|e| RestoreError::kube("watch the restore job", &e))?;
            let seen = pods
                .list(&selector)
                .await
                .map_err(|e| RestoreError::kube("watch the restore pod", &e))?;
            let newest = seen
                .items
                .iter()
                .max_by_key(|p| p.metadata.creation_timestamp.clone().map(|t| t.0));
            let log = match newest.and_then(|p| p.metadata.name.as_deref()) {
                Some(pod) => pods
                    .logs(
                        pod,
                        &LogParams {
                            tail_lines: Some(20),
                            ..LogParams::default()
                        },
                    )
                    .await
                    .unwrap_or_default(),
                None => String::new(),
            };
            if has_condition(&now.data, "Failed") {
                return Err(RestoreError::JobFailed {
                    treasure: treasure.to_owned(),
                    log: last_lines(&log),
                }
                .into());
            }
            match crate::job::last_outcome_in(&log) {
                Some(outcome) if has_condition(&now.data, "Complete") => Ok(Look::Ready(outcome)),
                _ => {
                    if let Some((done, total)) = crate::job::last_bytes_in(&log) {
                        progress.bytes(done, total);
                    }
                    let phase = newest
                        .and_then(|p| p.status.as_ref()?.phase.clone())
                        .unwrap_or_else(|| "not there yet".into());
                    Ok(Look::NotYet(format!("its pod is {phase}")))
                }
            }
        },
    )
    .await
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(4).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

/// The backup's keys do not stay in the cluster.
async fn clean(client: &Client, namespace: &str, name: &str) -> Result<(), Trouble> {
    let secrets: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &core("Secret", "secrets"));
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

fn job(order: &Order<'_>, name: &str) -> Value {
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
