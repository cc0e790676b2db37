//! Which files a Flux Kustomization applies: as much of kustomize as a lint needs.

use std::collections::BTreeSet;

use crate::{
    lint::Finding,
    repository::{Document, Repository, list, normal, text},
};

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What lies under one path.
#[derive(Default)]
pub(crate) struct Built {
    pub(crate) documents: Vec<Document>,
    pub(crate) findings: Vec<Finding>,
    visited: BTreeSet<String>,
}

/// Follows `folder` as Flux does: its kustomization file when there is one, else every YAML file below it.
pub(crate) fn build(repository: &Repository, folder: &str, namespace: Option<&str>) -> Built {
    let mut built = Built::default();
    built.folder(repository, folder, namespace);
    built
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// Something that kustomize fetches from elsewhere.
fn is_remote(resource: &str) -> bool {
    resource.contains("://") || resource.starts_with("github.com/") || resource.starts_with("git@")
}

impl Built {
    fn folder(&mut self, repository: &Repository, folder: &str, namespace: Option<&str>) {
        if !self.visited.insert(folder.to_owned()) {
            return;
        }
        let join = |name: &str| {
            if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            }
        };
        if let Some(file) = NAMES.iter().map(|n| join(n)).find(|f| repository.files.contains_key(f)) {
            return self.kustomization(repository, folder, &file, namespace);
        }
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let mut folders = BTreeSet::new();
        for name in repository
            .files
            .range(prefix.clone()..)
            .map(|(n, _)| n)
            .take_while(|n| n.starts_with(&prefix))
        {
            match name.strip_prefix(&prefix).and_then(|rest| rest.split_once('/')) {
                Some((sub, _)) => drop(folders.insert(format!("{prefix}{sub}"))),
                None if is_yaml(name) => self.file(repository, name, namespace),
                None => {}
            }
        }
        for sub in folders {
            self.folder(repository, &sub, namespace);
        }
    }

    fn kustomization(&mut self, repository: &Repository, folder: &str, file: &str, outer: Option<&str>) {
        let Some(found) = self.parse(repository, file) else {
            return;
        };
        let Some(kustomization) = found.first().map(|d| &d.value) else {
            return;
        };
        let own = text(kustomization, "/namespace");
        let namespace = outer.or((!own.is_empty()).then_some(own));
        let mut named = BTreeSet::from([file.to_owned()]);
        for field in ["/resources", "/bases", "/components"] {
            for resource in list(kustomization, field)
                .iter()
                .filter_map(|v| v.as_str())
                .filter(|r| !is_remote(r))
            {
                match normal(folder, resource) {
                    Some(path) if repository.files.contains_key(&path) => {
                        self.file(repository, &path, namespace);
                        named.insert(path);
                    }
                    Some(path) if repository.has_folder(&path) => self.folder(repository, &path, namespace),
                    _ => self.findings.push(Finding::error(
                        file,
                        format!("it lists `{resource}`, which is not in the repository"),
                        "Add that file, or take the line out.",
                    )),
                }
            }
        }
        self.orphans(repository, folder, file, &named);
    }

    /// YAML files beside a kustomization file that it does not mention: most often forgotten.
    fn orphans(&mut self, repository: &Repository, folder: &str, file: &str, named: &BTreeSet<String>) {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let mentions = |name: &str| {
            let text = repository
                .files
                .get(file)
                .map(|b| String::from_utf8_lossy(b))
                .unwrap_or_default();
            text.contains(name)
        };
        for path in repository
            .files
            .range(prefix.clone()..)
            .map(|(n, _)| n)
            .take_while(|n| n.starts_with(&prefix))
        {
            let Some(name) = path.strip_prefix(&prefix).filter(|n| !n.contains('/') && is_yaml(n)) else {
                continue;
            };
            if !named.contains(path) && !mentions(name) {
                self.findings.push(Finding::warning(
                    path.as_str(),
                    format!("{file} does not list it, so it is never applied"),
                    "List it there, or remove it.",
                ));
            }
        }
    }

    fn file(&mut self, repository: &Repository, path: &str, namespace: Option<&str>) {
        if !self.visited.insert(path.to_owned()) {
            return;
        }
        let Some(documents) = self.parse(repository, path) else {
            return;
        };
        self.documents.extend(documents.into_iter().map(|mut document| {
            document.namespace = namespace.map(str::to_owned);
            document
        }));
    }

    fn parse(&mut self, repository: &Repository, path: &str) -> Option<Vec<Document>> {
        match repository.documents(path) {
            Ok(documents) => Some(documents),
            Err(error) => {
                let why = skykeep_core::Explain::why(&error);
                self.findings.push(Finding::error(
                    path,
                    format!("it can't be parsed: {why}"),
                    "Mend that line.",
                ));
                None
            }
        }
    }
}
