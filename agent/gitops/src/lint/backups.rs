//! Backups that would not be there on the day: on the home network, or with a schedule that selects no volume.

use std::net::IpAddr;

use serde_json::Value;

use skykeep_core::castle::Backup;

use super::{Finding, Lint, walk};
use crate::repository::{Document, text};

/// Fields that say where a backup goes.
const TARGETS: [&str; 8] = [
    "backupTargetURL",
    "backupTarget",
    "endpoint",
    "endpointURL",
    "s3Url",
    "AWS_ENDPOINTS",
    "RESTIC_REPOSITORY",
    "repo1-s3-endpoint",
];

/// The host of a URL or of `host:port`.
fn host(target: &str) -> &str {
    let rest = target.rsplit_once("://").map_or(target, |(_, rest)| rest);
    let rest = rest.strip_prefix("s3:").unwrap_or(rest);
    let end = rest.find(['/', '@', '?']).unwrap_or(rest.len());
    let host = rest.get(..end).unwrap_or_default();
    host.split_once(':').map_or(host, |(h, _)| h)
}

fn at_home(target: &str) -> bool {
    let host = host(target)
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let named = [".local", ".lan", ".home", ".home.arpa", ".internal"]
        .iter()
        .any(|s| host.ends_with(s));
    let address = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(a)) => a.is_private() || a.is_loopback() || a.is_link_local(),
        Ok(IpAddr::V6(a)) => a.is_loopback() || a.is_unique_local(),
        Err(_) => false,
    };
    named || address
}

impl Lint<'_> {
    pub(super) fn backups(&mut self) {
        for document in self.documents.clone() {
            let mut found = Vec::new();
            walk(&document.value, "", &mut |pointer, value| {
                let key = pointer.rsplit('/').next().unwrap_or_default();
                if TARGETS.contains(&key) && value.as_str().is_some_and(at_home) {
                    found.push((pointer.to_owned(), value.as_str().unwrap_or_default().to_owned()));
                }
                true
            });
            for (pointer, target) in found {
                let what = format!(
                    "{} `{}` keeps backups at `{target}`, on the home network",
                    document.kind(),
                    document.name()
                );
                let place = self.at(&document, &pointer);
                self.say(Finding::risk(
                    place,
                    what,
                    "Copy them to a place that outlives the house, and name that one.",
                ));
            }
            self.longhorn(&document);
        }
        self.treasures_at_home();
    }

    fn treasures_at_home(&mut self) {
        let Some(castle) = self.contract.map(|c| c.castle) else {
            return;
        };
        for (i, treasure) in castle.treasures.iter().enumerate() {
            let (kind, endpoint) = match treasure.backup() {
                Some(Backup::Restic(restic)) => ("restic", restic.endpoint.as_ref()),
                Some(Backup::Longhorn(longhorn)) => ("longhorn", longhorn.endpoint.as_ref()),
                Some(Backup::Postgres(postgres)) => ("postgres", postgres.endpoint.as_ref()),
                None => continue,
            };
            let Some(endpoint) = endpoint.filter(|e| at_home(e.as_str())) else {
                continue;
            };
            let what = format!(
                "the backup of treasure `{}` lies at `{endpoint}`, on the home network",
                treasure.name
            );
            let place = self.in_castle(&format!("/treasures/{i}/{kind}/endpoint"));
            self.say(Finding::risk(
                place,
                what,
                "Copy it to a place that outlives the house, and name that one.",
            ));
        }
    }

    /// Longhorn's `recurringJobSelector` names a job, or a group (`isGroup: true`) that some job must be in.
    fn longhorn(&mut self, class: &Document) {
        let selector = text(&class.value, "/parameters/recurringJobSelector");
        let Ok(Value::Array(entries)) = serde_json::from_str(selector) else {
            return;
        };
        let jobs = self.of("longhorn.io", "RecurringJob");
        for entry in &entries {
            let name = text(entry, "/name");
            let group = entry.get("isGroup") == Some(&Value::Bool(true));
            let in_group = |j: &Document| {
                let groups = j.value.pointer("/spec/groups").and_then(Value::as_array);
                groups.into_iter().flatten().any(|g| g.as_str() == Some(name))
            };
            let selected = jobs.iter().any(|j| if group { in_group(j) } else { j.name() == name });
            if !selected {
                let what = format!(
                    "StorageClass `{}` selects the {} `{name}`, which no RecurringJob {}: its volumes are never backed up",
                    class.name(),
                    if group { "group" } else { "job" },
                    if group { "is in" } else { "is called" },
                );
                let place = self.at(class, "/parameters/recurringJobSelector");
                let remedy =
                    "Name a group that the RecurringJob lists under `groups`, or the job itself with `isGroup: false`.";
                self.say(Finding::risk(place, what, remedy));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_where_private_addresses_and_local_names_are() {
        for home in [
            "http://192.168.1.107:9000",
            "s3:http://nas.local/bucket",
            "minio.lan:9000",
            "nfs://10.0.0.5:/x",
        ] {
            assert!(at_home(home), "{home}");
        }
        for away in [
            "s3://bucket@eu-central-1/",
            "https://s3.eu-central-1.amazonaws.com",
            "s3.amazonaws.com",
        ] {
            assert!(!at_home(away), "{away}");
        }
    }
}
