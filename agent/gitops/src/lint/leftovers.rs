//! Maintenance left in the repository: what somebody switched off for an evening would stay off in the new castle.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Finding, HELM, KUSTOMIZE, Lint, Place, walk};
use crate::repository::{Document, list};

/// Words before the colon of a line that was commented out and held a schedule.
const SCHEDULES: [&str; 6] = ["schedule", "schedules", "full", "differential", "incremental", "cron"];

/// What a comment hides, when it hides a schedule.
fn hidden_schedule(line: &str) -> Option<&str> {
    let comment = line.trim_start().strip_prefix('#')?.trim_start_matches('#').trim();
    let (key, value) = comment.trim_start_matches("- ").split_once(':')?;
    let field = |w: &str| w.contains('*') || w.starts_with(|c: char| c.is_ascii_digit());
    let cron = |v: &str| {
        let words: Vec<&str> = v.trim().trim_matches(['"', '\'']).split_whitespace().collect();
        words.len() == 5 && words.into_iter().all(field)
    };
    let named = SCHEDULES.contains(&key.trim());
    // `full: "0 1 * * 0"` is a schedule; `full: of words` is a sentence.
    (named && (cron(value) || key.trim() == "schedules" && value.trim().is_empty())).then_some(comment)
}

impl Lint<'_> {
    pub(super) fn leftovers(&mut self) {
        for document in self.documents.clone() {
            self.suspended(&document);
            self.shut_down(&document);
            self.replicas(&document);
        }
        let files: BTreeSet<String> = self.documents.iter().map(|d| d.file.clone()).collect();
        let mut said = Vec::new();
        for file in files {
            let mut above = false;
            for (i, line) in self.file(&file).lines().enumerate() {
                let hidden = hidden_schedule(line);
                // Of several lines in a row only the first is told.
                let Some(hidden) = hidden.filter(|_| !std::mem::replace(&mut above, hidden.is_some())) else {
                    continue;
                };
                let place = Place {
                    line: u64::try_from(i).ok().map(|n| n + 1),
                    file: file.clone(),
                };
                let what = format!("a schedule is commented out: `{hidden}`");
                said.push(Finding::risk(
                    place,
                    what,
                    "Put it back, or delete the line if it is not meant any more: without it nothing new is backed up.",
                ));
            }
        }
        self.findings.extend(said);
    }

    fn suspended(&mut self, document: &Document) {
        if document.value.pointer("/spec/suspend") != Some(&Value::Bool(true)) {
            return;
        }
        let place = self.at(document, "/spec/suspend");
        let (kind, name) = (document.kind(), document.name());
        let remedy = "Take `suspend: true` out, if it is not meant.";
        let flux = document.group() == KUSTOMIZE || document.group() == HELM;
        // Automation that is suspended writes nothing to Git in a rescue: good.
        if kind == "ImageUpdateAutomation" {
            return;
        }
        let what = if flux {
            format!("{kind} `{name}` is suspended, so nothing of it will come back")
        } else {
            format!("{kind} `{name}` is suspended, so it will not run")
        };
        self.say(Finding::risk(place, what, remedy));
    }

    /// `shutdown: true` of a database operator, and workloads at zero.
    fn shut_down(&mut self, document: &Document) {
        let is_operators = document.group().contains('.');
        let mut shut = Vec::new();
        if is_operators && let Some(spec) = document.value.pointer("/spec") {
            walk(spec, "/spec", &mut |pointer, value| {
                let key = pointer.rsplit('/').next().unwrap_or_default();
                if matches!(key, "shutdown" | "hibernation" | "paused") && *value == Value::Bool(true) {
                    shut.push((key.to_owned(), pointer.to_owned()));
                }
                true
            });
        }
        for (key, pointer) in shut {
            let what = format!(
                "{} `{}` has `{key}: true`: it would come back switched off",
                document.kind(),
                document.name()
            );
            let place = self.at(document, &pointer);
            self.say(Finding::risk(
                place,
                what,
                format!("Take `{key}: true` out, or pin an older commit in `gitops.revision`."),
            ));
        }
        let workload = document.group() == "apps" && matches!(document.kind(), "Deployment" | "StatefulSet");
        if workload && document.value.pointer("/spec/replicas").and_then(Value::as_u64) == Some(0) {
            let what = format!("{} `{}` has `replicas: 0`", document.kind(), document.name());
            let place = self.at(document, "/spec/replicas");
            self.say(Finding::warning(
                place,
                what,
                "Set it to what it was, if 0 is not meant.",
            ));
        }
    }

    /// More copies, each on a node of its own, than there will be nodes.
    fn replicas(&mut self, document: &Document) {
        let Some(castle) = self.castle() else {
            return;
        };
        let nodes = u64::from(castle.cloud.workers());
        let remedy = format!(
            "Lower it, or raise `{}` in castle.yaml.",
            castle.cloud.field("workers.count")
        );
        let number = |v: &Value| v.as_u64().or_else(|| v.as_str()?.parse().ok());
        let mut many = Vec::new();
        let anti = "/spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
        if !list(&document.value, anti).is_empty() {
            many.push(("/spec/replicas", "replicas, each on another node"));
        }
        match document.kind() {
            "StorageClass" => many.push(("/parameters/numberOfReplicas", "replicas of each volume")),
            "HelmRelease" => many.extend([
                (
                    "/spec/values/defaultSettings/defaultReplicaCount",
                    "replicas of each volume",
                ),
                (
                    "/spec/values/persistence/defaultClassReplicaCount",
                    "replicas of each volume",
                ),
            ]),
            _ => {}
        }
        for (pointer, of) in many {
            let Some(count) = document.value.pointer(pointer).and_then(number).filter(|c| *c > nodes) else {
                continue;
            };
            let what = format!(
                "{} `{}` wants {count} {of}, and the castle has {nodes} workers",
                document.kind(),
                document.name()
            );
            let place = self.at(document, pointer);
            self.say(Finding::risk(place, what, remedy.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_schedules_that_were_commented_out_are_found() {
        assert_eq!(
            hidden_schedule("      #   full: \"0 1 * * 0\""),
            Some("full: \"0 1 * * 0\"")
        );
        assert!(hidden_schedule("# schedules:").is_some() && hidden_schedule("# - cron: '0 3 * * *'").is_some());
        assert!(hidden_schedule("  full: \"0 1 * * 0\"").is_none());
        assert!(hidden_schedule("# full: of words that mean something").is_none());
    }
}
