//! On which machine a treasure comes back. A claim that waits for its first consumer is bound where that pod runs, and the
//! restore's pod is the first: it must stand where the application will, and beside the application's other claims, or the
//! application can never be scheduled.

use std::{collections::BTreeSet, time::Duration};

use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Trouble, deadline::Look, poll};

use crate::{
    RestoreError,
    gate::{GATE, core, mounted},
};

/// How long the pod that mounts the claim is waited for. Some claims have none for hours, a CronJob's that is not in the
/// repository for example: then any machine is as good as another.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the restore's pod takes over from the pods that will use the claim.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Place {
    /// Other claims that are mounted beside it.
    pub(crate) beside: BTreeSet<String>,
    /// `nodeSelector`, `affinity` (of nodes alone) and `tolerations`, as they stand there.
    pub(crate) rules: Vec<(&'static str, Value)>,
}

/// Finds it, waiting a little for the pod when nothing has bound the claim yet.
pub(crate) async fn find(client: &Client, namespace: &str, claim: &str, deadline: Deadline) -> Result<Place, Trouble> {
    let patience = Deadline::after(PATIENCE.min(deadline.remaining()));
    poll(
        &format!("a pod that mounts {namespace}/{claim}"),
        deadline,
        Duration::from_millis(500),
        || async {
            let users = users(client, namespace).await?;
            let place = judge(&users, claim);
            if let Some(place) = place {
                return Ok(Look::Ready(place));
            }
            if patience.passed() || is_bound(client, namespace, claim).await? {
                return Ok(Look::Ready(Place::default()));
            }
            Ok(Look::NotYet("nothing mounts it yet".into()))
        },
    )
    .await
}

async fn is_bound(client: &Client, namespace: &str, claim: &str) -> Result<bool, RestoreError> {
    let claims = core("PersistentVolumeClaim", "persistentvolumeclaims");
    let claims: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &claims);
    let found = claims.get_opt(claim).await;
    let found = found.map_err(|e| RestoreError::kube("look for the claim", &e))?;
    let phase = found.and_then(|c| c.data.pointer("/status/phase")?.as_str().map(str::to_owned));
    Ok(phase.as_deref() == Some("Bound"))
}

/// What uses claims in a namespace, each as `{"spec": <pod spec>}`: its pods, restores left out, and what CronJobs will make.
async fn users(client: &Client, namespace: &str) -> Result<Vec<Value>, RestoreError> {
    let list = |resource: ApiResource| async move {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let listed = api.list(&ListParams::default()).await;
        listed.map_err(|e| RestoreError::kube("look for what mounts the claim", &e))
    };
    let cron_jobs = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("batch", "v1", "CronJob"), "cronjobs");
    let pods = list(core("Pod", "pods")).await?;
    let is_ours = |pod: &DynamicObject| pod.metadata.labels.as_ref().is_some_and(|l| l.contains_key(GATE));
    let mut users: Vec<Value> = pods.items.into_iter().filter(|p| !is_ours(p)).map(|p| p.data).collect();
    for job in list(cron_jobs).await? {
        users.extend(job.data.pointer("/spec/jobTemplate/spec/template").cloned());
    }
    Ok(users)
}

/// `None` when nothing uses the claim. Whoever shares a claim with a user of this one is its neighbour as well.
fn judge(users: &[Value], claim: &str) -> Option<Place> {
    let mut together = BTreeSet::from([claim.to_owned()]);
    let mut near: Vec<&Value> = loop {
        let before = together.len();
        let near: Vec<&Value> = users
            .iter()
            .filter(|u| mounted(u).any(|c| together.contains(c)))
            .collect();
        together.extend(near.iter().flat_map(|u| mounted(u)).map(str::to_owned));
        if together.len() == before {
            break near;
        }
    };
    // The pods of the claim itself speak first, and one that cares about its machine before one that does not.
    near.sort_by_key(|u| (!mounted(u).any(|c| c == claim), rules(u).is_empty()));
    let first = near.first()?;
    together.remove(claim);
    Some(Place {
        beside: together,
        rules: rules(first),
    })
}

fn rules(user: &Value) -> Vec<(&'static str, Value)> {
    let of = |pointer: &str| {
        user.pointer(&format!("/spec{pointer}"))
            .filter(|v| !v.is_null())
            .cloned()
    };
    let nodes = of("/affinity/nodeAffinity").map(|nodes| json!({"nodeAffinity": nodes}));
    [
        ("nodeSelector", of("/nodeSelector")),
        ("affinity", nodes),
        ("tolerations", of("/tolerations")),
    ]
    .into_iter()
    .filter_map(|(name, rule)| Some((name, rule?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(claims: &[&str], rest: Value) -> Value {
        let volumes: Vec<Value> = claims
            .iter()
            .map(|c| json!({"persistentVolumeClaim": {"claimName": c}}))
            .collect();
        let mut spec = rest;
        spec["volumes"] = json!(volumes);
        json!({"spec": spec})
    }

    #[test]
    fn a_claim_that_nothing_mounts_has_no_place() {
        assert_eq!(judge(&[user(&["a"], json!({}))], "b"), None);
    }

    #[test]
    fn claims_of_one_pod_go_to_one_machine_and_so_does_what_shares_one_of_them() {
        let users = [
            user(&["a", "b"], json!({})),
            user(&["b", "c"], json!({})),
            user(&["d"], json!({})),
        ];
        let place = judge(&users, "a").unwrap();
        assert_eq!(place.beside, BTreeSet::from(["b".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn the_restore_stands_where_the_application_may_stand() {
        let users = [
            user(&["a"], json!({})),
            user(
                &["a"],
                json!({
                    "nodeSelector": {"kubernetes.io/hostname": "w2"},
                    "tolerations": [{"operator": "Exists"}],
                    "affinity": {"nodeAffinity": {"x": 1}, "podAffinity": {"of pods that do not run": true}},
                }),
            ),
        ];
        let rules = judge(&users, "a").unwrap().rules;
        assert_eq!(
            json!(rules),
            json!([
                ["nodeSelector", {"kubernetes.io/hostname": "w2"}],
                ["affinity", {"nodeAffinity": {"x": 1}}],
                ["tolerations", [{"operator": "Exists"}]],
            ])
        );
    }
}
