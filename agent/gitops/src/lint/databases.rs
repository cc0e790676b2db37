//! Databases that an operator runs: each one is a treasure, or would be born empty; and somebody waits for it.

use serde_json::Value;
use skykeep_core::castle::{Castle, DatabaseOperator, Treasure, WAITS_FOR};

use super::{Finding, Lint, list, pod_of};
use crate::repository::Document;

/// Who runs a resource that is a database of its own. A replica follows another one and is never initialised.
fn operator_of(document: &Document) -> Option<DatabaseOperator> {
    let is_replica = ["/spec/standby/enabled", "/spec/replica/enabled"]
        .iter()
        .any(|pointer| document.value.pointer(pointer) == Some(&Value::Bool(true)));
    let all = DatabaseOperator::ALL.into_iter();
    all.filter(|_| !is_replica).find(|o| document.is(o.group(), o.kind()))
}

pub(super) fn is_database(document: &Document) -> bool {
    operator_of(document).is_some()
}

/// Whether a reborn database of this manifest would archive anywhere.
fn archives(document: &Document, operator: DatabaseOperator) -> bool {
    match operator {
        DatabaseOperator::Crunchy => !list(&document.value, "/spec/backups/pgbackrest/repos").is_empty(),
        DatabaseOperator::CloudNativePg => {
            let plugin = |p: &Value| p.get("isWALArchiver") == Some(&Value::Bool(true));
            document.value.pointer("/spec/backup/barmanObjectStore").is_some()
                || list(&document.value, "/spec/plugins").iter().any(plugin)
        }
    }
}

/// Where its manifest says, or would say, what it is initialised with.
fn begins_at(document: &Document, operator: DatabaseOperator) -> &'static str {
    let pointer = match operator {
        DatabaseOperator::Crunchy => "/spec/dataSource",
        DatabaseOperator::CloudNativePg => "/spec/bootstrap",
    };
    document.value.pointer(pointer).map_or("", |_| pointer)
}

fn operated(treasure: &Treasure) -> Option<DatabaseOperator> {
    treasure.postgres.as_ref()?.operator
}

/// What a pod says that it waits for.
fn waits_for(document: &Document) -> impl Iterator<Item = &str> {
    let template = match (document.group(), document.kind()) {
        ("", "Pod") => "/metadata",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/metadata",
        _ => "/spec/template/metadata",
    };
    let metadata = pod_of(document).and_then(|_| document.value.pointer(template));
    let said = metadata.and_then(|m| m.get("annotations")?.get(WAITS_FOR)?.as_str());
    said.unwrap_or_default().split_whitespace()
}

impl Lint<'_> {
    pub(super) fn databases(&mut self) {
        let Some(castle) = self.contract.map(|c| c.castle) else {
            return;
        };
        for document in self.documents.clone() {
            if let Some(operator) = operator_of(&document) {
                self.database(castle, &document, operator);
            }
        }
        self.absent(castle);
        self.waiting(castle);
    }

    fn database(&mut self, castle: &Castle, document: &Document, operator: DatabaseOperator) {
        let (kind, name, namespace) = (document.kind(), document.name(), document.namespace());
        let here = |t: &&Treasure| t.namespace == namespace && t.claim.contains(name);
        let exact = castle
            .treasures
            .iter()
            .find(|t| t.namespace == namespace && t.claim == name && operated(t) == Some(operator));
        let place = self.at(document, begins_at(document, operator));
        let word = operator.word();
        if exact.is_some() {
            if !archives(document, operator) {
                self.say(Finding::error(
                    place,
                    format!("{kind} `{name}` archives nowhere, so what is written to it after a rebirth would have no backup"),
                    "Add its object store (`spec.backups.pgbackrest.repos`, `spec.backup.barmanObjectStore`, or the Barman Cloud plugin with `isWALArchiver: true`).",
                ));
            }
        } else if let Some(other) = castle.treasures.iter().find(here) {
            self.say(Finding::error(
                place,
                format!("{kind} `{name}` would be initialised empty: its operator makes the claim that treasure `{}` fills", other.name),
                format!("Say `operator: {word}` under `postgres` of that treasure, and `claim: {name}`: then its operator restores it."),
            ));
        } else if !castle
            .disposable
            .iter()
            .any(|d| d.namespace == namespace && d.claim.starts_with(name))
        {
            self.say(Finding::error(
                place,
                format!("{kind} `{name}` is a database that castle.yaml does not name: it would begin empty, on top of its own backups"),
                format!(
                    "Name its backup: `{{name: {name}, namespace: {namespace}, claim: {name}, postgres: {{operator: {word}, ...}}}}` under `treasures`, or say that it may be lost: `disposable: [{{namespace: {namespace}, claim: \"{name}*\", why: ...}}]`."
                ),
            ));
        }
    }

    /// Treasures of operators that have no resource.
    fn absent(&mut self, castle: &Castle) {
        for (i, treasure) in castle.treasures.iter().enumerate() {
            let Some(operator) = operated(treasure) else { continue };
            if self.exists(operator.group(), operator.kind(), &treasure.namespace, &treasure.claim) {
                continue;
            }
            let place = self.in_castle(&format!("/treasures/{i}/claim"));
            self.say(Finding::error(
                place,
                format!(
                    "treasure `{}` is the {} {}/{}, which no manifest of the repository holds (what a chart makes can't be told where its backup is)",
                    treasure.name,
                    operator.kind(),
                    treasure.namespace,
                    treasure.claim
                ),
                "Mend `namespace` and `claim` of the treasure (`claim` is the resource's name), or add the manifest.",
            ));
        }
    }

    /// A pod that waits for what castle.yaml does not know waits for ever; a database that nobody waits for is used before it is verified.
    fn waiting(&mut self, castle: &Castle) {
        let key = |t: &Treasure| format!("{}.{}", t.namespace, t.claim);
        for document in self.documents.clone() {
            let unknown = waits_for(&document).find(|said| castle.treasures.iter().all(|t| key(t) != **said));
            if let Some(unknown) = unknown {
                let place = self.at(&document, "");
                self.say(Finding::error(
                    place,
                    format!(
                        "{} `{}` waits for `{unknown}`, which is no treasure of castle.yaml, so it would wait for ever",
                        document.kind(),
                        document.name()
                    ),
                    format!(
                        "Mend its annotation `{WAITS_FOR}`: `<namespace>.<claim>` of treasures, separated by spaces."
                    ),
                ));
            }
        }
        for (i, treasure) in castle.treasures.iter().enumerate() {
            let wanted = key(treasure);
            if operated(treasure).is_none() || self.documents.iter().any(|d| waits_for(d).any(|said| said == wanted)) {
                continue;
            }
            let place = self.in_castle(&format!("/treasures/{i}/name"));
            self.say(Finding::risk(
                place,
                format!("no pod waits for treasure `{}`: its applications would use the database before it is verified", treasure.name),
                format!("Give the pods that use it the annotation `{WAITS_FOR}: {wanted}` (in the pod template; most charts have a value for it)."),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Contract, Report, lint_with};
    use super::*;
    use crate::repository::Repository;

    /// The first user's shape without the `shutdown` that was left in, and a castle file with `treasure` in the place of the last one.
    fn linted(treasure: &str, change: impl FnOnce(&mut Repository)) -> Report {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/layers");
        let mut repository = Repository::from_folder(&folder).unwrap();
        change(&mut repository);
        let text = include_str!("../../../../tests/castle/castle.yaml").replace("clusters/rossi", "clusters/home");
        let (before, _) = text.split_once("  - name: db\n").unwrap();
        let (_, after) = text.split_once("entry:\n").unwrap();
        let text = format!("{before}{treasure}entry:\n{after}");
        let castle = Castle::parse(&text).unwrap();
        let contract = Contract {
            castle: &castle,
            text: &text,
        };
        lint_with(&repository, Some(contract))
    }

    fn told(report: &Report) -> String {
        let mine = ["PostgresCluster `home-db`", "treasure `db`", "waits for `"];
        let of = report
            .findings
            .iter()
            .filter(|f| mine.iter().any(|m| f.what.contains(m)) && !f.what.contains("shutdown"));
        of.filter(|f| !f.what.contains("does not wait for"))
            .map(|f| format!("{:?} {}: {}\n    -> {}\n", f.severity, f.place(), f.what, f.remedy))
            .collect()
    }

    const OPERATED: &str = "  - name: db
    namespace: db
    claim: home-db
    postgres:
      operator: crunchy
      bucket: b
      prefix: pgbackrest/repo1
      region: r
      accessKeyId: vault:a
      secretAccessKey: vault:b
      stanza: db
";

    fn replace(file: &'static str, from: &'static str, to: &'static str) -> impl FnOnce(&mut Repository) {
        move |repository| {
            let text = String::from_utf8(repository.files[file].clone()).unwrap();
            assert!(text.contains(from), "{file} holds {from}");
            repository
                .files
                .insert(file.into(), text.replacen(from, to, 1).into_bytes());
        }
    }

    const DATABASE: &str = "infrastructure/instances/database.yaml";

    #[test]
    fn a_database_that_castle_yaml_does_not_name_is_an_error() {
        insta::assert_snapshot!(told(&linted("", |_| ())));
        let restic = "  - {name: db, namespace: db, claim: home-db-pgdata, restic: {bucket: b, region: r, accessKeyId: \"vault:a\", \
                      secretAccessKey: \"vault:b\", password: \"vault:c\", path: /}}\n";
        insta::assert_snapshot!(told(&linted(restic, |_| ())));
        let standby = replace(DATABASE, "spec:\n", "spec:\n  standby: {enabled: true}\n");
        assert_eq!(told(&linted("", standby)), "", "it follows another one");
    }

    #[test]
    fn a_database_that_may_be_lost_is_none_to_talk_of() {
        let lost = "disposable:\n  - {namespace: db, claim: \"home-db*\", why: a test}\n";
        assert_eq!(told(&linted(lost, |_| ())), "");
    }

    #[test]
    fn a_named_one_must_archive_and_somebody_must_wait_for_it() {
        insta::assert_snapshot!(told(&linted(OPERATED, |_| ())));
        insta::assert_snapshot!(told(&linted(
            OPERATED,
            replace(DATABASE, "      repos:\n", "      others:\n")
        )));
        insta::assert_snapshot!(told(&linted(
            &OPERATED.replace("claim: home-db", "claim: homer-db"),
            |_| ()
        )));
    }

    #[test]
    fn whoever_waits_must_wait_for_a_treasure() {
        let pod = |waits: &str| {
            let pod = format!(
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: app\n  namespace: web\n  annotations: {{{WAITS_FOR}: \"{waits}\"}}\nspec: {{containers: []}}\n---\n"
            );
            move |repository: &mut Repository| {
                let text = repository.files.get_mut(DATABASE).unwrap();
                *text = [pod.into_bytes(), text.clone()].concat();
            }
        };
        assert_eq!(told(&linted(OPERATED, pod("web.site-content db.home-db"))), "");
        insta::assert_snapshot!(told(&linted(OPERATED, pod("db.homedb"))));
    }
}
