//! Does the repository fit: itself, and the castle file when there is one? Asked before anything is created, and by
//! `skykeep lint` on any Flux repository. Pure: files in, findings out.
//!
//! What is not looked into: other repositories, charts and remote bases (their content is not here), and what patches of a
//! kustomization change inside an object.

mod backups;
mod bootstrap;
mod claims;
mod databases;
mod finding;
mod kinds;
mod leftovers;
mod lines;
mod mounts;
mod order;
mod releases;
mod schedules;
mod tree;
mod variables;
mod writers;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use skykeep_core::{Explain, castle::Castle};

pub(crate) use finding::Place;
pub use finding::{Finding, Severity};
pub use mounts::living;
pub use writers::WRITES_DNS;

use crate::repository::{Document, FluxRoot, Repository, list, text};

pub(crate) const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
pub(super) const HELM: &str = "helm.toolkit.fluxcd.io";
pub(super) const SOURCE: &str = "source.toolkit.fluxcd.io";
const CASTLE_FILE: &str = "castle.yaml";

/// The castle file as a contract with the repository.
#[derive(Clone, Copy)]
pub struct Contract<'a> {
    /// The castle.
    pub castle: &'a Castle,
    /// The file's text, for line numbers; may be empty.
    pub text: &'a str,
}

/// What a lint looked at, and what it found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Root paths that were followed.
    pub roots: Vec<String>,
    /// Objects that were read.
    pub objects: usize,
    /// Claims that the repository makes, `<namespace>/<name>`; `*` where only an operator or a chart knows the rest.
    pub claims: Vec<String>,
    /// Everything that does not fit, what matters most first.
    pub findings: Vec<Finding>,
}

/// Everything that does not fit a castle, what matters most first. Empty is good.
pub fn lint(repository: &Repository, castle: &Castle) -> Vec<Finding> {
    lint_with(repository, Some(Contract { castle, text: "" })).findings
}

/// Lints the castle's root path, or every root of the repository when there is no castle file.
pub fn lint_with(repository: &Repository, contract: Option<Contract<'_>>) -> Report {
    let mut report = Report::default();
    let mut findings = BTreeSet::new();
    let roots = match contract {
        Some(contract) => vec![contract.castle.gitops.path.clone()],
        None => tree::roots(repository),
    };
    if roots.is_empty() {
        findings.insert(Finding::error(
            ".",
            "nothing here says what Flux applies: there is no gotk-sync.yaml, and no Flux Kustomization under clusters/",
            "Give the folder of a repository that Flux follows, or run `flux bootstrap` for it once.",
        ));
    }
    for path in roots {
        let root = match (repository.flux(&path), contract) {
            (Ok(root), _) => root,
            (Err(_), None) => tree::without_bootstrap(repository, &path),
            (Err(error), Some(_)) => {
                let what = format!("{}: {}", error.what(), error.why());
                findings.insert(Finding::error(path.as_str(), what, error.remedy()));
                continue;
            }
        };
        let mut lint = Lint::new(repository, contract, &root);
        lint.everything();
        report.objects += lint.documents.len();
        report.claims.extend(lint.claims().iter().map(ToString::to_string));
        findings.extend(lint.findings);
        report.roots.push(path);
    }
    report.claims.sort();
    report.claims.dedup();
    report.findings = findings.into_iter().collect();
    report
}

/// Every object that Flux applies from a root path, its own components too.
pub(crate) fn rendered(repository: &Repository, path: &str) -> Vec<Value> {
    let root = repository.flux(path);
    let root = root.unwrap_or_else(|_| tree::without_bootstrap(repository, path));
    let mut lint = Lint::new(repository, None, &root);
    lint.collect();
    let applied = lint.documents.iter().chain(&root.components);
    applied.map(|document| document.value.clone()).collect()
}

/// Every Flux Kustomization with the objects it applies, the root first, each after the one that applies it.
pub(crate) fn layers(repository: &Repository, root: &FluxRoot) -> Vec<(Document, Vec<Document>)> {
    let mut lint = Lint::new(repository, None, root);
    lint.collect();
    let held = |layer: &Applied| (layer.layer.clone(), lint.applied_by(layer).cloned().collect());
    lint.layers.iter().map(held).collect()
}

/// A Flux Kustomization and the objects it applies, as indices into [`Lint::documents`].
struct Applied {
    layer: Document,
    documents: Vec<usize>,
}

struct Lint<'a> {
    repository: &'a Repository,
    contract: Option<Contract<'a>>,
    root: &'a FluxRoot,
    layers: Vec<Applied>,
    documents: Vec<Document>,
    findings: BTreeSet<Finding>,
}

impl<'a> Lint<'a> {
    fn new(repository: &'a Repository, contract: Option<Contract<'a>>, root: &'a FluxRoot) -> Self {
        Lint {
            repository,
            contract,
            root,
            layers: Vec::new(),
            documents: Vec::new(),
            findings: BTreeSet::new(),
        }
    }
}

impl Lint<'_> {
    fn everything(&mut self) {
        self.bootstrap();
        self.collect();
        self.order();
        self.kinds();
        self.variables();
        self.releases();
        self.accounts();
        self.databases();
        self.leftovers();
        self.writers();
        self.backups();
        self.schedules();
        self.mounts();
    }

    fn say(&mut self, finding: Finding) {
        self.findings.insert(finding);
    }

    /// The castle file, when there is one.
    fn castle(&self) -> Option<&Castle> {
        self.contract.map(|c| c.castle)
    }

    fn file(&self, name: &str) -> &str {
        let bytes = self.repository.files.get(name).map(Vec::as_slice).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Where a field of an object stands.
    fn at(&self, document: &Document, pointer: &str) -> Place {
        let yaml = self.file(&document.file);
        Place {
            line: lines::in_object(yaml, document.kind(), document.name(), pointer),
            file: document.file.clone(),
        }
    }

    /// Where a field of the castle file stands.
    fn in_castle(&self, pointer: &str) -> Place {
        Place {
            line: self
                .contract
                .filter(|c| !c.text.is_empty())
                .and_then(|c| lines::in_file(c.text, pointer)),
            file: CASTLE_FILE.into(),
        }
    }

    fn of(&self, group: &str, kind: &str) -> Vec<Document> {
        self.documents.iter().filter(|d| d.is(group, kind)).cloned().collect()
    }

    fn exists(&self, group: &str, kind: &str, namespace: &str, name: &str) -> bool {
        self.documents
            .iter()
            .any(|d| d.is(group, kind) && d.name() == name && d.namespace() == namespace)
    }
}

/// A namespace named inside a reference, else the referring object's own.
fn namespace_of<'a>(reference: &'a Value, owner: &'a Document) -> &'a str {
    match text(reference, "/namespace") {
        "" => owner.namespace(),
        named => named,
    }
}

/// Seconds of a Go duration such as `1h0m30s`.
fn seconds(duration: &str) -> Option<u64> {
    let mut total = 0u64;
    let mut rest = duration.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(letters);
        let factor = match unit {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = next;
    }
    Some(total)
}

/// Visits every value inside, with its JSON pointer. Stops going deeper where `visit` says so.
fn walk(value: &Value, pointer: &str, visit: &mut dyn FnMut(&str, &Value) -> bool) {
    if !visit(pointer, value) {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                walk(inner, &format!("{pointer}/{}", key.replace('/', "~1")), visit);
            }
        }
        Value::Array(list) => {
            for (i, inner) in list.iter().enumerate() {
                walk(inner, &format!("{pointer}/{i}"), visit);
            }
        }
        _ => {}
    }
}

/// The pod template of a workload, wherever its kind keeps it.
fn pod_of(document: &Document) -> Option<(&'static str, &Value)> {
    let at = match (document.group(), document.kind()) {
        ("", "Pod") => "/spec",
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => "/spec/template/spec",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/spec",
        _ => return None,
    };
    document.value.pointer(at).map(|spec| (at, spec))
}

/// `gotk-sync.yaml` as it would be, for a repository that was not bootstrapped yet.
fn implied(path: &str, kind: &str) -> Document {
    let value = match kind {
        "GitRepository" => json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind,
            "metadata": {"name": "flux-system", "namespace": "flux-system"}}),
        _ => json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": kind,
            "metadata": {"name": "flux-system", "namespace": "flux-system"},
            "spec": {"path": path, "sourceRef": {"kind": "GitRepository", "name": "flux-system"}}}),
    };
    Document {
        file: path.to_owned(),
        value,
        namespace: None,
    }
}

#[cfg(test)]
mod field_tests;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod tests;
