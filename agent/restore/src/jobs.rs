//! The Job in the cluster that restores one treasure: made, found again, taken away.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use skykeep_core::{Deadline, Trouble, deadline::Look, poll};

use crate::{
    RestoreError,
    gate::{apply, core},
    place::{self, Place},
};

/// What a job restores into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The treasure's name.
    pub(crate) treasure: &'a str,
    /// Namespace of its claim.
    pub(crate) namespace: &'a str,
    /// The claim.
    pub(crate) claim: &'a str,
}

impl Target<'_> {
    /// The name of its Job, and of what belongs to that.
    pub(crate) fn job_name(&self) -> String {
        format!("skykeep-restore-{}", self.treasure)
    }
}

pub(crate) fn jobs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("batch", "v1", "Job"), "jobs");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Finds the Job and adopts it; one that failed is taken away and made anew, of these objects.
pub(crate) async fn start(
    client: &Client,
    target: Target<'_>,
    deadline: Deadline,
    objects: Vec<Value>,
) -> Result<(), Trouble> {
    let jobs = jobs(client, target.namespace);
    if let Some(old) = jobs
        .get_opt(&target.job_name())
        .await
        .map_err(|e| RestoreError::kube("look for the restore job", &e))?
    {
        if !has_condition(&old.data, "Failed") {
            return Ok(());
        }
        remove(client, target).await?;
    }
    let place = place::find(client, target.namespace, target.claim, deadline).await?;
    for object in objects {
        apply(client, &at(object, &place)).await?;
    }
    Ok(())
}

/// A Job's pod stands at this place; other objects stand nowhere.
fn at(mut object: Value, place: &Place) -> Value {
    let Some(pod) = object.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut) else {
        return object;
    };
    for (rule, value) in &place.rules {
        pod.insert((*rule).to_owned(), value.clone());
    }
    if let Some(volumes) = pod.get_mut("volumes").and_then(Value::as_array_mut) {
        // Not for the container: the scheduler looks for a machine where all of them can be.
        let beside = place.beside.iter().enumerate();
        volumes.extend(
            beside.map(
                |(i, claim)| json!({"name": format!("beside-{i}"), "persistentVolumeClaim": {"claimName": claim}}),
            ),
        );
    }
    object
}

/// Takes the treasure's job away, if there is one, with its pods.
pub(crate) async fn remove(client: &Client, target: Target<'_>) -> Result<(), Trouble> {
    let name = target.job_name();
    let jobs = jobs(client, target.namespace);
    match jobs.delete(&name, &DeleteParams::foreground()).await {
        Ok(_) => {}
        Err(kube::Error::Api(e)) if e.code == 404 => return Ok(()),
        Err(e) => return Err(RestoreError::kube("take away the old restore job", &e).into()),
    }
    poll(
        "the old restore job to go away",
        Deadline::after(Duration::from_secs(60)),
        Duration::from_millis(500),
        || async {
            let found = jobs.get_opt(&name).await;
            let found = found.map_err(|e| RestoreError::kube("look for the restore job", &e))?;
            Ok(match found {
                None => Look::Ready(()),
                Some(_) => Look::NotYet("it is still there".into()),
            })
        },
    )
    .await
}

pub(crate) fn has_condition(job: &Value, kind: &str) -> bool {
    let conditions = job
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    conditions.iter().any(|c| {
        c.get("type").and_then(Value::as_str) == Some(kind) && c.get("status").and_then(Value::as_str) == Some("True")
    })
}

/// The backup's keys do not stay in the cluster, nor does the Job: a claim that an ended pod still names can't be deleted.
pub(crate) async fn clean(client: &Client, target: Target<'_>) -> Result<(), Trouble> {
    let name = target.job_name();
    let secrets: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), target.namespace, &core("Secret", "secrets"));
    let gone = secrets.delete(&name, &DeleteParams::default()).await;
    gone_or_never("delete the restore job's secret", gone.map(drop))?;
    let gone = jobs(client, target.namespace)
        .delete(&name, &DeleteParams::background())
        .await;
    gone_or_never("delete the restore job", gone.map(drop))
}

fn gone_or_never(what: &str, deleted: Result<(), kube::Error>) -> Result<(), Trouble> {
    match deleted {
        Ok(()) => Ok(()),
        Err(kube::Error::Api(e)) if e.code == 404 => Ok(()),
        Err(e) => Err(RestoreError::kube(what, &e).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_job_stands_where_its_application_will() {
        let place = Place {
            beside: ["cache".to_owned()].into(),
            rules: vec![("nodeSelector", json!({"disk": "big"}))],
        };
        let secret = json!({"kind": "Secret", "stringData": {"a": "b"}});
        assert_eq!(at(secret.clone(), &place), secret);
        let job = json!({"kind": "Job", "spec": {"template": {"spec": {"volumes": [{"name": "treasure"}]}}}});
        let pod = &at(job, &place)["spec"]["template"]["spec"];
        assert_eq!(pod["nodeSelector"]["disk"], "big");
        assert_eq!(pod["volumes"][1]["persistentVolumeClaim"]["claimName"], "cache");
    }
}
