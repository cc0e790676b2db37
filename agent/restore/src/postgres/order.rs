//! Ordering a database: the Job that restores it inside the owner's own image, and the Secret by which the database finds the
//! path that it archives to from then on.

use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use skykeep_core::{Deadline, Progress, Secret, Trouble};

use super::{
    Outcome, Spec,
    conf::{AUTHORITIES, FILE, FOLDER, Repository},
    job::{ROLES, RUN, SOURCE},
};
use crate::{
    RestoreError,
    follow::{Verified, follow},
    gate::{self, GATE, apply},
    jobs::{self, Target},
    ledger,
    objects::text,
    order,
};

/// Where our own program lies in the job's pod.
const PROGRAM: &str = "/opt/skykeep";

/// One database to bring back.
pub struct Order<'a> {
    /// The treasure's name.
    pub name: &'a str,
    /// Namespace of its claim.
    pub namespace: &'a str,
    /// The claim.
    pub claim: &'a str,
    /// What the job has to do.
    pub spec: &'a Spec,
    /// Where it comes from.
    pub source: &'a Repository<'a>,
    /// Where it archives to.
    pub archive: &'a Repository<'a>,
    /// The passwords of the spec's roles, in their order.
    pub passwords: &'a [&'a Secret],
    /// The user that owns the data folder.
    pub user: u32,
    /// Extra CAs, PEM; may be empty.
    pub extra_ca_pem: &'a str,
    /// The owner's image, pinned by digest.
    pub image: &'a str,
    /// Our own image, pinned by digest.
    pub own_image: &'a str,
}

impl<'a> Order<'a> {
    fn target(&self) -> Target<'a> {
        Target {
            treasure: self.name,
            namespace: self.namespace,
            claim: self.claim,
        }
    }
}

impl Verified for Outcome {
    fn text(&self) -> String {
        self.say()
    }
}

/// Has the database restored. Its pods are still held afterwards: see [`let_go`].
pub async fn restore(
    client: &Client,
    order: &Order<'_>,
    deadline: Deadline,
    progress: &Progress,
) -> Result<Outcome, Trouble> {
    let (namespace, claim) = (order.namespace, order.claim);
    tell_the_database(client, order.name, namespace, order.archive, order.extra_ca_pem).await?;
    order::wait_for_claim(client, namespace, claim, deadline).await?;
    progress.note(format!("{namespace}/{claim} is there; the restore starts"));
    let target = order.target();
    let name = target.job_name();
    let objects = vec![secret(order, &name)?, config(order, &name)?, job(order, &name)];
    jobs::start(client, target, deadline, objects).await?;
    follow(client, target, deadline, progress).await
}

/// The ledger says that it is back, and its pods go. Returns how many were held.
pub async fn let_go(client: &Client, order: &Order<'_>) -> Result<usize, Trouble> {
    order::let_go(client, order.target()).await
}

/// The same for one that the ledger already knows.
pub async fn let_go_again(client: &Client, namespace: &str, claim: &str) -> Result<usize, Trouble> {
    ledger::mark_done(client, namespace, claim).await?;
    gate::lift_for_good(client, namespace, claim, Deadline::after(Duration::from_secs(60))).await
}

/// The Secret with pgBackRest's configuration of the path that the database archives to.
pub async fn tell_the_database(
    client: &Client,
    treasure: &str,
    namespace: &str,
    archive: &Repository<'_>,
    extra_ca_pem: &str,
) -> Result<(), Trouble> {
    let object = configuration(&told(treasure), namespace, archive, FOLDER, extra_ca_pem)?;
    Ok(apply(client, &object).await?)
}

/// The name of that Secret.
pub fn told(treasure: &str) -> String {
    format!("{treasure}-pgbackrest")
}

fn configuration(
    name: &str,
    namespace: &str,
    repository: &Repository<'_>,
    folder: &str,
    authorities: &str,
) -> Result<Value, RestoreError> {
    let configuration = repository.configuration(folder)?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "skykeep"}},
        "stringData": {FILE: text(&configuration)?, AUTHORITIES: authorities},
    }))
}

/// What only the job may know: the way to the old repository, and the roles' passwords.
fn secret(order: &Order<'_>, name: &str) -> Result<Value, RestoreError> {
    let mut object = configuration(name, order.namespace, order.source, SOURCE, order.extra_ca_pem)?;
    if let Some(data) = object.pointer_mut("/stringData").and_then(Value::as_object_mut) {
        for (i, password) in order.passwords.iter().enumerate() {
            data.insert(format!("role-{i}"), text(password)?.into());
        }
    }
    Ok(object)
}

fn config(order: &Order<'_>, name: &str) -> Result<Value, RestoreError> {
    let spec = serde_json::to_string(order.spec).map_err(|e| RestoreError::Internal(e.to_string()))?;
    Ok(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": order.namespace},
        "data": {"spec.json": spec},
    }))
}

fn job(order: &Order<'_>, name: &str) -> Value {
    let labels = json!({GATE: order.name, "app.kubernetes.io/managed-by": "skykeep"});
    let program = format!("{PROGRAM}/skykeep");
    let closed = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    // A key is mounted only where it is wanted: the roles' passwords not among pgBackRest's files, and the other way round.
    let part = |of: &[&str]| {
        of.iter()
            .map(|key| json!({"key": key, "path": key}))
            .collect::<Vec<_>>()
    };
    let roles: Vec<String> = (0..order.passwords.len()).map(|i| format!("role-{i}")).collect();
    let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    let mut volumes = vec![
        json!({"name": "treasure", "persistentVolumeClaim": {"claimName": order.claim}}),
        json!({"name": "restore", "configMap": {"name": name}}),
        json!({"name": "source", "secret": {"secretName": name, "defaultMode": 0o440, "items": part(&[FILE, AUTHORITIES])}}),
        json!({"name": "archive", "secret": {"secretName": told(order.name), "defaultMode": 0o440}}),
        json!({"name": "program", "emptyDir": {}}),
        json!({"name": "run", "emptyDir": {"medium": "Memory"}}),
        json!({"name": "tmp", "emptyDir": {}}),
        json!({"name": "memory", "emptyDir": {"medium": "Memory"}}),
    ];
    let mut mounts = vec![
        json!({"name": "treasure", "mountPath": crate::job::TARGET}),
        json!({"name": "restore", "mountPath": "/etc/skykeep/restore", "readOnly": true}),
        json!({"name": "source", "mountPath": SOURCE, "readOnly": true}),
        json!({"name": "archive", "mountPath": FOLDER, "readOnly": true}),
        json!({"name": "program", "mountPath": PROGRAM, "readOnly": true}),
        json!({"name": "run", "mountPath": RUN}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
        // PostgreSQL's parallel workers want more than a container's 64 MB.
        json!({"name": "memory", "mountPath": "/dev/shm"}),
    ];
    if !roles.is_empty() {
        volumes.push(
            json!({"name": "roles", "secret": {"secretName": name, "defaultMode": 0o440, "items": part(&roles)}}),
        );
        mounts.push(json!({"name": "roles", "mountPath": ROLES, "readOnly": true}));
    }
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
                    // PostgreSQL refuses to be root, and wants to own its folder.
                    "securityContext": {
                        "runAsUser": order.user, "runAsGroup": order.user, "runAsNonRoot": true, "fsGroup": order.user,
                        "fsGroupChangePolicy": "OnRootMismatch",
                    },
                    "initContainers": [{
                        "name": "program",
                        "image": order.own_image,
                        "args": ["restore-job", "--copy-to", program],
                        "securityContext": closed,
                        "volumeMounts": [{"name": "program", "mountPath": PROGRAM}],
                    }],
                    "containers": [{
                        "name": "restore",
                        "image": order.image,
                        "command": [program, "restore-job", "--postgres", "--spec", "/etc/skykeep/restore/spec.json"],
                        "securityContext": closed,
                        "volumeMounts": mounts,
                    }],
                    "volumes": volumes,
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_runs_in_the_owners_image_and_shows_no_key() {
        let secrets = ["AKIAEXAMPLE", "secret-key", "app-password"].map(|s| Secret::new(s.as_bytes().to_vec()));
        let [id, key, password] = &secrets;
        let repository = |path| Repository {
            bucket: "backups",
            path,
            region: "eu-central-1",
            endpoint: None,
            access_key_id: id,
            secret_access_key: key,
            cipher_pass: None,
            own_authorities: true,
        };
        let (source, archive) = (repository("pgbackrest"), repository("pgbackrest/01JD"));
        let spec = Spec {
            attempt: "pgbackrest/01JD".into(),
            stanza: "main".into(),
            version: "15".into(),
            image: "docker.io/rossi/postgres:15".into(),
            folder: "pgdata".into(),
            target: None,
            checks: Vec::new(),
            roles: vec!["app".into()],
            replace: false,
            limit: 3400,
        };
        let order = Order {
            name: "db",
            namespace: "web",
            claim: "data-db-0",
            spec: &spec,
            source: &source,
            archive: &archive,
            passwords: &[password],
            user: 999,
            extra_ca_pem: "PEM",
            image: "docker.io/rossi/postgres@sha256:ab",
            own_image: "ghcr.io/skykeep/skykeep@sha256:cd",
        };
        let job = job(&order, "skykeep-restore-db");
        let config = config(&order, "skykeep-restore-db").unwrap();
        for text in [job.to_string(), config.to_string()] {
            for secret in &secrets {
                assert!(!text.contains(secret.expose_str().unwrap()), "{text}");
            }
        }
        insta::assert_snapshot!(serde_json::to_string_pretty(&job).unwrap());
        let secret = secret(&order, "skykeep-restore-db").unwrap();
        let keys: Vec<_> = secret
            .pointer("/stringData")
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(keys, [AUTHORITIES, "role-0", FILE]);
    }
}
