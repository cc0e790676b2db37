//! Which objects the repository holds, and which layer applies each.

use std::collections::{BTreeSet, VecDeque};

use super::{Applied, Finding, KUSTOMIZE, Lint, implied, namespace_of};
use crate::{
    kustomize,
    repository::{FluxRoot, Repository, normal, text},
};

/// The root paths of a repository: where `gotk-sync.yaml` lies; without one, the folders of `clusters/` that hold Flux
/// Kustomizations.
pub(super) fn roots(repository: &Repository) -> Vec<String> {
    let folder = |file: &String| file.rsplit_once('/').map_or(String::new(), |(f, _)| f.to_owned());
    let synced: BTreeSet<String> = repository
        .files
        .keys()
        .filter(|f| *f == "gotk-sync.yaml" || f.ends_with("/gotk-sync.yaml"))
        .map(|f| {
            let folder = folder(f);
            folder
                .strip_suffix("/flux-system")
                .map_or(folder.clone(), str::to_owned)
        })
        .collect();
    if !synced.is_empty() {
        return synced.into_iter().collect();
    }
    let is_layer = |file: &&String| {
        let yaml = file.ends_with(".yaml") || file.ends_with(".yml");
        let documents = if yaml {
            repository.documents(file).unwrap_or_default()
        } else {
            Vec::new()
        };
        documents.iter().any(|d| d.is(KUSTOMIZE, "Kustomization"))
    };
    let layers = repository
        .files
        .keys()
        .filter(|f| f.starts_with("clusters/"))
        .filter(is_layer);
    layers.map(folder).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The root of a repository that `flux bootstrap` has not seen yet, as it will make it.
pub(super) fn without_bootstrap(repository: &Repository, path: &str) -> FluxRoot {
    // A gotk-sync.yaml without components (somebody else installs Flux) still says what the source is called.
    let sync = [
        format!("{path}/flux-system/gotk-sync.yaml"),
        format!("{path}/gotk-sync.yaml"),
    ];
    let documents: Vec<_> = sync
        .iter()
        .flat_map(|f| repository.documents(f).unwrap_or_default())
        .collect();
    let find = |kind: &str| {
        let found = documents.iter().find(|d| d.kind() == kind).cloned();
        found.unwrap_or_else(|| implied(path, kind))
    };
    FluxRoot {
        components: Vec::new(),
        source: find("GitRepository"),
        root: find("Kustomization"),
    }
}

impl Lint<'_> {
    /// Follows the root Kustomization and every Kustomization found on the way.
    pub(super) fn collect(&mut self) {
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
            let reference = layer.value.pointer("/spec/sourceRef").cloned().unwrap_or_default();
            let (kind, name) = (text(&reference, "/kind"), text(&reference, "/name"));
            if (kind, namespace_of(&reference, &layer), name) != ("GitRepository", &source.0, &source.1) {
                let what = format!(
                    "Kustomization `{}` takes its content from {kind} `{name}`, which can't be seen from here",
                    layer.name()
                );
                let remedy = "Lint that source by itself; what it holds was not looked at.";
                let place = self.at(&layer, "/spec/sourceRef");
                self.say(Finding::warning(place, what, remedy));
                self.layers.push(Applied {
                    layer,
                    documents: Vec::new(),
                });
                continue;
            }
            let path = text(&layer.value, "/spec/path");
            let Some(folder) = normal("", path).filter(|f| self.repository.has_folder(f)) else {
                let what = format!(
                    "Kustomization `{}` has the path `{path}`, which is not in the repository",
                    layer.name()
                );
                let place = self.at(&layer, "/spec/path");
                self.say(Finding::error(place, what, "Mend `spec.path`."));
                continue;
            };
            let target = text(&layer.value, "/spec/targetNamespace");
            let built = kustomize::build(self.repository, &folder, (!target.is_empty()).then_some(target));
            self.findings.extend(built.findings);
            let layers = built.documents.iter().filter(|d| d.is(KUSTOMIZE, "Kustomization"));
            ahead.extend(layers.cloned());
            let mut documents = Vec::new();
            for document in built.documents {
                let known = self.documents.iter().position(|d| *d == document);
                documents.push(known.unwrap_or(self.documents.len()));
                if known.is_none() {
                    self.documents.push(document);
                }
            }
            self.layers.push(Applied { layer, documents });
        }
    }

    /// The objects of one layer.
    pub(super) fn applied_by<'b>(
        &'b self,
        layer: &'b Applied,
    ) -> impl Iterator<Item = &'b crate::repository::Document> {
        layer.documents.iter().filter_map(|i| self.documents.get(*i))
    }
}
