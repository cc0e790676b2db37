//! What a rebirth changes inside objects of the repository, without writing to Git: patches in `spec.patches` of the Flux
//! Kustomization that applies the object, which themselves come by a patch of the Kustomization above, up to the root. So each
//! layer is born with its patches, and nothing that Flux applies later takes them away: the root's `spec.patches` belong to a
//! field manager of their own, as the pin does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    error::GitopsError,
    injected::INJECTED,
    layout::Layout,
    repository::{Document, FluxRoot, list, text},
};

/// One change of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// API group of the object.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is merged into its `spec`: lists are replaced, `null` takes a field away.
    pub spec: Value,
    /// Why, for `skykeep release`.
    pub why: String,
}

impl Layout {
    /// The `spec.patches` of the root Kustomization that bring these changes to their objects. Empty for no changes.
    pub fn nest(&self, injections: &[Injection]) -> Result<Vec<Value>, GitopsError> {
        let (root, all) = (&self.root.root, &self.layers);
        if !injections.is_empty() && !list(&root.value, "/spec/patches").is_empty() {
            return Err(GitopsError::Inject {
                object: format!("Kustomization {}", root.name()),
                why: "it has `spec.patches` of its own in gotk-sync.yaml, which Flux would put in the place of ours"
                    .into(),
            });
        }
        let mut by_layer: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        for injection in injections {
            let (layer, patch) = self.leaf(injection)?;
            by_layer.entry(layer).or_default().push(patch);
        }
        // From the leaves to the root: a layer's patches are a change of the layer itself. Layers stand in the order in which they were
        // found, so whoever applies one stands before it.
        while let Some((layer, ours)) = by_layer.pop_last() {
            if layer == 0 {
                return Ok(ours);
            }
            let document = all.get(layer).map(|(layer, _)| layer);
            // What a layer above replaces in its objects it would replace in our patches too, and not with the inner layer's values.
            let above = all.iter().take(layer).find(|(above, held)| {
                above.value.pointer("/spec/postBuild").is_some() && document.is_some_and(|d| held.contains(d))
            });
            if let Some((above, _)) = above.filter(|_| ours.iter().any(|patch| text(patch, "/patch").contains("${"))) {
                return Err(GitopsError::Inject {
                    object: format!("an object of the layer {}", document.map_or("", Document::name)),
                    why: format!(
                        "it holds variables, and the layer {} above it would replace them too early",
                        above.name()
                    ),
                });
            }
            let parent = document.and_then(|d| all.iter().take(layer).position(|(_, held)| held.contains(d)));
            let (Some(document), Some(parent)) = (document, parent) else {
                return Err(GitopsError::Inject {
                    object: "a Kustomization".into(),
                    why: "nothing above it applies it".into(),
                });
            };
            // A list of a custom resource is replaced by a patch: its own patches are said again.
            let mut patches = list(&document.value, "/spec/patches").to_vec();
            patches.extend(ours);
            let change = entry(document, &json!({"patches": patches}), None);
            by_layer.entry(parent).or_default().push(change);
        }
        Ok(Vec::new())
    }

    /// The number of the layer that applies an object, and the patch there that changes it.
    fn leaf(&self, injection: &Injection) -> Result<(usize, Value), GitopsError> {
        // A patch finds its object by kind and name, because kustomize may set the namespace only after the patches.
        let same = |d: &&Document| d.is(&injection.group, &injection.kind) && d.name() == injection.name;
        let found = (0..).zip(&self.layers).find_map(|(i, (_, documents))| {
            let mut alike = documents.iter().filter(same);
            let document = alike.find(|d| d.namespace() == injection.namespace)?;
            Some((i, document, documents.iter().filter(same).count()))
        });
        match found {
            None => Err(refused(
                injection,
                "no manifest of the repository holds it (what a chart makes can't be seen from here)",
            )),
            Some((layer, document, 1)) => Ok((layer, entry(document, &injection.spec, Some(&injection.why)))),
            Some(_) => Err(refused(
                injection,
                "its layer holds another one of this name in another namespace, which would be changed too",
            )),
        }
    }
}

/// One entry of `spec.patches`. With `why` it also writes onto the object that it is patched, and why.
fn entry(document: &Document, spec: &Value, why: Option<&str>) -> Value {
    let mut metadata = json!({"name": document.name(), "namespace": document.namespace()});
    if let (Some(metadata), Some(why)) = (metadata.as_object_mut(), why) {
        metadata.insert("annotations".into(), json!({INJECTED: why}));
    }
    let patch = json!({"apiVersion": text(&document.value, "/apiVersion"), "kind": document.kind(), "metadata": metadata, "spec": spec});
    json!({
        // JSON is YAML.
        "patch": patch.to_string(),
        "target": {"group": document.group(), "kind": document.kind(), "name": document.name()},
    })
}

fn refused(injection: &Injection, why: &str) -> GitopsError {
    GitopsError::Inject {
        object: format!("{} {}/{}", injection.kind, injection.namespace, injection.name),
        why: why.into(),
    }
}

/// The root Kustomization with nothing but these patches, for the field manager that owns them.
pub(crate) fn patches_alone(root: &FluxRoot, patches: &[Value]) -> Value {
    let mut object = json!({"apiVersion": text(&root.root.value, "/apiVersion"), "kind": root.root.kind(),
        "metadata": {"namespace": root.root.namespace(), "name": root.root.name()}});
    if let (Some(map), false) = (object.as_object_mut(), patches.is_empty()) {
        map.insert("spec".into(), json!({"patches": patches}));
    }
    object
}

/// The root Kustomization as it is made first.
pub(crate) fn with_patches(root: &FluxRoot, patches: &[Value]) -> Value {
    let mut value = root.root.value.clone();
    if let (Some(spec), false) = (
        value.pointer_mut("/spec").and_then(Value::as_object_mut),
        patches.is_empty(),
    ) {
        spec.insert("patches".into(), patches.to_vec().into());
    }
    value
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::repository::Repository;

    pub(crate) fn field() -> Repository {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/layers");
        Repository::from_folder(&folder).unwrap()
    }

    pub(crate) const ROOT: &str = "clusters/home";

    /// As the repository is at this moment.
    fn nest(repository: &Repository, injections: &[Injection]) -> Result<Vec<Value>, GitopsError> {
        Layout::of(repository, ROOT)?.nest(injections)
    }

    fn database() -> Injection {
        Injection {
            group: "postgres-operator.crunchydata.com".into(),
            kind: "PostgresCluster".into(),
            namespace: "db".into(),
            name: "home-db".into(),
            spec: json!({"dataSource": {"pgbackrest": {"stanza": "db"}}}),
            why: "it is a treasure".into(),
        }
    }

    #[test]
    fn a_change_goes_from_the_root_through_every_layer_to_its_object() {
        let patches = nest(&field(), &[database()]).unwrap();
        assert_eq!(patches.len(), 1);
        assert_eq!(patches[0]["target"]["name"], "instances");
        let layer: Value = serde_json::from_str(patches[0]["patch"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&layer["kind"], &layer["metadata"]["name"]),
            (&json!("Kustomization"), &json!("instances"))
        );
        let inner = &layer["spec"]["patches"][0];
        assert_eq!(inner["target"]["kind"], "PostgresCluster");
        let object: Value = serde_json::from_str(inner["patch"].as_str().unwrap()).unwrap();
        assert_eq!(object["spec"], database().spec);
    }

    #[test]
    fn a_layers_own_patches_stay() {
        let mut repository = field();
        let file = "clusters/home/instances.yaml";
        let text = String::from_utf8(repository.files[file].clone()).unwrap();
        let own = "spec:\n  patches: [{patch: \"own\", target: {kind: Deployment}}]\n";
        repository
            .files
            .insert(file.into(), text.replacen("spec:\n", own, 1).into_bytes());
        let patches = nest(&repository, &[database()]).unwrap();
        let layer: Value = serde_json::from_str(patches[0]["patch"].as_str().unwrap()).unwrap();
        assert_eq!(layer["spec"]["patches"][0]["patch"], "own");
        assert_eq!(layer["spec"]["patches"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_variable_is_left_to_the_layer_that_holds_the_object() {
        let mut injection = database();
        injection.spec = json!({"backups": {"bucket": "${bucket}"}});
        assert!(nest(&field(), &[injection.clone()]).is_ok());
        let mut repository = field();
        let file = "clusters/home/flux-system/gotk-sync.yaml";
        let text = String::from_utf8(repository.files[file].clone()).unwrap();
        let text = text.replace("  prune: true\n", "  prune: true\n  postBuild: {substitute: {a: b}}\n");
        repository.files.insert(file.into(), text.into_bytes());
        let error = nest(&repository, &[injection]).unwrap_err();
        insta::assert_snapshot!(skykeep_core::Trouble::from(error).explained());
    }

    #[test]
    fn of_two_with_one_name_none_is_changed() {
        let mut repository = field();
        let file = "infrastructure/instances/database.yaml";
        let text = String::from_utf8(repository.files[file].clone()).unwrap();
        let other = text.replace("namespace: db", "namespace: other");
        repository
            .files
            .insert(file.into(), format!("{text}\n---\n{other}").into_bytes());
        assert!(nest(&repository, &[database()]).is_err());
    }

    #[test]
    fn what_can_not_be_reached_is_an_error_and_not_an_empty_database() {
        let mut other = database();
        other.name = "shop-db".into();
        insta::assert_snapshot!(skykeep_core::Trouble::from(nest(&field(), &[other]).unwrap_err()).explained());
        let mut repository = field();
        let file = "clusters/home/flux-system/gotk-sync.yaml";
        let text = String::from_utf8(repository.files[file].clone()).unwrap();
        let text = text.replace("  prune: true\n", "  prune: true\n  patches: [{patch: x}]\n");
        repository.files.insert(file.into(), text.into_bytes());
        assert!(nest(&repository, &[database()]).is_err());
        assert_eq!(nest(&repository, &[]).unwrap(), Vec::<Value>::new());
    }
}
