//! CloudNativePG: `spec.bootstrap.recovery` from an external cluster, which it looks at once, when the cluster is made.
//!
//! Its object store knows servers: `<destinationPath>/<serverName>/base/...`. The path of the castle file is the destination, and
//! each rebirth is a server of its own there: so an `ObjectStore` of the Barman Cloud plugin, which knows no server, need not be changed.

use serde_json::{Value, json};
use skykeep_core::{Explained, castle::Postgres};

use super::{Database, bad, source_secret};

/// The external cluster's name.
pub(super) const SOURCE: &str = "skykeep-source";
pub(super) const PLUGIN: &str = "barman-cloud.cloudnative-pg.io";

/// How it archives.
pub(super) enum Archiver<'a> {
    /// By itself: `spec.backup.barmanObjectStore`.
    Itself(&'a Value),
    /// By the Barman Cloud plugin: the place among `spec.plugins`, and its `ObjectStore`.
    Plugin(usize, &'a str),
}

pub(super) fn archiver(manifest: &Value) -> Option<Archiver<'_>> {
    if let Some(store) = manifest.pointer("/spec/backup/barmanObjectStore") {
        return Some(Archiver::Itself(store));
    }
    let plugins = manifest.pointer("/spec/plugins")?.as_array()?;
    plugins.iter().enumerate().find_map(|(i, plugin)| {
        let enabled = plugin.get("enabled") != Some(&Value::Bool(false));
        let archives =
            enabled && plugin.get("isWALArchiver") == Some(&Value::Bool(true)) && plugin.get("name")? == PLUGIN;
        let store = plugin.pointer("/parameters/barmanObjectName")?.as_str()?;
        archives.then_some(Archiver::Plugin(i, store))
    })
}

/// The `ObjectStore` that a `Cluster` archives to, when it does so by the plugin.
pub fn object_store(manifest: &Value) -> Option<&str> {
    match archiver(manifest)? {
        Archiver::Itself(_) => None,
        Archiver::Plugin(_, store) => Some(store),
    }
}

fn destination(postgres: &Postgres) -> String {
    format!("s3://{}/{}", postgres.bucket, postgres.prefix)
}

/// The server that a path of the lineage means.
fn server(postgres: &Postgres, path: &str) -> String {
    let below = path
        .strip_prefix(postgres.prefix.as_str())
        .unwrap_or(path)
        .trim_matches('/');
    match below {
        "" => postgres.stanza.clone(),
        below => format!("{}-{}", postgres.stanza, below.to_lowercase()),
    }
}

/// Where the base backups of a path of the lineage lie in the bucket.
pub fn folder(postgres: &Postgres, path: &str) -> String {
    let folder = format!("{}/{}/base/", postgres.prefix, server(postgres, path));
    folder.trim_start_matches('/').to_owned()
}

pub(super) fn patch(manifest: &Value, store: Option<&Value>, database: &Database<'_>) -> Result<Value, Explained> {
    let postgres = database.postgres;
    let archiver = archiver(manifest).ok_or_else(|| {
        bad(
            database,
            format!("its manifest archives nowhere: it has neither `spec.backup.barmanObjectStore` nor `{PLUGIN}` with `isWALArchiver: true`"),
            "Add the object store to the manifest.",
        )
    })?;
    let (from, to) = (server(postgres, database.source), server(postgres, database.archive));
    let (source, archive) = match archiver {
        Archiver::Itself(own) => (
            json!({"name": SOURCE, "barmanObjectStore": itself(database, own, &from)}),
            json!({"backup": {"barmanObjectStore": {"destinationPath": destination(postgres), "serverName": to}}}),
        ),
        Archiver::Plugin(at, name) => {
            lies_there(database, name, store)?;
            let parameters = json!({"barmanObjectName": name, "serverName": from});
            (
                json!({"name": SOURCE, "plugin": {"name": PLUGIN, "parameters": parameters}}),
                json!({"plugins": plugins(manifest, at, &to)}),
            )
        }
    };
    let others = manifest.pointer("/spec/externalClusters").and_then(Value::as_array);
    let mut external: Vec<Value> = others.cloned().unwrap_or_default();
    external.push(source);
    let mut spec = json!({"bootstrap": bootstrap(manifest, postgres)?, "externalClusters": external});
    if let (Some(spec), Value::Object(archive)) = (spec.as_object_mut(), archive) {
        spec.extend(archive);
    }
    Ok(spec)
}

/// It recovers from nothing but our source; what it would have been initialised with names the application's database.
fn bootstrap(manifest: &Value, postgres: &Postgres) -> Result<Value, Explained> {
    let target = postgres.point()?.map(|point| json!({"targetTime": point.to_string()}));
    let mut recovery = json!({"source": SOURCE, "backup": null, "volumeSnapshots": null, "recoveryTarget": target});
    if let Some(fields) = recovery.as_object_mut() {
        for field in ["database", "owner", "secret"] {
            let said = manifest.pointer(&format!("/spec/bootstrap/initdb/{field}"));
            fields.extend(said.map(|value| (field.to_owned(), value.clone())));
        }
    }
    Ok(json!({"initdb": null, "pg_basebackup": null, "recovery": recovery}))
}

fn itself(database: &Database<'_>, own: &Value, from: &str) -> Value {
    let name = source_secret(database.treasure);
    let key = |key: &str| json!({"name": name, "key": key});
    let mut store = json!({
        "destinationPath": destination(database.postgres),
        "serverName": from,
        "s3Credentials": {"accessKeyId": key("ACCESS_KEY_ID"), "secretAccessKey": key("ACCESS_SECRET_KEY"), "region": key("REGION")},
    });
    if let (Some(fields), Some(url)) = (store.as_object_mut(), &database.postgres.endpoint) {
        fields.insert("endpointURL".into(), url.as_str().trim_end_matches('/').into());
        // Its own word on the authority of that endpoint holds for both ends.
        fields.extend(own.get("endpointCA").map(|ca| ("endpointCA".to_owned(), ca.clone())));
    }
    store
}

/// A list of a custom resource is replaced by a patch: every plugin is said again.
fn plugins(manifest: &Value, at: usize, to: &str) -> Value {
    let mut plugins = manifest.pointer("/spec/plugins").cloned().unwrap_or_default();
    let parameters = plugins.pointer_mut(&format!("/{at}/parameters"));
    if let Some(parameters) = parameters.and_then(Value::as_object_mut) {
        parameters.insert("serverName".into(), to.into());
    }
    plugins
}

/// An archive elsewhere would never be found by the next rebirth.
fn lies_there(database: &Database<'_>, name: &str, store: Option<&Value>) -> Result<(), Explained> {
    let wanted = destination(database.postgres);
    let said = store.and_then(|s| s.pointer("/spec/configuration/destinationPath")?.as_str());
    if said.is_some_and(|said| said.trim_end_matches('/') == wanted.trim_end_matches('/')) {
        return Ok(());
    }
    let said = said.map_or_else(
        || "no manifest of the repository holds it".to_owned(),
        |said| format!("its `destinationPath` is `{said}`, and castle.yaml says `{wanted}`"),
    );
    Err(bad(
        database,
        format!("it archives to the ObjectStore {}/{name}: {said}", database.namespace),
        "Make both say the same, without variables: the next rebirth looks there.",
    ))
}
