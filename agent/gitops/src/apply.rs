//! Server-side apply of any object.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    core::discovery::Scope,
};
use serde_json::Value;
use skykeep_core::{Deadline, Trouble, retry};
use tokio::sync::Mutex;

use crate::{error::GitopsError, repository::text};

/// Who applies whole objects.
pub(crate) const MANAGER: &str = "skykeep";
/// Who applies the pinned commit, and nothing else.
pub(crate) const PIN_MANAGER: &str = "skykeep-pin";
/// Who applies the patches of the root Kustomization, and nothing else.
pub(crate) const PATCH_MANAGER: &str = "skykeep-patches";
/// How many objects travel at once.
const AT_ONCE: usize = 8;

/// Applies objects, and remembers which kinds the server knows.
pub(crate) struct Applier {
    pub(crate) client: Client,
    deadline: Deadline,
    kinds: Mutex<HashMap<GroupVersionKind, (ApiResource, bool)>>,
}

impl Applier {
    pub(crate) fn new(client: &Client, deadline: Deadline) -> Self {
        Applier {
            client: client.clone(),
            deadline,
            kinds: Mutex::default(),
        }
    }

    /// Applies many objects, a few at a time.
    pub(crate) async fn all(&self, values: &[&Value]) -> Result<(), Trouble> {
        // A list of futures, not a mapped stream: the compiler can't see that the latter may be sent between threads.
        let work: Vec<_> = values.iter().map(|value| self.one(value, MANAGER)).collect();
        stream::iter(work)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    /// Applies one object as `manager`, over whatever others wrote into the same fields.
    pub(crate) async fn one(&self, value: &Value, manager: &str) -> Result<(), Trouble> {
        let doing = describe(value);
        retry(&doing, self.deadline, || async {
            let name = text(value, "/metadata/name");
            let api = self.api(value, &doing).await?;
            let params = PatchParams::apply(manager).force();
            api.patch(name, &params, &Patch::Apply(value))
                .await
                .map_err(|e| GitopsError::api(doing.clone(), &e))?;
            Ok(())
        })
        .await
    }

    /// The object as it stands, of the kind and name of this one; `None` when there is none.
    pub(crate) async fn get(&self, value: &Value) -> Result<Option<Value>, Trouble> {
        let doing = describe(value).replacen("apply", "read", 1);
        retry(&doing, self.deadline, || async {
            let api = self.api(value, &doing).await?;
            let found = api.get_opt(text(value, "/metadata/name")).await;
            let found = found.map_err(|e| GitopsError::api(doing.clone(), &e))?;
            Ok(found.and_then(|object| serde_json::to_value(object).ok()))
        })
        .await
    }

    /// What would stand if `manager` gave up every field that it does not say here. Nothing is changed.
    pub(crate) async fn would_be(&self, value: &Value, manager: &str) -> Result<Value, Trouble> {
        let doing = describe(value).replacen("apply", "try to let go of", 1);
        let api = self.api(value, &doing).await?;
        let params = PatchParams::apply(manager).force().dry_run();
        let patch = Patch::Apply(value);
        let object = api.patch(text(value, "/metadata/name"), &params, &patch).await;
        let object = object.map_err(|e| GitopsError::api(doing.clone(), &e))?;
        serde_json::to_value(object).map_err(|e| GitopsError::Value(e.to_string()).into())
    }

    async fn api(&self, value: &Value, doing: &str) -> Result<Api<DynamicObject>, GitopsError> {
        let (version, kind) = (text(value, "/apiVersion"), text(value, "/kind"));
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let mut kinds = self.kinds.lock().await;
        if !kinds.contains_key(&gvk) {
            let found = kube::discovery::pinned_kind(&self.client, &gvk).await;
            // A kind that is not known yet may be known in a moment: its CRD is being established.
            let (resource, capabilities) = found.map_err(|e| GitopsError::Api {
                doing: doing.to_owned(),
                why: skykeep_core::explain::chain(&e),
                passing: true,
            })?;
            kinds.insert(gvk.clone(), (resource, capabilities.scope == Scope::Namespaced));
        }
        let gone = || GitopsError::Api {
            doing: doing.to_owned(),
            why: "its kind is not known".into(),
            passing: true,
        };
        let (resource, namespaced) = kinds.get(&gvk).ok_or_else(gone)?;
        Ok(if *namespaced {
            let namespace = Some(text(value, "/metadata/namespace"))
                .filter(|n| !n.is_empty())
                .unwrap_or("default");
            Api::namespaced_with(self.client.clone(), namespace, resource)
        } else {
            Api::all_with(self.client.clone(), resource)
        })
    }
}

/// "apply Deployment flux-system/source-controller"
pub(crate) fn describe(value: &Value) -> String {
    let (kind, namespace, name) = (
        text(value, "/kind"),
        text(value, "/metadata/namespace"),
        text(value, "/metadata/name"),
    );
    if namespace.is_empty() {
        format!("apply {kind} {name}")
    } else {
        format!("apply {kind} {namespace}/{name}")
    }
}
