//! The owner's questions to a database that an operator brought back: asked by a Job in the database's own image, as the user
//! that its application is.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Explained, Trouble, castle::DatabaseOperator, deadline::Look, poll};

use super::Database;
use crate::{
    RestoreError,
    gate::{GATE, apply},
    jobs::{self, Target, has_condition},
};

/// Logs in as everybody, then asks, one after the other. Passwords are read from their files; nothing of them is an argument or
/// in the Job's description.
const SCRIPT: &str = r#"set -eu
export PGCONNECT_TIMEOUT=10 PGOPTIONS='-c default_transaction_read_only=on'
ask() { # LOGIN DATABASE ARGUMENTS...
  PGUSER="$(cat "$1/$USER_KEY")" PGPASSWORD="$(cat "$1/password")" PGDATABASE="$2"
  export PGUSER PGPASSWORD PGDATABASE
  shift 2
  psql -XAt -v ON_ERROR_STOP=1 -h "$SERVER" "$@"
}
for login in /login-*; do
  database="$(cat "$login/dbname" 2>/dev/null || cat "$login/$USER_KEY")"
  if ! ask "$login" "$database" -c 'select 1' >/dev/null; then
    printf 'the user `%s` can not log in to `%s`' "$(cat "$login/$USER_KEY")" "$database" >/dev/termination-log
    exit 3
  fi
done
n=0
while [ -e "/checks/query-$n" ]; do
  answer="$(ask /login-0 "$(cat "/checks/database-$n")" -f "/checks/query-$n")"
  if [ -e "/checks/expected-$n" ] && [ "$answer" != "$(cat "/checks/expected-$n")" ]; then
    printf 'question %s was answered with `%s`' "$n" "$answer" >/dev/termination-log
    exit 3
  fi
  n=$((n + 1))
done
"#;

struct Words {
    cluster: &'static str,
    primary: &'static str,
    container: &'static str,
    user: &'static str,
    server: &'static str,
    login: String,
}

fn words(database: &Database<'_>) -> Words {
    let name = database.name;
    match database.operator {
        DatabaseOperator::Crunchy => Words {
            cluster: "postgres-operator.crunchydata.com/cluster",
            primary: "postgres-operator.crunchydata.com/role in (master,primary)",
            container: "database",
            user: "user",
            server: "-primary",
            login: format!("{name}-pguser-{name}"),
        },
        DatabaseOperator::CloudNativePg => Words {
            cluster: "cnpg.io/cluster",
            primary: "cnpg.io/instanceRole=primary",
            container: "postgres",
            user: "username",
            server: "-rw",
            login: format!("{name}-app"),
        },
    }
}

/// Asks all of them, as who was named; the first log-in that fails and the first wrong answer are errors.
pub async fn ask(client: &Client, database: &Database<'_>, deadline: Deadline) -> Result<usize, Trouble> {
    let target = Target {
        treasure: database.treasure,
        namespace: database.namespace,
        claim: database.name,
    };
    let image = image(client, database, deadline).await?;
    // An answer of an earlier run says nothing about what is there now.
    jobs::remove(client, target).await?;
    for object in objects(database, &target.job_name(), &image) {
        apply(client, &object).await?;
    }
    let api = jobs::jobs(client, database.namespace);
    let name = target.job_name();
    poll(
        "the database to answer its owner's questions",
        deadline,
        Duration::from_secs(1),
        || async {
            let job = api.get_opt(&name).await;
            let job = job.map_err(|e| RestoreError::kube("look for the job that asks", &e))?;
            let Some(job) = job else {
                return Ok(Look::NotYet("the job is not there".into()));
            };
            if has_condition(&job.data, "Failed") {
                return Err(wrong(database, said(client, database, &name).await?).into());
            }
            Ok(match has_condition(&job.data, "Complete") {
                true => Look::Ready(()),
                false => Look::NotYet("the job has not ended".into()),
            })
        },
    )
    .await?;
    jobs::clean(client, target).await?;
    Ok(database.postgres.checks.len())
}

fn wrong(database: &Database<'_>, said: String) -> Explained {
    Explained {
        what: format!("The database of `{}` came back, but not as its owner wants it", database.treasure),
        why: said,
        remedy: "Look at it with psql; mend `checks` in castle.yaml if they are wrong, else choose another point in time in \
                 `target`, delete the database's resource with its claims, and start again. The backup it came from was only read."
            .into(),
    }
}

/// What the job's last pod said.
async fn said(client: &Client, database: &Database<'_>, job: &str) -> Result<String, RestoreError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), database.namespace);
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let pods = pods.list(&of_job).await;
    let pods = pods.map_err(|e| RestoreError::kube("read what the job said", &e))?;
    let said = pods.items.iter().rev().find_map(|pod| {
        let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
        status.state.as_ref()?.terminated.as_ref()?.message.clone()
    });
    Ok(said.unwrap_or_else(|| "the job that asks failed and said nothing".into()))
}

/// The image that the primary runs.
async fn image(client: &Client, database: &Database<'_>, deadline: Deadline) -> Result<String, Trouble> {
    let words = words(database);
    let pods: Api<Pod> = Api::namespaced(client.clone(), database.namespace);
    let primary = ListParams::default().labels(&format!("{}={},{}", words.cluster, database.name, words.primary));
    poll("the database's primary", deadline, Duration::from_secs(1), || async {
        let found = pods.list(&primary).await;
        let found = found.map_err(|e| RestoreError::kube("look for the primary", &e))?;
        let containers = found
            .items
            .iter()
            .flat_map(|p| p.spec.iter().flat_map(|s| &s.containers));
        let image = containers
            .into_iter()
            .find(|c| c.name == words.container)
            .and_then(|c| c.image.clone());
        Ok(image.map_or_else(|| Look::NotYet("no pod is the primary".into()), Look::Ready))
    })
    .await
}

fn objects(database: &Database<'_>, name: &str, image: &str) -> [Value; 2] {
    let words = words(database);
    let mut data = serde_json::Map::new();
    for (i, check) in database.postgres.checks.iter().enumerate() {
        data.insert(format!("database-{i}"), check.database.clone().into());
        data.insert(format!("query-{i}"), check.query.clone().into());
        let expected = check.expected.clone();
        data.extend(expected.map(|expected| (format!("expected-{i}"), expected.into())));
    }
    let mut logins = database.postgres.logins.clone();
    if logins.is_empty() {
        logins.push(words.login);
    }
    let mut mounts = vec![json!({"name": "checks", "mountPath": "/checks", "readOnly": true})];
    let mut volumes = vec![json!({"name": "checks", "configMap": {"name": name}})];
    for (i, login) in logins.iter().enumerate() {
        let volume = format!("login-{i}");
        mounts.push(json!({"name": volume, "mountPath": format!("/{volume}"), "readOnly": true}));
        volumes.push(json!({"name": volume, "secret": {"secretName": login}}));
    }
    let labels = json!({GATE: database.treasure, "app.kubernetes.io/managed-by": "skykeep"});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": database.namespace}, "data": data});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job",
    "metadata": {"name": name, "namespace": database.namespace, "labels": labels},
    "spec": {"backoffLimit": 2, "template": {
        "metadata": {"labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "containers": [{
                "name": "ask",
                "image": image,
                "command": ["sh", "-c", SCRIPT],
                "env": [
                    {"name": "SERVER", "value": format!("{}{}", database.name, words.server)},
                    {"name": "USER_KEY", "value": words.user},
                ],
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        },
    }}});
    [config, job]
}
