//! Our own few manifests: parsed from YAML text, applied by server-side apply.

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind, TypeMeta},
};

use crate::{ClusterError, FIELD_MANAGER};

/// Splits a text of several documents into objects.
pub(crate) fn parse(text: &str) -> Result<Vec<DynamicObject>, ClusterError> {
    text.split("\n---\n")
        .filter(|document| {
            document
                .lines()
                .any(|line| !line.trim().is_empty() && !line.starts_with('#'))
        })
        .map(|document| {
            serde_saphyr::from_str(document).map_err(|e| ClusterError::Plan(format!("a manifest of ours: {e}")))
        })
        .collect()
}

/// Creates or updates all of them, in order. Safe to repeat.
pub(crate) async fn apply(client: &Client, objects: &[DynamicObject]) -> Result<(), ClusterError> {
    for object in objects {
        let TypeMeta { api_version, kind } = object
            .types
            .clone()
            .ok_or_else(|| ClusterError::Plan("a manifest of ours has no kind".into()))?;
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
        // Every kind we use has the regular plural.
        let plural = format!("{}s", kind.to_lowercase());
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, &kind), &plural);
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let api: Api<DynamicObject> = match object.metadata.namespace.as_deref() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object))
            .await
            .map_err(ClusterError::api(format!("applying {kind} {name}")))?;
    }
    Ok(())
}
