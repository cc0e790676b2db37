//! Who else writes: DNS records that the cutover moves, and commits to the very repository.

use serde_json::Value;

use super::{Finding, HELM, Lint, pod_of, walk};
use crate::repository::{Document, list, text};

/// Parts of an image's or a chart's name that say: this writes DNS records.
const WRITERS: [&str; 6] = ["external-dns", "ddns", "ddclient", "inadyn", "godns", "dynamic-dns"];
/// By this annotation an object asks external-dns for a record.
const ASKS: &str = "external-dns.alpha.kubernetes.io/hostname";
/// Fields, variables and arguments in which such programs are told which names are theirs.
const DOMAINS: [&str; 8] = [
    "DOMAINS",
    "DOMAIN",
    "IP4_DOMAINS",
    "IP6_DOMAINS",
    "ZONE",
    "SUBDOMAIN",
    "domainFilters",
    "domain-filter",
];

/// Whether a writer that was given `domain` may write `record`: itself, a wildcard of it, or a name below it.
fn covers(domain: &str, record: &str) -> bool {
    let domain = domain.trim().trim_start_matches("*.").trim_end_matches('.');
    record == domain || record.ends_with(&format!(".{domain}"))
}

impl Lint<'_> {
    pub(super) fn writers(&mut self) {
        for document in self.documents.clone() {
            if let Some((pointer, program)) = writer(&document) {
                self.writer(&document, &pointer, &program);
            }
            self.asked_for(&document);
            let automation =
                document.kind() == "ImageUpdateAutomation" && document.group().ends_with("toolkit.fluxcd.io");
            if automation && document.value.pointer("/spec/suspend") != Some(&Value::Bool(true)) {
                let what = format!(
                    "ImageUpdateAutomation `{}` pushes commits by itself, in a rehearsal too",
                    document.name()
                );
                let place = self.at(&document, "/spec");
                self.say(Finding::warning(
                    place,
                    what,
                    "Suspend it for a drill, or give a drill a token that only reads.",
                ));
            }
        }
    }

    /// An object that asks external-dns, wherever that runs, to write one of the cutover's records.
    fn asked_for(&mut self, document: &Document) {
        let asked = document
            .value
            .pointer("/metadata/annotations")
            .and_then(|a| a.get(ASKS))
            .and_then(Value::as_str);
        let dns = self.castle().and_then(|c| c.dns.as_ref());
        let (Some(asked), Some(dns)) = (asked, dns) else {
            return;
        };
        let hosts = || asked.split(',').map(|host| host.trim().trim_end_matches('.'));
        // A wildcard that it is asked to write stands beside a record of its own; only equal names fight.
        let hit = dns
            .zones()
            .flat_map(|(_, records)| records)
            .find(|r| hosts().any(|host| host == r.as_str()));
        let what = match hit {
            Some(record) => format!("{record}, which the cutover moves"),
            None if asked.contains("${") => {
                format!("`{asked}`, and whether the cutover moves it can't be seen from here")
            }
            None => return,
        };
        let place = self.at(document, &format!("/metadata/annotations/{}", ASKS.replace('/', "~1")));
        let what = format!(
            "{} `{}` asks external-dns to write {what}",
            document.kind(),
            document.name()
        );
        self.say(Finding::risk(
            place,
            what,
            "Take the annotation away: the cutover owns this record. Or take the name out of `dns` in castle.yaml, and let external-dns own it.",
        ));
    }

    fn writer(&mut self, document: &Document, pointer: &str, program: &str) {
        let told = told(document);
        let dns = self.castle().and_then(|c| c.dns.as_ref());
        // A domain that is a variable may be any.
        let any = told.is_empty() || told.iter().any(|d| d.contains("${"));
        let known = dns.is_some();
        let hit = {
            let mut records = dns.into_iter().flat_map(|d| d.zones()).flat_map(|(_, records)| records);
            records.find(|r| told.iter().any(|d| covers(d, r))).cloned()
        };
        let place = self.at(document, pointer);
        let what = format!(
            "{} `{}` ({program}) writes DNS records by itself",
            document.kind(),
            document.name()
        );
        let remedy = "Keep it out of the castle until you decide who owns the records: `suspend: true` on its layer, or a token that can't edit this zone.";
        self.say(match (known, hit) {
            (true, Some(record)) => Finding::risk(
                place,
                format!("{what}, {record} among them: it would point it at a node instead of the entry, and back again after every cutover"),
                remedy,
            ),
            (true, None) if any => Finding::risk(place, format!("{what}, and which ones can't be seen from here"), remedy),
            (true, None) => Finding::warning(place, format!("{what}, none of those that the cutover moves"), remedy),
            (false, _) => Finding::warning(place, what, remedy),
        });
    }
}

fn names_writer(name: &str) -> bool {
    WRITERS.iter().any(|w| name.to_ascii_lowercase().contains(w))
}

/// Where the object runs a program that writes DNS, and which.
fn writer(document: &Document) -> Option<(String, String)> {
    if document.is(HELM, "HelmRelease") {
        let pointers = ["/spec/chart/spec/chart", "/spec/chartRef/name"];
        return pointers.iter().find_map(|p| {
            let name = text(&document.value, p);
            names_writer(name).then(|| ((*p).to_owned(), name.to_owned()))
        });
    }
    let (at, pod) = pod_of(document)?;
    ["containers", "initContainers"].iter().find_map(|containers| {
        let images = list(pod, &format!("/{containers}")).iter().enumerate();
        images.into_iter().find_map(|(i, c)| {
            let image = text(c, "/image");
            names_writer(image).then(|| (format!("{at}/{containers}/{i}/image"), image.to_owned()))
        })
    })
}

/// The domains that the program was told.
fn told(document: &Document) -> Vec<String> {
    let mut domains = Vec::new();
    let mut add = |value: &Value| match value {
        Value::String(s) => domains.extend(s.split(',').map(|d| d.trim().to_owned()).filter(|d| !d.is_empty())),
        Value::Array(list) => domains.extend(list.iter().filter_map(Value::as_str).map(str::to_owned)),
        _ => {}
    };
    walk(&document.value, "", &mut |pointer, value| {
        let key = pointer.rsplit('/').next().unwrap_or_default();
        if DOMAINS.contains(&key) {
            add(value);
        }
        if DOMAINS.contains(&text(value, "/name")) {
            value.get("value").into_iter().for_each(&mut add);
        }
        if let Some(domain) = value.as_str().and_then(|s| s.strip_prefix("--domain-filter=")) {
            add(&domain.into());
        }
        true
    });
    domains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_of_the_zone_writes_everything_below_it() {
        assert!(covers("rossi.example", "blog.rossi.example") && covers("*.rossi.example", "blog.rossi.example"));
        assert!(!covers("ossi.example", "blog.rossi.example") && !covers("blog.rossi.example", "rossi.example"));
    }
}
