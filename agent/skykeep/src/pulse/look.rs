//! What the castle is made of, read from its API.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;
use skykeep_rebirth::pulse::{Claim, Testament};

/// More claims than a pulse should carry.
const MOST: usize = 500;

pub(super) fn kustomizations() -> ApiResource {
    let gvk = GroupVersionKind::gvk("kustomize.toolkit.fluxcd.io", "v1", "Kustomization");
    ApiResource::from_gvk_with_plural(&gvk, "kustomizations")
}

/// Looks once. A castle without Flux has no green revision.
pub(super) async fn testament(client: &Client) -> Result<Testament, kube::Error> {
    let kubernetes = client.apiserver_version().await?.git_version;
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let claims = claims.list(&ListParams::default()).await?;
    let layers: Api<DynamicObject> = Api::all_with(client.clone(), &kustomizations());
    let layers = match layers.list(&ListParams::default()).await {
        Ok(layers) => layers.items,
        Err(kube::Error::Api(e)) if e.code == 404 => Vec::new(),
        Err(e) => return Err(e),
    };
    let layers: Vec<Value> = layers.into_iter().map(|layer| layer.data).collect();
    Ok(Testament {
        kubernetes,
        green: green(&layers),
        claims: claims.iter().take(MOST).map(claim).collect(),
    })
}

fn claim(claim: &PersistentVolumeClaim) -> Claim {
    let spec = claim.spec.as_ref();
    let asked = spec.and_then(|s| s.resources.as_ref()?.requests.as_ref()?.get("storage"));
    let has = claim.status.as_ref().and_then(|s| s.capacity.as_ref()?.get("storage"));
    Claim {
        name: format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any()),
        size: has.or(asked).map(|q| q.0.clone()).unwrap_or_default(),
    }
}

/// The one revision that every Kustomization of the castle's own repository has applied and is ready at; those of other sources are
/// only ready, and what its owner suspended is not asked.
fn green(layers: &[Value]) -> Option<String> {
    let source = |layer: &Value| layer.pointer("/spec/sourceRef").cloned();
    let own = |layer: &&Value| layer.pointer("/spec/sourceRef/name").and_then(Value::as_str) == Some("flux-system");
    let castles = layers.iter().find(own).or(layers.first()).and_then(source);
    let asked = layers
        .iter()
        .filter(|layer| layer.pointer("/spec/suspend") != Some(&Value::Bool(true)));
    let mut revisions = Vec::new();
    for layer in asked {
        let conditions = layer.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().any(|c| {
            c.get("type").and_then(Value::as_str) == Some("Ready")
                && c.get("status").and_then(Value::as_str) == Some("True")
        });
        let applied = layer.pointer("/status/lastAppliedRevision").and_then(Value::as_str);
        match applied.filter(|_| ready) {
            None => return None,
            Some(revision) if source(layer) == castles => revisions.push(revision),
            Some(_) => {}
        }
    }
    let first = *revisions.first()?;
    revisions.iter().all(|other| *other == first).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layer(revision: &str, ready: &str) -> Value {
        json!({"status": {"lastAppliedRevision": revision, "conditions": [{"type": "Reconciling", "status": "True"},
            {"type": "Ready", "status": ready}]}})
    }

    #[test]
    fn a_revision_is_green_only_when_every_layer_is_ready_at_it() {
        let (a, b) = ("main@sha1:aaaa", "main@sha1:bbbb");
        assert_eq!(green(&[layer(a, "True"), layer(a, "True")]).as_deref(), Some(a));
        assert_eq!(green(&[layer(a, "True"), layer(a, "False")]), None);
        assert_eq!(
            green(&[layer(a, "True"), layer(b, "True")]),
            None,
            "half way to the next"
        );
        assert_eq!(green(&[layer(a, "True"), json!({})]), None);
        assert_eq!(green(&[]), None);
        let mut other = layer("latest@sha256:cc", "True");
        other["spec"] = json!({"sourceRef": {"kind": "OCIRepository", "name": "other"}});
        let mut asleep = layer(b, "False");
        asleep["spec"] = json!({"suspend": true});
        let mut own = layer(a, "True");
        own["spec"] = json!({"sourceRef": {"kind": "GitRepository", "name": "flux-system"}});
        assert_eq!(green(&[other.clone(), asleep, own.clone()]).as_deref(), Some(a));
        other["status"]["conditions"][1]["status"] = json!("False");
        assert_eq!(
            green(&[other, own]),
            None,
            "what comes from elsewhere must be ready too"
        );
    }
}
