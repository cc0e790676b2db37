//! Crunchy's PGO: `spec.dataSource.pgbackrest`. It looks there until it has noted in the resource's status that the data folder is
//! filled, and a source that comes to a running database later tears that one down to restore over it. So it must be there from
//! the beginning, and it is taken away when the database is back: a status that gets lost restores nothing then.

use serde_json::{Value, json};
use skykeep_core::Explained;

use super::{Database, bad, source_secret};

pub(super) fn patch(manifest: &Value, database: &Database<'_>) -> Result<Value, Explained> {
    let repositories = manifest
        .pointer("/spec/backups/pgbackrest/repos")
        .and_then(Value::as_array);
    let repositories = repositories.filter(|list| !list.is_empty()).ok_or_else(|| {
        bad(
            database,
            "its manifest archives nowhere: it has no `spec.backups.pgbackrest.repos`",
            "Add the repository that it archives to.",
        )
    })?;
    // Each repository gets a path of its own: a second one, kept elsewhere, must not be written by two castles either.
    let mut global = serde_json::Map::new();
    let mut repos = Vec::new();
    for repository in repositories {
        let mut repository = repository.clone();
        let name = repository.get("name").and_then(Value::as_str).unwrap_or("repo1");
        if repository.get("volume").is_none() {
            global.insert(format!("{name}-path"), rooted(database.archive).into());
        }
        if let (false, Some(fields)) = (database.back, repository.as_object_mut()) {
            fields.remove("schedules");
        }
        repos.push(repository);
    }
    let source = if database.back { Value::Null } else { source(database)? };
    Ok(json!({"dataSource": source, "backups": {"pgbackrest": {"global": global, "repos": repos}}}))
}

fn rooted(path: &str) -> String {
    format!("/{}", path.trim_matches('/'))
}

fn source(database: &Database<'_>) -> Result<Value, Explained> {
    let postgres = database.postgres;
    let (endpoint, port) = match &postgres.endpoint {
        None => (format!("s3.{}.amazonaws.com", postgres.region), None),
        Some(url) => (url.host_str().unwrap_or_default().to_owned(), url.port()),
    };
    let mut from = json!({"repo1-path": rooted(database.source), "repo1-s3-uri-style": "path"});
    if let Some(fields) = from.as_object_mut() {
        fields.extend(port.map(|port| ("repo1-storage-port".to_owned(), port.to_string().into())));
        let encrypted = postgres.cipher_pass.as_ref();
        fields.extend(encrypted.map(|_| ("repo1-cipher-type".to_owned(), "aes-256-cbc".into())));
    }
    // The operator adds `--target-action=promote` by itself, and refuses to be told it.
    let options = match postgres.point()? {
        None => Vec::new(),
        Some(point) => vec![
            "--type=time".to_owned(),
            format!("--target=\"{}\"", crate::postgres::for_pgbackrest(point)),
        ],
    };
    Ok(json!({
        "postgresCluster": null,
        "pgbackrest": {
            "stanza": postgres.stanza,
            "configuration": [{"secret": {"name": source_secret(database.treasure)}}],
            "global": from,
            "options": options,
            "repo": {"name": "repo1", "s3": {"bucket": postgres.bucket, "endpoint": endpoint, "region": postgres.region}},
        },
    }))
}

/// Whether a living resource's source is ours.
pub(super) fn is_ours(live: &Value, database: &Database<'_>) -> bool {
    let path = live.pointer("/spec/dataSource/pgbackrest/global/repo1-path");
    path.and_then(Value::as_str) == Some(&rooted(database.source))
}
