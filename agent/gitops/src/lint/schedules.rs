//! Schedules of backups that select nothing: they run every night, and are green.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Finding, Lint, claims::meet, walk};
use crate::repository::{Document, list, text};

/// The group in which Longhorn puts every volume that no other job selects.
const EVERYBODY: &str = "default";

impl Lint<'_> {
    pub(super) fn schedules(&mut self) {
        for document in self.documents.clone() {
            let found = match (document.group(), document.kind()) {
                ("longhorn.io", "RecurringJob") => self.recurring(&document),
                ("velero.io", "Schedule") => self.velero(&document),
                ("volsync.backube", "ReplicationSource") => self.volsync(&document),
                _ => None,
            };
            let Some((pointer, selects, remedy)) = found else {
                continue;
            };
            let what = format!(
                "{} `{}` selects {selects}, so it backs up nothing",
                document.kind(),
                document.name()
            );
            let place = self.at(&document, pointer);
            self.say(Finding::risk(place, what, remedy));
        }
    }

    /// A volume joins by a label of its own or of its claim, or by its class.
    fn recurring(&self, job: &Document) -> Option<(&'static str, String, &'static str)> {
        let groups: Vec<&str> = list(&job.value, "/spec/groups")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        if groups.contains(&EVERYBODY) {
            return None;
        }
        let joins = |document: &Document| {
            let mut found = false;
            walk(&document.value, "", &mut |pointer, value| {
                let by_label = value.as_str() == Some("enabled")
                    && (pointer.ends_with(&format!("/recurring-job.longhorn.io~1{}", job.name()))
                        || groups
                            .iter()
                            .any(|g| pointer.ends_with(&format!("/recurring-job-group.longhorn.io~1{g}"))));
                found |= by_label;
                !found
            });
            found || self.class_joins(document, job.name(), &groups)
        };
        if self.documents.iter().any(joins) {
            return None;
        }
        let named = match groups.as_slice() {
            [] => format!(
                "volumes that are labelled for the job `{}`, and there is none",
                job.name()
            ),
            groups => format!("the group `{}`, in which no volume is", groups.join("`, `")),
        };
        let remedy = "Name it in a StorageClass (`recurringJobSelector`), label the claims (`recurring-job-group.longhorn.io/<group>: enabled`), or list the group `default`.";
        Some(("/spec/groups", named, remedy))
    }

    fn class_joins(&self, class: &Document, job: &str, groups: &[&str]) -> bool {
        let selector = text(&class.value, "/parameters/recurringJobSelector");
        let Ok(Value::Array(entries)) = serde_json::from_str(selector) else {
            return false;
        };
        entries.iter().any(|entry| {
            let name = text(entry, "/name");
            match entry.get("isGroup") == Some(&Value::Bool(true)) {
                true => groups.contains(&name),
                false => name == job,
            }
        })
    }

    fn velero(&self, schedule: &Document) -> Option<(&'static str, String, &'static str)> {
        let pointer = "/spec/template/includedNamespaces";
        let named: BTreeSet<&str> = list(&schedule.value, pointer)
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let all = named.is_empty() || named.iter().any(|n| n.contains('*') || n.contains("${"));
        let claims = self.claims();
        if all || claims.iter().any(|c| named.contains(c.namespace.as_str())) {
            return None;
        }
        let named: Vec<&str> = named.into_iter().collect();
        let selects = format!(
            "the namespaces `{}`, in which nothing makes a claim",
            named.join("`, `")
        );
        Some((pointer, selects, "Mend `includedNamespaces`, or take the schedule out."))
    }

    fn volsync(&self, source: &Document) -> Option<(&'static str, String, &'static str)> {
        let claim = text(&source.value, "/spec/sourcePVC");
        let known = |name: &str, namespace: &str| namespace == source.namespace() && meet(name, claim);
        if claim.is_empty() || claim.contains("${") || self.claims().iter().any(|c| known(&c.name, &c.namespace)) {
            return None;
        }
        let selects = format!("the claim `{}/{claim}`, which nothing makes", source.namespace());
        Some(("/spec/sourcePVC", selects, "Mend `sourcePVC`, or take it out."))
    }
}
