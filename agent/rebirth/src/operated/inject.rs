//! What a rebirth changes in the repository's objects for one database of an operator. Pure: manifests in, changes out.

use serde_json::Value;
use skykeep_core::{
    Explained, Trouble,
    castle::{DatabaseOperator, Postgres, Treasure},
};
use skykeep_gitops::{Document, Injection, Layout};
use skykeep_restore::operator::{self, Database};

/// The group and kind of the plugin's object stores.
const STORE: (&str, &str) = ("barmancloud.cnpg.io", "ObjectStore");

/// A treasure that is a database under an operator.
#[derive(Clone, Copy)]
pub(crate) struct Operated<'a> {
    pub(super) treasure: &'a Treasure,
    pub(super) postgres: &'a Postgres,
    pub(super) operator: DatabaseOperator,
}

/// The treasure as a database under an operator, if it is one.
pub(crate) fn of(treasure: &Treasure) -> Option<Operated<'_>> {
    let postgres = treasure.postgres.as_ref()?;
    Some(Operated {
        treasure,
        postgres,
        operator: postgres.operator?,
    })
}

impl<'a> Operated<'a> {
    pub(super) fn database(self, (source, archive): (&'a str, &'a str), back: bool) -> Database<'a> {
        Database {
            treasure: &self.treasure.name,
            namespace: &self.treasure.namespace,
            name: &self.treasure.claim,
            operator: self.operator,
            postgres: self.postgres,
            source,
            archive,
            back,
        }
    }

    /// Its manifest, and that of the object store which the manifest names.
    pub(super) fn manifest(self, layout: &Layout) -> Result<(&Document, Option<&Document>), Trouble> {
        let namespace = self.treasure.namespace.as_str();
        let (group, kind) = (self.operator.group(), self.operator.kind());
        let found = layout.find(group, kind, (namespace, &self.treasure.claim));
        let manifest = found.ok_or_else(|| absent(self))?;
        let (group, kind) = STORE;
        let store = operator::object_store(&manifest.value);
        Ok((
            manifest,
            store.and_then(|store| layout.find(group, kind, (namespace, store))),
        ))
    }

    /// What has to be changed in the repository's objects for it. Pure.
    pub(super) fn injections(
        self,
        layout: &Layout,
        places: (&str, &str),
        back: bool,
    ) -> Result<Vec<Injection>, Trouble> {
        let (manifest, store) = self.manifest(layout)?;
        let database = self.database(places, back);
        let mut injections = vec![Injection {
            group: self.operator.group().into(),
            kind: self.operator.kind().into(),
            namespace: self.treasure.namespace.clone(),
            name: self.treasure.claim.clone(),
            spec: operator::patch(&manifest.value, store.map(|s| &s.value), &database)?,
            why: format!(
                "treasure `{}` comes from {} and archives to {}",
                self.treasure.name, places.0, places.1
            ),
        }];
        if !back && self.operator == DatabaseOperator::CloudNativePg {
            injections.extend(self.schedules(layout));
        }
        Ok(injections)
    }

    /// CloudNativePG's schedules of this database, which are objects of their own.
    fn schedules(self, layout: &Layout) -> Vec<Injection> {
        let group = self.operator.group();
        let mine = layout.find_all(group, "ScheduledBackup").filter(|one| {
            let of = one.value.pointer("/spec/cluster/name").and_then(Value::as_str);
            one.namespace() == self.treasure.namespace && of == Some(&self.treasure.claim)
        });
        mine.map(|one| Injection {
            group: group.into(),
            kind: one.kind().into(),
            namespace: one.namespace().into(),
            name: one.name().into(),
            spec: serde_json::json!({"suspend": true}),
            why: format!("treasure `{}` is not back yet", self.treasure.name),
        })
        .collect()
    }
}

fn absent(one: Operated<'_>) -> Explained {
    Explained {
        what: format!("`{}` can't be restored", one.treasure.name),
        why: format!(
            "no manifest of the repository holds {} {}/{}, so its operator can't be told where the backup is",
            one.operator.kind(),
            one.treasure.namespace,
            one.treasure.claim
        ),
        remedy: "Mend `namespace` and `claim` of the treasure in castle.yaml (`claim` is the resource's name), or add the manifest.".into(),
    }
}
