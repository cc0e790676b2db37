//! Every claim is accounted for: it receives a treasure, or the castle file says that it may be lost.

use std::fmt;

use serde_json::Value;
use skykeep_core::castle::{Castle, Treasure};

use super::{Finding, HELM, Lint, databases::is_database, releases::target, walk};
use crate::repository::{Document, list, normal, text};

/// Fields of custom resources and chart values that ask for a volume.
const ASKING: [&str; 9] = [
    "volumeClaimTemplate",
    "volumeClaimTemplates",
    "volumeClaimSpec",
    "dataVolumeClaimSpec",
    "walVolumeClaimSpec",
    "persistence",
    "persistentVolume",
    "storageSpec",
    "dataStorage",
];

/// A claim that something in the repository makes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claim {
    pub(super) namespace: String,
    /// Its name; a `*` at its end where only the operator or the chart knows the rest.
    pub(super) name: String,
    /// Who makes it.
    pub(super) maker: Document,
    /// Where in its maker.
    pointer: String,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether two names, each perhaps ending in `*`, can mean the same claim.
pub(super) fn meet(a: &str, b: &str) -> bool {
    match (a.strip_suffix('*'), b.strip_suffix('*')) {
        (None, None) => a == b,
        (Some(a), None) => b.starts_with(a),
        (None, Some(b)) => a.starts_with(b),
        (Some(a), Some(b)) => a.starts_with(b) || b.starts_with(a),
    }
}

/// Where a value asks for a volume; `None` when it does not.
fn asks(value: &Value, from: &str) -> Option<String> {
    let mut found = None;
    walk(value.pointer(from)?, from, &mut |pointer, inner| {
        let key = pointer.rsplit('/').next().unwrap_or_default();
        let off = inner.get("enabled") == Some(&Value::Bool(false)) || inner.is_null();
        // Helm values that use somebody else's claim make none.
        let other = inner
            .get("existingClaim")
            .and_then(Value::as_str)
            .is_some_and(|c| !c.is_empty());
        // CloudNativePG and its like: `storage: {size: 1Gi}`.
        let sized = key == "storage" && inner.get("size").is_some();
        // A generic ephemeral volume dies with its pod.
        let ephemeral = pointer.contains("/ephemeral/");
        if found.is_none() && !off && !other && !ephemeral && (ASKING.contains(&key) || sized) {
            found = Some(pointer.to_owned());
        }
        found.is_none() && !off
    });
    found
}

impl Lint<'_> {
    /// Every claim that something in the repository makes, as far as it can be seen from here.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for document in &self.documents {
            let mut add = |namespace: &str, name: String, pointer: &str| {
                claims.push(Claim {
                    namespace: namespace.to_owned(),
                    name,
                    maker: document.clone(),
                    pointer: pointer.to_owned(),
                });
            };
            let here = document.namespace();
            match (document.group(), document.kind()) {
                ("", "PersistentVolumeClaim") => add(here, document.name().to_owned(), ""),
                ("apps", "StatefulSet") => {
                    let replicas = document
                        .value
                        .pointer("/spec/replicas")
                        .and_then(Value::as_u64)
                        .unwrap_or(1);
                    for (i, template) in list(&document.value, "/spec/volumeClaimTemplates").iter().enumerate() {
                        for n in 0..replicas.min(100) {
                            let name = format!("{}-{}-{n}", text(template, "/metadata/name"), document.name());
                            add(here, name, &format!("/spec/volumeClaimTemplates/{i}"));
                        }
                    }
                }
                (HELM, "HelmRelease") => {
                    let values = asks(&document.value, "/spec/values");
                    if let Some(pointer) =
                        values.or_else(|| self.chart_makes_claims(document).then(|| "/spec/chart".into()))
                    {
                        add(target(document), format!("{}*", release_name(document)), &pointer);
                    }
                }
                (group, _) if group.contains('.') && !group.ends_with(".k8s.io") && !group.ends_with("fluxcd.io") => {
                    if let Some(pointer) = asks(&document.value, "/spec") {
                        add(here, format!("{}*", document.name()), &pointer);
                    }
                }
                _ => {}
            }
        }
        claims
    }

    /// Whether the templates of a chart in this repository hold a claim.
    fn chart_makes_claims(&self, release: &Document) -> bool {
        let Some(folder) = self.local_chart(release).and_then(|c| normal("", c)) else {
            return false;
        };
        let prefix = format!("{folder}/templates/");
        let files = self.repository.files.range(prefix.clone()..);
        files.take_while(|(f, _)| f.starts_with(&prefix)).any(|(_, bytes)| {
            let text = String::from_utf8_lossy(bytes);
            text.contains("kind: PersistentVolumeClaim") || text.contains("volumeClaimTemplates:")
        })
    }

    pub(super) fn accounts(&mut self) {
        let Some(castle) = self.contract.map(|c| c.castle) else {
            return;
        };
        let claims = self.claims();
        for claim in &claims {
            // Databases of operators have a judge of their own.
            if !is_database(&claim.maker) && !accounted(castle, claim) {
                let what = format!(
                    "the claim {claim} receives no treasure, so its application would start on an empty volume"
                );
                let place = self.at(&claim.maker, &claim.pointer);
                let remedy = format!(
                    "Name its backup under `treasures` in castle.yaml, or say there that it may be lost: `disposable: [{{namespace: {}, claim: {}, why: ...}}]`.",
                    claim.namespace, claim.name
                );
                self.say(Finding::risk(place, what, remedy));
            }
        }
        let claimed = |t: &Treasure| t.postgres.as_ref().is_none_or(|p| p.operator.is_none());
        for (i, treasure) in castle.treasures.iter().enumerate().filter(|(_, t)| claimed(t)) {
            let mine = |c: &&Claim| c.namespace == treasure.namespace;
            if claims.iter().filter(mine).any(|c| meet(&c.name, &treasure.claim)) {
                continue;
            }
            let place = self.in_castle(&format!("/treasures/{i}/claim"));
            let what = format!(
                "treasure `{}` goes into the claim {}/{}, which no manifest of the repository makes",
                treasure.name, treasure.namespace, treasure.claim
            );
            // A chart from elsewhere may make it.
            let unseen = self
                .documents
                .iter()
                .any(|d| d.is(HELM, "HelmRelease") && target(d) == treasure.namespace && self.local_chart(d).is_none());
            self.say(if unseen {
                Finding::warning(
                    place,
                    what,
                    "If none of the charts in that namespace makes it either, mend `treasures.claim`.",
                )
            } else {
                Finding::error(
                    place,
                    what,
                    "Mend `treasures.claim`, or add the claim to the repository.",
                )
            });
        }
        for (i, disposable) in castle.disposable.iter().enumerate() {
            let known = claims
                .iter()
                .any(|c| c.namespace == disposable.namespace && meet(&c.name, &disposable.claim));
            if !known {
                let what = format!(
                    "`{}/{}` is declared disposable, but nothing makes such a claim any more",
                    disposable.namespace, disposable.claim
                );
                let place = self.in_castle(&format!("/disposable/{i}"));
                self.say(Finding::warning(
                    place,
                    what,
                    "Take it out of `disposable`, or mend the name.",
                ));
            }
        }
    }
}

fn release_name(release: &Document) -> &str {
    match text(&release.value, "/spec/releaseName") {
        "" => release.name(),
        name => name,
    }
}

fn accounted(castle: &Castle, claim: &Claim) -> bool {
    // What a chart or an operator calls its claims is not known: any name that holds the maker's will do.
    let guessed = claim.name.strip_suffix('*');
    let fits = |namespace: &str, name: &str| {
        namespace == claim.namespace && (meet(&claim.name, name) || guessed.is_some_and(|g| name.contains(g)))
    };
    castle.treasures.iter().any(|t| fits(&t.namespace, &t.claim))
        || castle.disposable.iter().any(|d| fits(&d.namespace, &d.claim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_star_meet_what_begins_like_them() {
        assert!(meet("data-db-0", "data-db-*") && meet("db*", "db-instance-x") && meet("a*", "ab*"));
        assert!(!meet("data-db-0", "data-db-1") && !meet("b*", "a*"));
    }

    #[test]
    fn a_volume_is_asked_for_only_when_it_is_switched_on() {
        let asked = |json: Value| asks(&json, "/spec");
        let on = serde_json::json!({"spec": {"primary": {"persistence": {"size": "8Gi"}}}});
        assert_eq!(asked(on).as_deref(), Some("/spec/primary/persistence"));
        for off in [
            serde_json::json!({"spec": {"persistence": {"enabled": false}}}),
            serde_json::json!({"spec": {"persistence": {"existingClaim": "data"}}}),
            serde_json::json!({"spec": {"storage": "none"}}),
        ] {
            assert_eq!(asked(off), None);
        }
    }
}
