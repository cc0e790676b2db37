use super::*;

const CASTLE: &str = include_str!("../../../../tests/castle/castle.yaml");

fn postgres(operator: &str, more: &str) -> Postgres {
    let (head, rest) = CASTLE.split_once("      stanza: main\n").unwrap();
    let (_, tail) = rest.split_once("      checks:\n").unwrap();
    let tail = tail.replace("      roles:\n        shop: infisical:SHOP_DATABASE_PASSWORD\n", "");
    let text = format!("{head}      stanza: db\n      operator: {operator}\n{more}      checks:\n{tail}");
    let castle = skykeep_core::castle::Castle::parse(&text).unwrap();
    castle.treasures.into_iter().find_map(|t| t.postgres).unwrap()
}

fn database(postgres: &Postgres) -> Database<'_> {
    Database {
        treasure: "db",
        namespace: "db",
        name: "home-db",
        operator: postgres.operator.unwrap(),
        postgres,
        source: "pgbackrest/01A",
        archive: "pgbackrest/01B",
        back: false,
    }
}

/// The first user's manifest: its restore source is gone.
fn crunchy() -> Value {
    json!({"spec": {"postgresVersion": 17, "backups": {"pgbackrest": {
        "configuration": [{"secret": {"name": "s3-backrest-creds"}}],
        "global": {"repo1-path": "/pgbackrest/repo1"},
        "repos": [{"name": "repo1", "schedules": {"full": "0 1 * * 0"}, "s3": {"bucket": "rossi-storage", "region": "eu-central-1"}}],
    }}}})
}

#[test]
fn pgo_restores_from_the_lineage_and_archives_elsewhere() {
    let postgres = postgres("crunchy", "      target: 2026-11-30T08:15:00+01:00\n");
    let database = database(&postgres);
    let patch = patch(&crunchy(), None, &database).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&patch).unwrap());
    let back = Database { back: true, ..database };
    let later = super::patch(&crunchy(), None, &back).unwrap();
    assert_eq!(
        later["backups"]["pgbackrest"]["repos"][0]["schedules"]["full"],
        "0 1 * * 0"
    );
    assert_eq!(
        later["dataSource"],
        Value::Null,
        "a status that is lost must not restore over newer data"
    );
    assert_eq!(
        later["backups"]["pgbackrest"]["global"],
        patch["backups"]["pgbackrest"]["global"]
    );
    insta::assert_snapshot!(super::patch(&json!({"spec": {}}), None, &database).unwrap_err());
    assert_eq!(version(&crunchy(), database.operator).as_deref(), Some("17"));
}

fn cluster() -> Value {
    json!({"spec": {
        "imageName": "ghcr.io/cloudnative-pg/postgresql:17.2",
        "bootstrap": {"initdb": {"database": "shop", "owner": "shop", "secret": {"name": "shop-database"}}},
        "externalClusters": [{"name": "other"}],
    }})
}

fn by_itself() -> Value {
    let mut manifest = cluster();
    manifest["spec"]["backup"] = json!({"barmanObjectStore": {"destinationPath": "s3://rossi-backups/old"}});
    manifest
}

fn by_plugin() -> Value {
    let mut manifest = cluster();
    manifest["spec"]["plugins"] = json!([
        {"name": "other.example"},
        {"name": "barman-cloud.cloudnative-pg.io", "isWALArchiver": true, "parameters": {"barmanObjectName": "store"}},
    ]);
    manifest
}

fn store(path: &str) -> Value {
    json!({"spec": {"configuration": {"destinationPath": path}}})
}

#[test]
fn cloudnative_pg_recovers_from_an_external_cluster_and_archives_as_another_server() {
    let postgres = postgres("cloudnative-pg", "      target: 2026-11-30T08:15:00+01:00\n");
    let database = database(&postgres);
    let patch = patch(&by_itself(), None, &database).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&patch).unwrap());
    insta::assert_snapshot!(super::patch(&json!({"spec": {"plugins": []}}), None, &database).unwrap_err());
    assert_eq!(version(&by_itself(), database.operator).as_deref(), Some("17"));
    let first = Database {
        source: "pgbackrest",
        archive: "pgbackrest/01A",
        ..database
    };
    let first = super::patch(&by_itself(), None, &first).unwrap();
    assert_eq!(first["externalClusters"][1]["barmanObjectStore"]["serverName"], "db");
    assert_eq!(first["backup"]["barmanObjectStore"]["serverName"], "db-01a");
    assert_eq!(folder(&postgres, "pgbackrest"), "pgbackrest/db/base/");
    assert_eq!(folder(&postgres, "pgbackrest/01A"), "pgbackrest/db-01a/base/");
}

#[test]
fn an_object_store_of_the_plugin_stays_as_it_is() {
    let postgres = postgres("cloudnative-pg", "");
    let database = database(&postgres);
    let manifest = by_plugin();
    assert_eq!(object_store(&manifest), Some("store"));
    let told = |store: Option<&Value>| patch(&manifest, store, &database);
    let there = told(Some(&store("s3://rossi-backups/pgbackrest/"))).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&there).unwrap());
    insta::assert_snapshot!(told(Some(&store("s3://rossi-backups/${folder}"))).unwrap_err());
    insta::assert_snapshot!(told(None).unwrap_err());
}

fn with(spec: Value, conditions: &[(&str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status)| json!({"type": kind, "status": status, "reason": "Why", "message": "words"}))
        .collect();
    json!({"spec": spec, "status": {"conditions": conditions}})
}

#[test]
fn only_the_operators_own_word_ends_the_wait() {
    let postgres = postgres("crunchy", "");
    let database = database(&postgres);
    let judge = |object: &Value| super::judge(object, &database);
    let spec = json!({"dataSource": {"pgbackrest": {"global": {"repo1-path": "/pgbackrest/01A"}}}});
    let initialised = ("PostgresDataInitialized", "True");
    let working = |words: &str| Ok(State::Working(words.into()));
    assert_eq!(
        judge(&with(spec.clone(), &[])),
        working("no word of PostgresDataInitialized yet")
    );
    assert_eq!(
        judge(&with(spec.clone(), &[("PostgresDataInitialized", "False")])),
        working("PostgresDataInitialized: Why words")
    );
    assert_eq!(
        judge(&with(spec.clone(), &[initialised])),
        working("no word of PGBackRestReplicaCreate yet"),
        "no backup on the new path"
    );
    let both = [initialised, ("PGBackRestReplicaCreate", "True")];
    assert_eq!(judge(&with(spec, &both)), Ok(State::Ready));
    // Ready, but born empty, or from somewhere else: never a success.
    assert!(judge(&with(json!({}), &both)).is_err());
    let elsewhere = json!({"dataSource": {"pgbackrest": {"global": {"repo1-path": "/pgbackrest"}}}});
    assert!(judge(&with(elsewhere, &both)).is_err());
}

#[test]
fn a_cluster_that_was_initialised_empty_is_no_success() {
    let postgres = postgres("cloudnative-pg", "");
    let judge = |bootstrap: Value| {
        super::judge(
            &with(json!({"bootstrap": bootstrap}), &[("Ready", "True")]),
            &database(&postgres),
        )
    };
    assert!(judge(json!({"initdb": {}})).is_err());
    assert_eq!(
        judge(json!({"recovery": {"source": "skykeep-source"}})),
        Ok(State::Ready)
    );
}
