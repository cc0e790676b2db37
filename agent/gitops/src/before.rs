//! What the repository expects to find before Flux starts.

use std::collections::BTreeSet;

use kube::Client;
use serde_json::{Map, Value, json};
use skykeep_core::{
    Deadline, Secret, Trouble,
    castle::{BeforeFlux, SecretRef, SecretSpec},
};

use crate::{apply::Applier, error::GitopsError};

/// Flux's own namespace: ConfigMaps for substitution live there before Flux does.
const FLUX: &str = "flux-system";

/// Applies namespaces, storage classes, ConfigMaps and Secrets. `secret` gives the value behind a reference.
pub async fn before_flux<'s>(
    client: &Client,
    before: &BeforeFlux,
    secret: impl Fn(&SecretRef) -> Option<&'s Secret>,
    deadline: Deadline,
) -> Result<(), Trouble> {
    let applier = Applier::new(client, deadline);
    let secrets = before
        .secrets
        .iter()
        .map(|spec| secret_object(spec, &secret))
        .collect::<Result<Vec<_>, _>>()?;
    let first: Vec<Value> = namespaces(before)
        .into_iter()
        .chain(before.storage_classes.iter().map(storage_class))
        .collect();
    applier.all(&first.iter().collect::<Vec<_>>()).await?;
    let maps = before.config_maps.iter().map(|map| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": map.namespace, "name": map.name}, "data": map.data})
    });
    let second: Vec<Value> = maps.chain(secrets).collect();
    applier.all(&second.iter().collect::<Vec<_>>()).await
}

fn namespaces(before: &BeforeFlux) -> Vec<Value> {
    let used = before
        .config_maps
        .iter()
        .map(|c| &c.namespace)
        .chain(before.secrets.iter().map(|s| &s.namespace));
    let names: BTreeSet<&str> = before
        .namespaces
        .iter()
        .chain(used)
        .map(String::as_str)
        .chain([FLUX])
        .collect();
    let object = |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    names.into_iter().map(object).collect()
}

/// Volumes are made where their first pod runs: the restore job decides, then the application follows.
fn storage_class(class: &skykeep_core::castle::StorageClassSpec) -> Value {
    let mut metadata = json!({"name": class.name});
    if class.default {
        metadata = json!({"name": class.name, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}});
    }
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata,
        "provisioner": class.provisioner, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"})
}

/// Kubernetes wants text in `stringData`; whatever is not text would need base64, and no secret store of ours holds such.
fn secret_object<'s>(
    spec: &SecretSpec,
    secret: &impl Fn(&SecretRef) -> Option<&'s Secret>,
) -> Result<Value, GitopsError> {
    let mut data = Map::new();
    for (key, reference) in &spec.data {
        let place = format!("key `{key}` of Secret {}/{}", spec.namespace, spec.name);
        let value =
            secret(reference).ok_or_else(|| GitopsError::Value(format!("{place}: {reference} was not fetched")))?;
        let text = value
            .expose_str()
            .ok_or_else(|| GitopsError::Value(format!("{place}: {reference} is no text")))?;
        data.insert(key.clone(), Value::String(text.to_owned()));
    }
    Ok(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": spec.namespace, "name": spec.name},
        "type": spec.kind.as_deref().unwrap_or("Opaque"), "stringData": data}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use skykeep_core::castle::Castle;

    fn castle() -> Castle {
        Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap()
    }

    #[test]
    fn every_namespace_that_is_used_is_made_and_flux_has_its_own() {
        let names: Vec<_> = namespaces(&castle().before_flux)
            .iter()
            .map(|n| n["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["flux-system", "web"]);
    }

    #[test]
    fn a_secret_has_its_type_and_a_missing_value_is_named() {
        let before = castle().before_flux;
        let value = Secret::from_string("pem\n".into());
        let object = secret_object(&before.secrets[0], &|_| Some(&value)).unwrap();
        assert_eq!(object["type"], "kubernetes.io/tls");
        assert_eq!(object["stringData"]["tls.crt"], "pem\n");
        let error = secret_object(&before.secrets[0], &|_| None).unwrap_err();
        assert!(error.to_string().contains("infisical:BLOG_TLS_CRT"), "{error}");
    }
}
