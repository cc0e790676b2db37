//! The ledger: which claims wait for their treasure (`pending`) and which have it back (`done`). It is the parameter of
//! the gate's policy, so it must exist as long as the policy does.

use std::collections::BTreeMap;

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{RestoreError, gate::core};

/// Namespace of the ledger.
pub const NAMESPACE: &str = "kube-system";
/// Name of the ledger's ConfigMap.
pub const NAME: &str = "gates";
/// What it says of a claim that waits for its treasure.
pub(crate) const PENDING: &str = "pending";
/// What it says of a claim that has its treasure back.
pub(crate) const DONE: &str = "done";
/// A claim that never exists: asking about it (dry run) shows whether the gate is in force.
pub(crate) const PROBE: (&str, &str) = (NAMESPACE, "skykeep-probe");
/// Another one, which is always back: making it must be refused.
pub(crate) const PROBE_BACK: (&str, &str) = (NAMESPACE, "skykeep-probe-back");

fn api(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), NAMESPACE, &core("ConfigMap", "configmaps"))
}

/// An entry's key.
pub(crate) fn key(namespace: &str, claim: &str) -> String {
    format!("{namespace}.{claim}")
}

/// What the ledger says, by `<namespace>.<claim>`; `None` when there is no ledger.
pub async fn read(client: &Client) -> Result<Option<BTreeMap<String, String>>, RestoreError> {
    let found = api(client)
        .get_opt(NAME)
        .await
        .map_err(|e| RestoreError::kube("read the ledger", &e))?;
    Ok(found.map(|map| {
        let data = map
            .data
            .get("data")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        data.into_iter()
            .filter_map(|(k, v)| Some((k, v.as_str()?.to_owned())))
            .collect()
    }))
}

/// The claims that wait for their treasure.
pub(crate) fn unfinished(entries: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    let probe = key(PROBE.0, PROBE.1);
    let waits = entries.iter().filter(move |(k, v)| *v == PENDING && **k != probe);
    waits.map(|(k, _)| k.as_str())
}

/// Whether a claim has its treasure back.
pub async fn is_done(client: &Client, namespace: &str, claim: &str) -> Result<bool, RestoreError> {
    let entries = read(client).await?.unwrap_or_default();
    Ok(entries.get(&key(namespace, claim)).is_some_and(|v| v == DONE))
}

/// Makes the ledger, or adds the claims it does not know yet as pending. What it says already stays.
pub(crate) async fn open(client: &Client, claims: &[(String, String)]) -> Result<(), RestoreError> {
    let known = read(client).await?;
    let mut missing = missing(known.as_ref(), claims);
    let back = key(PROBE_BACK.0, PROBE_BACK.1);
    if known.as_ref().is_none_or(|known| !known.contains_key(&back)) {
        missing.insert(back, DONE.to_owned());
    }
    if known.is_none() {
        let map: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "data": missing,
        }))
        .map_err(|e| RestoreError::Internal(e.to_string()))?;
        match api(client).create(&PostParams::default(), &map).await {
            Ok(_) => return Ok(()),
            // Made by another run in this very moment: add to it.
            Err(kube::Error::Api(e)) if e.code == 409 => {}
            Err(e) => return Err(RestoreError::kube("make the ledger", &e)),
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        write(client, &missing).await
    }
}

/// Writes that a claim has its treasure back.
pub async fn mark_done(client: &Client, namespace: &str, claim: &str) -> Result<(), RestoreError> {
    write(client, &BTreeMap::from([(key(namespace, claim), DONE.to_owned())])).await
}

/// Writes that a claim waits for its treasure again: new pods that mount it are held from now on.
pub async fn reopen(client: &Client, namespace: &str, claim: &str) -> Result<(), RestoreError> {
    write(client, &BTreeMap::from([(key(namespace, claim), PENDING.to_owned())])).await
}

fn missing(known: Option<&BTreeMap<String, String>>, claims: &[(String, String)]) -> BTreeMap<String, String> {
    let keys = claims.iter().map(|(n, c)| key(n, c));
    keys.filter(|k| known.is_none_or(|known| !known.contains_key(k)))
        .map(|k| (k, PENDING.to_owned()))
        .collect()
}

async fn write(client: &Client, entries: &BTreeMap<String, String>) -> Result<(), RestoreError> {
    let patch = Patch::Merge(json!({"data": entries}));
    api(client)
        .patch(NAME, &PatchParams::default(), &patch)
        .await
        .map(|_| ())
        .map_err(|e| RestoreError::kube("write the ledger", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_is_done_never_becomes_pending_again() {
        let known = BTreeMap::from([("web.site".to_owned(), "done".to_owned())]);
        let claims = [
            ("web".to_owned(), "site".to_owned()),
            ("db".to_owned(), "data".to_owned()),
        ];
        let missing = missing(Some(&known), &claims);
        assert_eq!(missing, BTreeMap::from([("db.data".to_owned(), "pending".to_owned())]));
    }
}
