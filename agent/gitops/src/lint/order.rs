//! What waits for what: circles, unknown names, and time lost between the links.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, HELM, KUSTOMIZE, Lint, namespace_of, seconds};
use crate::repository::{Document, list, text};

/// Namespace and name.
pub(super) type Id = (String, String);

/// Flux looks again this often whether a dependency is ready, unless its components say otherwise.
const REQUEUE: u64 = 30;
/// Time that a chain may lose to looking again, seconds.
const BEARABLE: u64 = 60;
/// The longest `interval` that may stand in for a `retryInterval`, seconds.
const LONG: u64 = 120;

pub(super) fn id(document: &Document) -> Id {
    (document.namespace().to_owned(), document.name().to_owned())
}

/// Who waits for whom.
fn waits(documents: &[Document]) -> BTreeMap<Id, Vec<Id>> {
    let on = |d: &Document| {
        let names = list(&d.value, "/spec/dependsOn").iter();
        names
            .map(|on| (namespace_of(on, d).to_owned(), text(on, "/name").to_owned()))
            .collect()
    };
    documents.iter().map(|d| (id(d), on(d))).collect()
}

/// A circle among those that wait, as the names on it; `None` when there is none.
fn circle(waits: &BTreeMap<Id, Vec<Id>>) -> Option<Vec<Id>> {
    let mut left = waits.clone();
    // Whoever waits for nothing (any more) is taken away; what is left waits in a circle, or for one.
    loop {
        let free: Vec<Id> = left
            .iter()
            .filter(|(_, on)| on.iter().all(|o| !left.contains_key(o)))
            .map(|(k, _)| k.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|k| drop(left.remove(k)));
    }
    // From anywhere in there, following any who still waits ends on a circle.
    let mut path: Vec<Id> = vec![left.keys().next()?.clone()];
    loop {
        let next = left.get(path.last()?)?.iter().find(|o| left.contains_key(*o))?.clone();
        if let Some(from) = path.iter().position(|p| *p == next) {
            return Some(path.split_off(from));
        }
        path.push(next);
    }
}

/// The longest chain of waiting, first what is waited for. Call only when there is no circle.
fn longest(waits: &BTreeMap<Id, Vec<Id>>) -> Vec<Id> {
    fn chain(of: &Id, waits: &BTreeMap<Id, Vec<Id>>, known: &mut BTreeMap<Id, Vec<Id>>) -> Vec<Id> {
        if let Some(found) = known.get(of) {
            return found.clone();
        }
        let on = waits.get(of).into_iter().flatten().filter(|o| waits.contains_key(*o));
        let mut best = on
            .map(|o| chain(o, waits, known))
            .max_by_key(Vec::len)
            .unwrap_or_default();
        best.push(of.clone());
        known.insert(of.clone(), best.clone());
        best
    }
    let mut known = BTreeMap::new();
    waits
        .keys()
        .map(|k| chain(k, waits, &mut known))
        .max_by_key(Vec::len)
        .unwrap_or_default()
}

impl Lint<'_> {
    pub(super) fn order(&mut self) {
        let layers = self.of(KUSTOMIZE, "Kustomization");
        self.dependencies(&layers, "kustomize-controller");
        for layer in layers.iter().filter(|l| id(l) != id(&self.root.root)) {
            self.retry(layer);
        }
        self.dependencies(&self.of(HELM, "HelmRelease"), "helm-controller");
    }

    /// Unknown names and circles among `dependsOn`, and what a long chain costs.
    fn dependencies(&mut self, all: &[Document], controller: &str) {
        let waits = waits(all);
        // The root is not among the files that it applies when gotk-sync.yaml is not listed there.
        let known: BTreeSet<Id> = all.iter().map(id).chain([id(&self.root.root)]).collect();
        for document in all {
            for (i, on) in list(&document.value, "/spec/dependsOn").iter().enumerate() {
                let (namespace, name) = (namespace_of(on, document), text(on, "/name"));
                if !known.contains(&(namespace.to_owned(), name.to_owned())) {
                    let what = format!(
                        "{} `{}` depends on `{name}`, which does not exist",
                        document.kind(),
                        document.name()
                    );
                    let place = self.at(document, &format!("/spec/dependsOn/{i}"));
                    self.say(Finding::error(place, what, "Mend the name under `dependsOn`."));
                }
            }
        }
        let names = |ids: &[Id]| ids.iter().map(|i| i.1.as_str()).collect::<Vec<_>>().join(" -> ");
        let document = |of: &Id| all.iter().find(|d| id(d) == *of);
        if let Some(circle) = circle(&waits) {
            let Some((first, document)) = circle.first().and_then(|f| Some((f, document(f)?))) else {
                return;
            };
            let what = format!(
                "{} `{}` waits for itself: {} -> {}; none of them is ever applied",
                document.kind(),
                document.name(),
                names(&circle),
                first.1
            );
            let place = self.at(document, "/spec/dependsOn");
            self.say(Finding::error(
                place,
                what,
                "Break the circle: one of them must not wait for the others.",
            ));
            return;
        }
        let chain = longest(&waits);
        let every = self.requeue(controller);
        let lost = every.saturating_mul(u64::try_from(chain.len().saturating_sub(1)).unwrap_or(u64::MAX));
        if lost > BEARABLE
            && let Some(last) = chain.last().and_then(document)
        {
            let what = format!(
                "the chain {} is {} links long, and each looks only every {every} s whether the one before is ready: up to {lost} s are lost",
                names(&chain),
                chain.len()
            );
            let remedy = format!(
                "Give {controller} the argument `--requeue-dependency=5s` by a patch in flux-system/kustomization.yaml, or shorten the chain."
            );
            let place = self.at(last, "/spec/dependsOn");
            self.say(Finding::warning(place, what, remedy));
        }
    }

    /// How often a controller looks whether a dependency is ready, seconds.
    fn requeue(&self, controller: &str) -> u64 {
        let flag = "--requeue-dependency=";
        let deployment = self
            .root
            .components
            .iter()
            .find(|d| d.kind() == "Deployment" && d.name() == controller);
        let args = deployment.map(|d| list(&d.value, "/spec/template/spec/containers/0/args"));
        let in_args = args
            .into_iter()
            .flatten()
            .filter_map(|a| a.as_str()?.strip_prefix(flag))
            .next();
        // A patch of flux-system/kustomization.yaml: text, because it may be JSON patch or a partial object.
        let folder = self.root.root.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let file = self.file(&format!("{folder}/kustomization.yaml"));
        let in_patch = file.split(flag).nth(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            rest.get(..end).unwrap_or_default()
        });
        in_args.or(in_patch).and_then(seconds).unwrap_or(REQUEUE)
    }

    /// After a failure a layer is tried again only after `retryInterval`, else after its whole `interval`.
    fn retry(&mut self, layer: &Document) {
        let interval = text(&layer.value, "/spec/interval");
        let given = !text(&layer.value, "/spec/retryInterval").is_empty();
        if given || seconds(interval).is_none_or(|s| s <= LONG) {
            return;
        }
        let what = format!(
            "Kustomization `{}` has no `retryInterval`: after a failure it is tried again only after {interval}",
            layer.name()
        );
        let place = self.at(layer, "/spec/interval");
        self.say(Finding::risk(place, what, "Add `retryInterval: 30s` under `spec`."));
    }
}
