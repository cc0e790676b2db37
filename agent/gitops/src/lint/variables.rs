//! Substitution: where a layer takes its variables from, and variables that nobody gives.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Applied, Finding, Lint, lines, walk};
use crate::{
    lint::Place,
    repository::{Document, list, text},
};

/// Names of `${NAME}` in a text that have no default. `$${NAME}` is an escape.
fn used(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let escaped = at > 0 && rest.as_bytes().get(at - 1) == Some(&b'$');
        let after = rest.get(at + 2..).unwrap_or_default();
        let end = after
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(after.len());
        let (name, tail) = after.split_at(end);
        let has_default =
            tail.starts_with(":=") || tail.starts_with(":-") || tail.starts_with('=') || tail.starts_with('-');
        if !escaped && !has_default && !name.is_empty() && tail.contains('}') {
            names.push(name);
        }
        rest = after;
    }
    names
}

/// What a layer's sources give.
struct Given {
    names: BTreeSet<String>,
    /// Whether some source's content can't be seen from here.
    more: bool,
}

fn keys(value: &Value, pointer: &str) -> Vec<String> {
    let map = value.pointer(pointer).and_then(Value::as_object);
    map.map(|m| m.keys().cloned().collect()).unwrap_or_default()
}

impl Lint<'_> {
    pub(super) fn variables(&mut self) {
        let mut said = Vec::new();
        for applied in &self.layers {
            let post_build = applied.layer.value.pointer("/spec/postBuild");
            if post_build.is_some_and(|p| p.get("substitute").is_some() || p.get("substituteFrom").is_some()) {
                let given = self.given(applied, &mut said);
                if !given.more {
                    self.ungiven(applied, &given.names, &mut said);
                }
            }
        }
        self.findings.extend(said);
    }

    /// What the layer's sources give; says which source nobody provides.
    fn given(&self, applied: &Applied, said: &mut Vec<Finding>) -> Given {
        let layer = &applied.layer;
        let mut given = Given {
            names: keys(&layer.value, "/spec/postBuild/substitute").into_iter().collect(),
            more: false,
        };
        for (i, from) in list(&layer.value, "/spec/postBuild/substituteFrom").iter().enumerate() {
            let (kind, name, namespace) = (text(from, "/kind"), text(from, "/name"), layer.namespace());
            if let Some(names) = self
                .of_castle(kind, namespace, name)
                .or_else(|| self.of_manifest(kind, namespace, name))
            {
                given.names.extend(names);
                continue;
            }
            given.more = true;
            if from.pointer("/optional") == Some(&Value::Bool(true)) || self.made_by_another(kind, namespace, name) {
                continue;
            }
            let what = format!(
                "Kustomization `{}` substitutes from {kind} `{namespace}/{name}`, which nobody provides",
                layer.name()
            );
            let place = self.at(layer, &format!("/spec/postBuild/substituteFrom/{i}"));
            said.push(match self.contract {
                Some(_) => Finding::error(
                    place,
                    what,
                    "Add it to `beforeFlux` in castle.yaml, or to the repository.",
                ),
                None => Finding::warning(
                    place,
                    what,
                    "Whoever builds the cluster must make it before Flux: with a castle file, that is `beforeFlux`.",
                ),
            });
        }
        given
    }

    fn of_castle(&self, kind: &str, namespace: &str, name: &str) -> Option<Vec<String>> {
        let before = &self.castle()?.before_flux;
        if kind == "ConfigMap" {
            let maps = &before.config_maps;
            let map = maps.iter().find(|c| c.name == name && c.namespace == namespace)?;
            return Some(map.data.keys().cloned().collect());
        }
        let secret = before
            .secrets
            .iter()
            .find(|s| s.name == name && s.namespace == namespace)?;
        Some(secret.data.keys().cloned().collect())
    }

    fn of_manifest(&self, kind: &str, namespace: &str, name: &str) -> Option<Vec<String>> {
        let here = |d: &&Document| d.is("", kind) && d.name() == name && d.namespace() == namespace;
        let found = self.documents.iter().find(here)?;
        // SOPS encrypts values and leaves keys as they are.
        Some(
            ["/data", "/stringData"]
                .iter()
                .flat_map(|p| keys(&found.value, p))
                .collect(),
        )
    }

    /// Whether an operator makes the Secret from an object of the repository.
    fn made_by_another(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let target = |d: &Document| {
            let pointer = match d.kind() {
                "ExternalSecret" => "/spec/target/name",
                "VaultStaticSecret" | "VaultDynamicSecret" | "VaultPKISecret" => "/spec/destination/name",
                "SealedSecret" | "InfisicalSecret" => "/metadata/name",
                _ => return false,
            };
            let made = Some(text(&d.value, pointer))
                .filter(|t| !t.is_empty())
                .unwrap_or(d.name());
            made == name && d.namespace() == namespace
        };
        kind == "Secret" && self.documents.iter().any(target)
    }

    fn ungiven(&self, applied: &Applied, given: &BTreeSet<String>, said: &mut Vec<Finding>) {
        let mut missing: BTreeSet<(String, String)> = BTreeSet::new();
        for document in self.applied_by(applied) {
            let off = ["annotations", "labels"].iter().any(|m| {
                let pointer = format!("/metadata/{m}/kustomize.toolkit.fluxcd.io~1substitute");
                text(&document.value, &pointer) == "disabled"
            });
            if off {
                continue;
            }
            walk(&document.value, "", &mut |_, value| {
                for name in value.as_str().map(used).unwrap_or_default() {
                    if !given.contains(name) {
                        missing.insert((document.file.clone(), name.to_owned()));
                    }
                }
                true
            });
        }
        for (file, name) in missing {
            let line = lines::holding(self.file(&file), &format!("${{{name}"));
            let what = format!(
                "`${{{name}}}` is given by nothing that Kustomization `{}` substitutes from: it becomes empty",
                applied.layer.name()
            );
            said.push(Finding::error(
                Place { file, line },
                what,
                "Add it to the ConfigMap (in castle.yaml: `beforeFlux.configMaps`), or write `$${...}` if the text is meant.",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_without_a_default_are_needed() {
        assert_eq!(
            used("https://${host}/$${not} ${a:=x} ${b:-} ${c_1} $d ${e"),
            ["host", "c_1"]
        );
    }
}
