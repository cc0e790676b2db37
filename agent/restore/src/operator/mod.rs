//! Databases that an operator runs: it restores them by itself when its custom resource says from where. What that resource must
//! say is given as a patch ([`patch`]), to be injected through Flux; here it is waited until the operator says that it is done
//! ([`wait`]), and its owner's questions are asked ([`ask`]).
//!
//! The path that it came from is only read: the patch gives the reborn database one of its own to archive to.

mod checks;
mod cloudnative_pg;
mod crunchy;
mod state;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use skykeep_core::{
    Explained, Trouble,
    castle::{DatabaseOperator, Postgres},
};

pub use checks::ask;
pub use cloudnative_pg::{folder, object_store};
pub use state::{State, backed_up, judge, may_be_told, uid, wait};

use crate::{
    RestoreError,
    gate::{MANAGER, apply},
    postgres::conf::{FILE, Repository},
};

/// A database of an operator, and where it comes from and goes to.
#[derive(Debug, Clone, Copy)]
pub struct Database<'a> {
    /// The treasure's name.
    pub treasure: &'a str,
    /// Namespace of the custom resource.
    pub namespace: &'a str,
    /// Name of the custom resource.
    pub name: &'a str,
    /// Which operator runs it.
    pub operator: DatabaseOperator,
    /// What the castle file says of it.
    pub postgres: &'a Postgres,
    /// The path in the bucket that it comes from.
    pub source: &'a str,
    /// The path in the bucket that it archives to.
    pub archive: &'a str,
    /// Whether it is back: then nothing may restore it again, and its schedules of backups run.
    pub back: bool,
}

/// What has to be merged into the `spec` of its manifest so that it comes back from `source` and archives to `archive`.
/// `store` is the manifest of its [`object_store`], when it has one.
pub fn patch(manifest: &Value, store: Option<&Value>, database: &Database<'_>) -> Result<Value, Explained> {
    match database.operator {
        DatabaseOperator::Crunchy => crunchy::patch(manifest, database),
        DatabaseOperator::CloudNativePg => cloudnative_pg::patch(manifest, store, database),
    }
}

/// The major version of PostgreSQL that the manifest asks for, as far as it says.
pub fn version(manifest: &Value, operator: DatabaseOperator) -> Option<String> {
    match operator {
        DatabaseOperator::Crunchy => Some(manifest.pointer("/spec/postgresVersion")?.as_u64()?.to_string()),
        DatabaseOperator::CloudNativePg => {
            let image = manifest.pointer("/spec/imageName")?.as_str()?;
            crate::postgres::info::major_of_tag(image).map(str::to_owned)
        }
    }
}

/// The name of the Secret with the keys to `source`.
fn source_secret(treasure: &str) -> String {
    format!("{treasure}-skykeep-source")
}

/// Puts the keys to `source` where the operator will look for them, with their namespace: before Flux applies the resource.
pub async fn tell_the_operator(
    client: &kube::Client,
    database: &Database<'_>,
    source: &Repository<'_>,
) -> Result<(), Trouble> {
    let text = |secret: &skykeep_core::Secret| {
        let text = secret.expose_str().map(|t| t.trim().to_owned());
        text.ok_or_else(|| RestoreError::Internal("a secret is no text".into()))
    };
    let data = match database.operator {
        DatabaseOperator::Crunchy => json!({FILE: text(&source.keys()?)?}),
        DatabaseOperator::CloudNativePg => json!({
            "ACCESS_KEY_ID": text(source.access_key_id)?,
            "ACCESS_SECRET_KEY": text(source.secret_access_key)?,
            "REGION": source.region,
        }),
    };
    let labels = json!({"app.kubernetes.io/managed-by": MANAGER});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": database.namespace}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": source_secret(database.treasure), "namespace": database.namespace, "labels": labels},
        "stringData": data});
    apply(client, &namespace).await?;
    Ok(apply(client, &secret).await?)
}

fn bad(database: &Database<'_>, why: impl Into<String>, remedy: impl Into<String>) -> Explained {
    Explained {
        what: format!(
            "{} {}/{} can't be told to restore `{}`",
            database.operator.kind(),
            database.namespace,
            database.name,
            database.treasure
        ),
        why: why.into(),
        remedy: remedy.into(),
    }
}
