//! Who else writes: DNS records that the cutover moves, and commits to the very repository.

use serde_json::{Value, json};
use skykeep_core::castle::Castle;

use super::{Finding, HELM, Lint, pod_of, walk};
use crate::{
    inject::Injection,
    layout::Layout,
    repository::{Document, list, text},
};

/// Parts of an image's or a chart's name that say: this writes DNS records.
const WRITERS: [&str; 7] = [
    "external-dns",
    "ddns",
    "ddclient",
    "inadyn",
    "godns",
    "dynamic-dns",
    "octodns",
];
/// Variables in which programs are given a token of Cloudflare that may edit records. Those for DNS-01 alone have other names.
const TOKENS: [&str; 6] = [
    "CLOUDFLARE_API_TOKEN",
    "CLOUDFLARE_API_KEY",
    "CLOUDFLARE_TOKEN",
    "CF_API_TOKEN",
    "CF_API_KEY",
    "CF_TOKEN",
];
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

    fn writer(&mut self, document: &Document, pointer: &str, program: &Program) {
        let verdict = self.castle().and_then(|castle| writes(castle, document));
        let place = self.at(document, pointer);
        let what = format!(
            "{} `{}` ({}) writes DNS records by itself",
            document.kind(),
            document.name(),
            program.name()
        );
        let remedy = match hold(document, program, verdict.as_ref()) {
            Some(_) => {
                "A rebirth holds it back until you choose (`skykeep release`): take it out of the repository, or the names out of `dns` in castle.yaml, so that one of the two owns them."
            }
            None => {
                "Keep it out of the castle until you decide who owns the records: `suspend: true` on its layer, or a token that can't edit this zone."
            }
        };
        self.say(match verdict {
            Some(Writes::Cutover(record)) => Finding::risk(
                place,
                format!("{what}, {record} among them: it would point it at a node instead of the entry, and back again after every cutover"),
                remedy,
            ),
            Some(Writes::Unknown) => Finding::risk(place, format!("{what}, and which ones can't be seen from here"), remedy),
            Some(Writes::Others) => Finding::warning(place, format!("{what}, none of those that the cutover moves"), remedy),
            None => Finding::warning(place, what, remedy),
        });
    }
}

/// Which records a writer writes.
enum Writes {
    /// One that the cutover moves.
    Cutover(String),
    /// None of those.
    Others,
    /// That can't be seen.
    Unknown,
}

/// `None` when the castle moves no names.
fn writes(castle: &Castle, document: &Document) -> Option<Writes> {
    let dns = castle.dns.as_ref()?;
    let told = told(document, castle);
    let mut records = dns.zones().flat_map(|(_, records)| records);
    Some(match records.find(|r| told.iter().any(|d| covers(d, r))) {
        Some(record) => Writes::Cutover(record.clone()),
        // A domain that is a variable may be any.
        None if told.is_empty() || told.iter().any(|d| d.contains("${")) => Writes::Unknown,
        None => Writes::Others,
    })
}

/// What is changed in a writer so that it does not run; `None` when it may, or when its kind can't be held so.
fn hold(document: &Document, program: &Program, writes: Option<&Writes>) -> Option<Injection> {
    let records = match (writes?, program) {
        (Writes::Cutover(record), _) => format!("{record}, which the cutover moves"),
        (Writes::Unknown, Program::Known(_)) => "records that can't be seen from here".into(),
        // A token alone says too little: it may be the entry's own, for its certificates.
        (Writes::Unknown, Program::Token(_)) | (Writes::Others, _) => return None,
    };
    let spec = match document.kind() {
        "Deployment" | "StatefulSet" => json!({"replicas": 0}),
        "CronJob" | "HelmRelease" => json!({"suspend": true}),
        "DaemonSet" => json!({"template": {"spec": {"nodeSelector": {"skykeep.dev/held": "true"}}}}),
        _ => return None,
    };
    Some(Injection {
        group: document.group().to_owned(),
        kind: document.kind().to_owned(),
        namespace: document.namespace().to_owned(),
        name: document.name().to_owned(),
        spec,
        why: format!("{WRITES_DNS} {records}"),
    })
}

/// How the reason of a hold on a writer begins.
pub const WRITES_DNS: &str = "it writes";

impl Layout {
    /// Everything in the repository that writes a record of the cutover and can be held back, as the changes that do so.
    pub fn writers(&self, castle: &Castle) -> Vec<Injection> {
        let held = |document: &Document| {
            let (_, program) = writer(document)?;
            hold(document, &program, writes(castle, document).as_ref())
        };
        self.objects().filter_map(held).collect()
    }
}

/// How a writer was recognised.
enum Program {
    /// By the name of its image or chart.
    Known(String),
    /// By a variable with a token.
    Token(String),
}

impl Program {
    fn name(&self) -> &str {
        match self {
            Program::Known(name) | Program::Token(name) => name,
        }
    }
}

fn names_writer(name: &str) -> bool {
    WRITERS.iter().any(|w| name.to_ascii_lowercase().contains(w))
}

/// Where the object runs a program that writes DNS, and which.
fn writer(document: &Document) -> Option<(String, Program)> {
    if document.is(HELM, "HelmRelease") {
        let pointers = ["/spec/chart/spec/chart", "/spec/chartRef/name"];
        return pointers.iter().find_map(|p| {
            let name = text(&document.value, p);
            names_writer(name).then(|| ((*p).to_owned(), Program::Known(name.to_owned())))
        });
    }
    let (at, pod) = pod_of(document)?;
    let containers = || {
        ["containers", "initContainers"].into_iter().flat_map(move |of| {
            let all = list(pod, &format!("/{of}")).iter().enumerate();
            all.map(move |(i, container)| (format!("{at}/{of}/{i}"), container))
        })
    };
    let known = containers().find_map(|(at, container)| {
        let image = text(container, "/image");
        names_writer(image).then(|| (format!("{at}/image"), Program::Known(image.to_owned())))
    });
    known.or_else(|| {
        containers().find_map(|(at, container)| {
            let mut names = list(container, "/env").iter().map(|v| text(v, "/name"));
            let token = names.find(|name| TOKENS.contains(name))?;
            Some((format!("{at}/env"), Program::Token(format!("with `{token}`"))))
        })
    })
}

/// The domains that the program was told.
fn told(document: &Document, castle: &Castle) -> Vec<String> {
    let mut domains: Vec<String> = Vec::new();
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
    // The castle file's own variables are known.
    for (key, value) in castle.before_flux.config_maps.iter().flat_map(|map| &map.data) {
        for domain in &mut domains {
            *domain = domain.replace(&format!("${{{key}}}"), value);
        }
    }
    domains
}

#[cfg(test)]
#[path = "writers_tests.rs"]
mod tests;
