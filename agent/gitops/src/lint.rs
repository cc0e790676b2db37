//! Does the repository fit the castle file? Asked before anything is created.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use serde_json::Value;
use skykeep_core::castle::{Castle, Treasure};

use crate::{
    kustomize,
    repository::{Document, FluxRoot, Repository, list, normal, text},
};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The rebirth would fail.
    Error,
    /// It may be meant.
    Warning,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// What does not fit.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    pub(crate) fn error(file: &str, what: impl Into<String>, remedy: &str) -> Self {
        Finding {
            severity: Severity::Error,
            file: file.into(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn warning(file: &str, what: impl Into<String>, remedy: &str) -> Self {
        Finding {
            severity: Severity::Warning,
            ..Finding::error(file, what, remedy)
        }
    }
}

const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
const HELM: &str = "helm.toolkit.fluxcd.io";
const SOURCE: &str = "source.toolkit.fluxcd.io";
const CASTLE_FILE: &str = "castle.yaml";

/// Everything that does not fit, errors first. Empty is good.
pub fn lint(repository: &Repository, castle: &Castle) -> Vec<Finding> {
    let root = match repository.flux(&castle.gitops.path) {
        Ok(root) => root,
        Err(error) => {
            use skykeep_core::Explain;
            return vec![Finding::error(
                &castle.gitops.path,
                format!("{}: {}", error.what(), error.why()),
                &error.remedy(),
            )];
        }
    };
    let mut lint = Lint {
        repository,
        castle,
        root: &root,
        documents: Vec::new(),
        findings: BTreeSet::new(),
    };
    lint.bootstrap();
    lint.collect();
    lint.layers();
    lint.releases();
    for treasure in &castle.treasures {
        lint.treasure(treasure);
    }
    lint.findings.into_iter().collect()
}

struct Lint<'a> {
    repository: &'a Repository,
    castle: &'a Castle,
    root: &'a FluxRoot,
    documents: Vec<Document>,
    findings: BTreeSet<Finding>,
}

/// `https://host/owner/name` without the differences that mean nothing.
fn plain_url(url: &str) -> String {
    url.trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase()
}

fn suspended(document: &Document) -> bool {
    document.value.pointer("/spec/suspend") == Some(&Value::Bool(true))
}

impl Lint<'_> {
    fn say(&mut self, finding: Finding) {
        self.findings.insert(finding);
    }

    /// gotk-sync.yaml against the castle file.
    fn bootstrap(&mut self) {
        let (source, root) = (&self.root.source, &self.root.root);
        let gitops = &self.castle.gitops;
        let url = text(&source.value, "/spec/url");
        if plain_url(url) != plain_url(gitops.url.as_str()) {
            let what = format!(
                "its GitRepository has the url `{url}`, castle.yaml has `{}`",
                gitops.url
            );
            self.say(Finding::error(
                &source.file,
                what,
                "Make the two the same (https, not ssh: the castle has a token).",
            ));
        }
        let branch = text(&source.value, "/spec/ref/branch");
        if branch != gitops.branch {
            let what = format!(
                "its GitRepository follows the branch `{branch}`, castle.yaml has `{}`",
                gitops.branch
            );
            self.say(Finding::error(&source.file, what, "Make the two the same."));
        }
        for other in ["commit", "tag", "semver", "name"] {
            if !text(&source.value, &format!("/spec/ref/{other}")).is_empty() {
                let what = format!(
                    "its GitRepository has `ref.{other}`, which fights with the commit that a rebirth is pinned to"
                );
                self.say(Finding::error(
                    &source.file,
                    what,
                    "Leave only `ref.branch`, and name a commit in `gitops.revision`.",
                ));
            }
        }
        let path = text(&root.value, "/spec/path");
        if normal("", path) != normal("", &gitops.path) {
            let what = format!(
                "its root Kustomization has the path `{path}`, castle.yaml has `{}`",
                gitops.path
            );
            self.say(Finding::error(&root.file, what, "Make the two the same."));
        }
        if text(&source.value, "/spec/secretRef/name").is_empty() {
            let what = "its GitRepository has no `secretRef`, so Flux would ask without the token";
            self.say(Finding::error(
                &source.file,
                what,
                "Add `secretRef: {name: flux-system}`.",
            ));
        }
    }

    /// Follows the root Kustomization and every Kustomization found on the way.
    fn collect(&mut self) {
        let source = (
            self.root.source.namespace().to_owned(),
            self.root.source.name().to_owned(),
        );
        let mut ahead = VecDeque::from([self.root.root.clone()]);
        let mut seen = BTreeSet::new();
        while let Some(layer) = ahead.pop_front() {
            if !seen.insert((layer.namespace().to_owned(), layer.name().to_owned())) {
                continue;
            }
            let reference = |field: &str| text(&layer.value, &format!("/spec/sourceRef/{field}"));
            let namespace = Some(reference("namespace"))
                .filter(|n| !n.is_empty())
                .unwrap_or(layer.namespace());
            if (reference("kind"), namespace, reference("name")) != ("GitRepository", &source.0, &source.1) {
                // Another source: what it holds can't be seen from here.
                continue;
            }
            let path = text(&layer.value, "/spec/path");
            let Some(folder) = normal("", path).filter(|f| self.repository.has_folder(f)) else {
                let what = format!(
                    "Kustomization `{}` has the path `{path}`, which is not in the repository",
                    layer.name()
                );
                self.say(Finding::error(&layer.file, what, "Mend `spec.path`."));
                continue;
            };
            let target = text(&layer.value, "/spec/targetNamespace");
            let built = kustomize::build(self.repository, &folder, (!target.is_empty()).then_some(target));
            self.findings.extend(built.findings);
            ahead.extend(
                built
                    .documents
                    .iter()
                    .filter(|d| d.is(KUSTOMIZE, "Kustomization"))
                    .cloned(),
            );
            for document in built.documents {
                if !self.documents.contains(&document) {
                    self.documents.push(document);
                }
            }
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

    fn layers(&mut self) {
        let layers = self.of(KUSTOMIZE, "Kustomization");
        for layer in &layers {
            self.source(layer, "/spec/sourceRef");
            self.substitution(layer);
            if suspended(layer) {
                let what = format!(
                    "Kustomization `{}` is suspended, so nothing of it will come back",
                    layer.name()
                );
                self.say(Finding::warning(
                    &layer.file,
                    what,
                    "Take `suspend: true` out, if it is not meant.",
                ));
            }
        }
        self.dependencies(&layers);
    }

    fn releases(&mut self) {
        let releases = self.of(HELM, "HelmRelease");
        for release in &releases {
            if release.value.pointer("/spec/chartRef").is_some() {
                self.source(release, "/spec/chartRef");
            } else {
                self.source(release, "/spec/chart/spec/sourceRef");
                self.chart(release);
            }
            if suspended(release) {
                let what = format!(
                    "HelmRelease `{}` is suspended, so it will not come back",
                    release.name()
                );
                self.say(Finding::warning(
                    &release.file,
                    what,
                    "Take `suspend: true` out, if it is not meant.",
                ));
            }
        }
        self.dependencies(&releases);
    }

    /// The object a layer takes its content from.
    fn source(&mut self, of: &Document, pointer: &str) {
        let field = |name: &str| text(&of.value, &format!("{pointer}/{name}"));
        let (kind, name) = (field("kind"), field("name"));
        let namespace = Some(field("namespace"))
            .filter(|n| !n.is_empty())
            .unwrap_or(of.namespace());
        let bootstrap = &self.root.source;
        let is_bootstrap = kind == "GitRepository" && name == bootstrap.name() && namespace == bootstrap.namespace();
        if !is_bootstrap && !self.exists(SOURCE, kind, namespace, name) {
            let what = format!(
                "{} `{}` takes its content from {kind} `{namespace}/{name}`, which nothing makes",
                of.kind(),
                of.name()
            );
            self.say(Finding::error(
                &of.file,
                what,
                "Add that source, or mend the reference.",
            ));
        }
    }

    /// A chart that lies in this repository.
    fn chart(&mut self, release: &Document) {
        let field = |name: &str| text(&release.value, &format!("/spec/chart/spec/{name}"));
        if field("sourceRef/kind") != "GitRepository" || field("sourceRef/name") != self.root.source.name() {
            return;
        }
        let path = field("chart");
        let there = normal("", path).is_some_and(|p| self.repository.files.contains_key(&format!("{p}/Chart.yaml")));
        if !there {
            let what = format!(
                "HelmRelease `{}` uses the chart `{path}`, but there is no {path}/Chart.yaml",
                release.name()
            );
            self.say(Finding::error(&release.file, what, "Mend `spec.chart.spec.chart`."));
        }
    }

    fn substitution(&mut self, layer: &Document) {
        let namespace = layer.namespace();
        for from in list(&layer.value, "/spec/postBuild/substituteFrom") {
            let (kind, name) = (text(from, "/kind"), text(from, "/name"));
            let before = &self.castle.before_flux;
            let given = match kind {
                "ConfigMap" => before
                    .config_maps
                    .iter()
                    .any(|c| c.name == name && c.namespace == namespace),
                _ => before
                    .secrets
                    .iter()
                    .any(|s| s.name == name && s.namespace == namespace),
            };
            if given || from.pointer("/optional") == Some(&Value::Bool(true)) || self.exists("", kind, namespace, name)
            {
                continue;
            }
            let what = format!(
                "Kustomization `{}` substitutes from {kind} `{namespace}/{name}`, which nobody provides",
                layer.name()
            );
            self.say(Finding::error(
                &layer.file,
                what,
                "Add it to `beforeFlux` in castle.yaml, or to the repository.",
            ));
        }
    }

    /// Unknown names and circles among `dependsOn`.
    fn dependencies(&mut self, layers: &[Document]) {
        type Id = (String, String);
        let id = |d: &Document| -> Id { (d.namespace().to_owned(), d.name().to_owned()) };
        let mut waits: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
        // The root is not among the files that it applies when gotk-sync.yaml is not listed there.
        let known: BTreeSet<Id> = layers.iter().map(id).chain([id(&self.root.root)]).collect();
        for layer in layers {
            for on in list(&layer.value, "/spec/dependsOn") {
                let namespace = Some(text(on, "/namespace"))
                    .filter(|n| !n.is_empty())
                    .unwrap_or(layer.namespace());
                let wanted = (namespace.to_owned(), text(on, "/name").to_owned());
                if !known.contains(&wanted) {
                    let what = format!(
                        "{} `{}` depends on `{}`, which does not exist",
                        layer.kind(),
                        layer.name(),
                        wanted.1
                    );
                    self.say(Finding::error(&layer.file, what, "Mend the name under `dependsOn`."));
                }
                waits.entry(id(layer)).or_default().push(wanted);
            }
        }
        // Whoever waits for nothing (any more) is taken away; what is left waits in a circle, or for one.
        loop {
            let free: Vec<Id> = waits
                .iter()
                .filter(|(_, on)| on.iter().all(|o| !waits.contains_key(o)))
                .map(|(k, _)| k.clone())
                .collect();
            if free.is_empty() {
                break;
            }
            free.iter().for_each(|k| drop(waits.remove(k)));
        }
        for layer in layers.iter().filter(|d| waits.contains_key(&id(d))) {
            let what = format!(
                "{} `{}` is part of a circle of `dependsOn`, or waits for one",
                layer.kind(),
                layer.name()
            );
            self.say(Finding::error(
                &layer.file,
                what,
                "Break the circle: one of them must not wait for the others.",
            ));
        }
    }

    /// Somebody must make the claim that receives a treasure.
    fn treasure(&mut self, treasure: &Treasure) {
        let here = |d: &Document| d.namespace() == treasure.namespace;
        let claim = |d: &&Document| d.is("", "PersistentVolumeClaim") && d.name() == treasure.claim && here(d);
        // `<template>-<set>-<number>`
        let template = |d: &&Document| {
            d.is("apps", "StatefulSet")
                && here(d)
                && list(&d.value, "/spec/volumeClaimTemplates").iter().any(|t| {
                    let prefix = format!("{}-{}-", text(t, "/metadata/name"), d.name());
                    treasure
                        .claim
                        .strip_prefix(&prefix)
                        .is_some_and(|n| n.parse::<u32>().is_ok())
                })
        };
        if self.documents.iter().any(|d| claim(&d) || template(&d)) {
            return;
        }
        let what = format!(
            "treasure `{}` goes into the claim {}/{}, which no manifest of the repository makes",
            treasure.name, treasure.namespace, treasure.claim
        );
        self.say(Finding::warning(
            CASTLE_FILE,
            what,
            "If no chart or operator makes it either, mend `treasures.claim`.",
        ));
    }
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
