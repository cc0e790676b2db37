//! Whoever makes a claim anew. A StatefulSet whose pod was refused for hours tries again only every quarter of an hour: it is reminded.

use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::RestoreError;

/// Makes the StatefulSet that a claim belongs to, if there is one, look at its pods now. Nothing of its specification changes.
pub(crate) async fn remind(client: &Client, namespace: &str, claim: &str) -> Result<(), RestoreError> {
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("apps", "v1", "StatefulSet"), "statefulsets");
    let sets: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let all = sets.list(&ListParams::default()).await;
    let all = all.map_err(|e| RestoreError::kube("look for the claim's StatefulSet", &e))?;
    for set in all {
        let Some(name) = set
            .metadata
            .name
            .as_deref()
            .filter(|name| makes(name, &set.data, claim))
        else {
            continue;
        };
        let patch = Patch::Merge(
            json!({"metadata": {"annotations": {"skykeep.dev/reminded": jiff::Timestamp::now().to_string()}}}),
        );
        let reminded = sets.patch(name, &PatchParams::default(), &patch).await;
        reminded.map_err(|e| RestoreError::kube("remind the claim's StatefulSet", &e))?;
    }
    Ok(())
}

/// Whether a claim is one of a StatefulSet's: `<template>-<set>-<number>`.
fn makes(set: &str, data: &Value, claim: &str) -> bool {
    let templates = data.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let names = templates
        .into_iter()
        .flatten()
        .filter_map(|t| t.pointer("/metadata/name")?.as_str());
    names.into_iter().any(|template| {
        let number = claim.strip_prefix(&format!("{template}-{set}-"));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_known_by_its_template_and_its_set() {
        let data = json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "pages"}}, {"metadata": {"name": "media"}}]}});
        assert!(makes("wiki", &data, "pages-wiki-0") && makes("wiki", &data, "media-wiki-12"));
        for other in [
            "pages-wiki",
            "pages-wiki-",
            "pages-wiki-a",
            "pages-blog-0",
            "wiki-media",
        ] {
            assert!(!makes("wiki", &data, other), "{other}");
        }
        assert!(!makes("wiki", &json!({"spec": {}}), "pages-wiki-0"));
    }
}
