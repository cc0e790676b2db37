//! How far an operator is, by its own words.

use std::time::Duration;

use kube::{
    Api, Client,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Progress, Trouble, castle::DatabaseOperator, deadline::Look, poll};

use super::{
    Database, bad,
    cloudnative_pg::{PLUGIN, SOURCE},
    crunchy,
};
use crate::{RestoreError, gate::apply};

/// How far a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is back and answers.
    Ready,
    /// Not yet: the operator's words.
    Working(String),
}

fn api(client: &Client, database: &Database<'_>) -> Api<DynamicObject> {
    let operator = database.operator;
    let gvk = GroupVersionKind::gvk(operator.group(), operator.version(), operator.kind());
    Api::namespaced_with(client.clone(), database.namespace, &ApiResource::from_gvk(&gvk))
}

async fn get(client: &Client, database: &Database<'_>) -> Result<Option<DynamicObject>, RestoreError> {
    // Before its definition is there the API answers 404 as well.
    let found = api(client, database).get_opt(database.name).await;
    found.map_err(|e| RestoreError::kube("look for the database's resource", &e))
}

/// The resource's uid; `None` when there is no such resource.
pub async fn uid(client: &Client, database: &Database<'_>) -> Result<Option<String>, RestoreError> {
    Ok(get(client, database).await?.and_then(|found| found.metadata.uid))
}

/// Whether a living resource, if there is one, was born with our source. A source that comes to a database that runs already
/// may make its operator restore over what it holds.
pub async fn may_be_told(client: &Client, database: &Database<'_>) -> Result<(), Trouble> {
    let Some(found) = get(client, database).await? else {
        return Ok(());
    };
    let live = serde_json::to_value(&found).map_err(|e| RestoreError::Internal(e.to_string()))?;
    if has_source(&live, database) {
        return Ok(());
    }
    Err(bad(
        database,
        "it is there already and was not born from a backup: its operator might restore over what it holds",
        "If nobody needs what it holds, delete the resource with its claims, and start again. Otherwise take the treasure out of castle.yaml.",
    )
    .into())
}

/// Whether a living resource comes from our source.
fn has_source(live: &Value, database: &Database<'_>) -> bool {
    match database.operator {
        DatabaseOperator::Crunchy => crunchy::is_ours(live, database),
        DatabaseOperator::CloudNativePg => {
            live.pointer("/spec/bootstrap/recovery/source").and_then(Value::as_str) == Some(SOURCE)
        }
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<(&'a str, String)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let text = |c: &'a Value, field: &str| c.get(field).and_then(Value::as_str).unwrap_or_default();
    let found = conditions.iter().find(|c| text(c, "type") == kind)?;
    let words = format!("{kind}: {} {}", text(found, "reason"), text(found, "message"));
    Some((text(found, "status"), words.trim().to_owned()))
}

/// Judges by the operator's status. A resource that does not hold our source is no success, however ready it is.
pub fn judge(object: &Value, database: &Database<'_>) -> Result<State, String> {
    if !has_source(object, database) {
        return Err("it was applied without its restore source, so an empty database begins".into());
    }
    let wanted: &[&str] = match database.operator {
        // Its first backup on the new path is part of what the operator does by itself.
        DatabaseOperator::Crunchy => &["PostgresDataInitialized", "PGBackRestReplicaCreate"],
        DatabaseOperator::CloudNativePg => &["Ready"],
    };
    for kind in wanted {
        match condition(object, kind) {
            Some(("True", _)) => {}
            Some((_, words)) => return Ok(State::Working(words)),
            None => {
                let phase = object.pointer("/status/phase").and_then(Value::as_str);
                return Ok(State::Working(
                    phase.map_or_else(|| format!("no word of {kind} yet"), str::to_owned),
                ));
            }
        }
    }
    Ok(State::Ready)
}

/// Waits until the operator says that it is back.
pub async fn wait(
    client: &Client,
    database: &Database<'_>,
    deadline: Deadline,
    progress: &Progress,
) -> Result<(), Trouble> {
    let kind = database.operator.kind();
    let told = std::sync::Mutex::new(String::new());
    let what = format!(
        "{kind} {}/{} to be restored by its operator",
        database.namespace, database.name
    );
    poll(&what, deadline, Duration::from_secs(2), || async {
        let Some(found) = get(client, database).await? else {
            return Ok(Look::NotYet("Flux has not applied it yet".into()));
        };
        let object = serde_json::to_value(&found).map_err(|e| RestoreError::Internal(e.to_string()))?;
        match judge(&object, database) {
            Ok(State::Ready) => Ok(Look::Ready(())),
            Ok(State::Working(words)) => {
                if let Ok(mut told) = told.lock()
                    && *told != words
                {
                    progress.note(words.clone());
                    told.clone_from(&words);
                }
                Ok(Look::NotYet(words))
            }
            Err(why) => Err(bad(
                database,
                why,
                "Delete this resource and what it made, look why the patch did not reach it (`kubectl get kustomization -A -o yaml`), and start again: \
                 nothing was written to the path of the backup.",
            )
            .into()),
        }
    })
    .await
}

/// The first backup on the path that it archives to. PGO makes it by itself; CloudNativePG is asked for it, once.
/// `by_plugin`: it archives by the Barman Cloud plugin.
pub async fn backed_up(
    client: &Client,
    database: &Database<'_>,
    by_plugin: bool,
    deadline: Deadline,
) -> Result<(), Trouble> {
    if database.operator == DatabaseOperator::Crunchy {
        return Ok(());
    }
    let name = format!("{}-skykeep-first", database.name);
    let mut spec = json!({"method": "barmanObjectStore", "cluster": {"name": database.name}});
    if by_plugin {
        spec = json!({"method": "plugin", "pluginConfiguration": {"name": PLUGIN}, "cluster": {"name": database.name}});
    }
    let backup = json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Backup",
        "metadata": {"name": name, "namespace": database.namespace}, "spec": spec});
    apply(client, &backup).await?;
    let gvk = GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Backup");
    let backups: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), database.namespace, &ApiResource::from_gvk(&gvk));
    poll(
        "the reborn database's first backup",
        deadline,
        Duration::from_secs(2),
        || async {
            let found = backups.get_opt(&name).await;
            let found = found.map_err(|e| RestoreError::kube("look for the first backup", &e))?;
            let status = found.as_ref().and_then(|f| f.data.get("status"));
            let text = |field: &str| {
                status
                    .and_then(|s| s.get(field)?.as_str())
                    .unwrap_or_default()
                    .to_owned()
            };
            match text("phase").as_str() {
                "completed" => Ok(Look::Ready(())),
                "failed" => Err(bad(
                    database,
                    format!("its first backup on the new path failed: {}", text("error")),
                    format!("Mend that, delete the Backup {name}, and start again."),
                )
                .into()),
                phase => Ok(Look::NotYet(format!("its phase is `{phase}`"))),
            }
        },
    )
    .await
}
