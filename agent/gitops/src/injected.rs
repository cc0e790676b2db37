//! What a rebirth has changed inside Flux's objects, found again in the cluster itself: nothing has to remember it.

use std::fmt::Write;

use kube::Client;
use serde_json::Value;
use skykeep_core::{Deadline, Trouble};

use crate::{
    apply::{Applier, PIN_MANAGER},
    inject::Injection,
    layout::Layout,
    repository::{Document, FluxRoot, list, text},
};

/// On every object that is patched: why. Flux takes it away with the patch.
pub const INJECTED: &str = "skykeep.dev/injected";

/// What of ours stands between Git and the castle.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Held {
    /// The commit that Flux is pinned to.
    pub commit: Option<String>,
    /// Objects that are patched.
    pub injections: Vec<Injection>,
}

/// Reads it from the cluster.
pub async fn held(client: &Client, root: &FluxRoot, deadline: Deadline) -> Result<Held, Trouble> {
    let applier = Applier::new(client, deadline);
    let (source, layer) = (
        applier.get(&root.source.value).await?,
        applier.get(&root.root.value).await?,
    );
    let source = source.unwrap_or_default();
    let mut managers = list(&source, "/metadata/managedFields").iter();
    let ours = managers.any(|f| text(f, "/manager") == PIN_MANAGER);
    let commit = text(&source, "/spec/ref/commit").to_owned();
    let mut injections = Vec::new();
    leaves(list(&layer.unwrap_or_default(), "/spec/patches"), &mut injections);
    Ok(Held {
        commit: Some(commit).filter(|c| ours && !c.is_empty()),
        injections,
    })
}

/// The patches that are marked as ours, however deep they are nested.
fn leaves(patches: &[Value], found: &mut Vec<Injection>) {
    for entry in patches {
        let Ok(patch) = serde_json::from_str::<Value>(text(entry, "/patch")) else {
            continue;
        };
        let annotations = patch.pointer("/metadata/annotations");
        match annotations.and_then(|a| a.get(INJECTED)).and_then(Value::as_str) {
            Some(why) => found.push(Injection {
                group: text(entry, "/target/group").to_owned(),
                kind: text(&patch, "/kind").to_owned(),
                namespace: text(&patch, "/metadata/namespace").to_owned(),
                name: text(&patch, "/metadata/name").to_owned(),
                spec: patch.get("spec").cloned().unwrap_or_default(),
                why: why.to_owned(),
            }),
            None => leaves(list(&patch, "/spec/patches"), found),
        }
    }
}

impl Injection {
    /// `Deployment/web/ddns`: how a person names it.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.kind, self.namespace, self.name)
    }

    /// The object as this commit has it.
    fn find<'a>(&self, layout: &'a Layout) -> Option<&'a Document> {
        layout.find(&self.group, &self.kind, (&self.namespace, &self.name))
    }

    /// Whether the repository says the same by itself, or has the object no more: then taking the patch away changes nothing.
    pub fn is_in(&self, layout: &Layout) -> bool {
        self.find(layout).is_none_or(|document| {
            let spec = document.value.get("spec").cloned().unwrap_or_default();
            merged(&spec, &self.spec) == spec
        })
    }
}

/// A merge patch carried out.
fn merged(onto: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut result = onto.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            result.remove(key);
        } else {
            let new = merged(onto.get(key).unwrap_or(&Value::Null), value);
            result.insert(key.clone(), new);
        }
    }
    result.into()
}

/// What the castle has otherwise than Git, as a diff that an owner can write into the file.
pub fn diff(layout: &Layout, injection: &Injection) -> String {
    let document = injection.find(layout);
    let file = document.map_or("(no file)", |d| d.file.as_str());
    let before = document.and_then(|d| d.value.get("spec"));
    let mut out = format!(
        "--- {file}\n+++ {file}\n@@ {}: {} @@\n spec:\n",
        injection.id(),
        injection.why
    );
    fields(before.unwrap_or(&Value::Null), &injection.spec, 1, &mut out);
    out
}

fn fields(before: &Value, patch: &Value, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for (key, value) in patch.as_object().into_iter().flatten() {
        let old = before.get(key);
        // Writing into a String can't fail.
        if let (Some(inner @ Value::Object(_)), Value::Object(_)) = (old, value) {
            let _ = writeln!(out, " {pad}{key}:");
            fields(inner, value, depth + 1, out);
            continue;
        }
        if let Some(old) = old {
            let _ = writeln!(out, "-{pad}{key}: {old}");
        }
        if !value.is_null() {
            let _ = writeln!(out, "+{pad}{key}: {value}");
        }
    }
}

/// The pin as a diff.
pub fn pin_diff(root: &FluxRoot, commit: &str) -> String {
    let (file, source) = (&root.source.file, &root.source);
    let branch = text(&source.value, "/spec/ref/branch");
    format!(
        "--- {file}\n+++ {file}\n@@ GitRepository/{}/{}: reborn from this commit @@\n spec:\n   ref:\n     branch: {branch}\n+    commit: {commit}\n",
        source.namespace(),
        source.name()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        inject::tests::{ROOT, field},
        repository::Repository,
    };

    fn layout(repository: &Repository) -> Layout {
        Layout::of(repository, ROOT).unwrap()
    }

    fn held_back() -> Injection {
        Injection {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: "ddns".into(),
            name: "cloudflare-ddns".into(),
            spec: json!({"replicas": 0, "template": {"spec": {"nodeSelector": {"a": "b"}}}}),
            why: "it writes the records of the cutover".into(),
        }
    }

    #[test]
    fn what_was_injected_is_found_again_in_the_roots_own_patches() {
        let mut other = held_back();
        (other.group, other.kind) = ("postgres-operator.crunchydata.com".into(), "PostgresCluster".into());
        (other.namespace, other.name) = ("db".into(), "home-db".into());
        let wanted = vec![held_back(), other];
        let mut found = Vec::new();
        leaves(&layout(&field()).nest(&wanted).unwrap(), &mut found);
        assert_eq!(found, wanted);
    }

    #[test]
    fn an_owner_sees_what_to_commit() {
        let layout = layout(&field());
        let pin = pin_diff(&layout.root, &"a".repeat(40));
        insta::assert_snapshot!(format!("{}{pin}", diff(&layout, &held_back())));
    }

    #[test]
    fn a_patch_that_git_has_caught_up_with_changes_nothing() {
        let held = held_back();
        assert!(!held.is_in(&layout(&field())));
        let mut repository = field();
        repository.files.remove("infrastructure/instances/ddns.yaml");
        assert!(held.is_in(&layout(&repository)), "the object is gone");
        let spec = json!({"replicas": 0, "template": {"spec": {"nodeSelector": {"a": "b"}, "x": 1}}});
        assert_eq!(merged(&spec, &held.spec), spec);
        assert_eq!(merged(&json!({"a": 1, "b": 2}), &json!({"a": null})), json!({"b": 2}));
    }
}
