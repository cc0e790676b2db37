//! What Flux applies from a castle's root path, read once: whoever asks for an object, or patches one, asks here.

use crate::{
    error::GitopsError,
    lint::layers,
    repository::{Document, FluxRoot, Repository},
};

/// Every Flux Kustomization with the objects it applies.
#[derive(Debug)]
pub struct Layout {
    /// What `flux bootstrap` made.
    pub root: FluxRoot,
    /// The root first, each after the one that applies it.
    pub(crate) layers: Vec<(Document, Vec<Document>)>,
}

impl Layout {
    /// Reads it from the repository.
    pub fn of(repository: &Repository, path: &str) -> Result<Self, GitopsError> {
        let root = repository.flux(path)?;
        let layers = layers(repository, &root);
        Ok(Layout { root, layers })
    }

    /// Every object that Flux will apply.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Document> {
        self.layers.iter().flat_map(|(_, documents)| documents)
    }

    /// Every object of a kind that Flux will apply.
    pub fn find_all(&self, group: &str, kind: &str) -> impl Iterator<Item = &Document> {
        self.objects().filter(move |d| d.is(group, kind))
    }

    /// An object as Flux will apply it.
    pub fn find(&self, group: &str, kind: &str, (namespace, name): (&str, &str)) -> Option<&Document> {
        self.find_all(group, kind)
            .find(|d| d.namespace() == namespace && d.name() == name)
    }
}
