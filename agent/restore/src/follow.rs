//! Following a restore job until its data is verified.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, LogParams},
};
use serde::de::DeserializeOwned;
use skykeep_core::{Deadline, Progress, Trouble, deadline::Look, poll};

use crate::{
    RestoreError,
    jobs::{Target, has_condition, jobs},
    tell::Told,
};

/// What a job says in the end.
pub(crate) trait Verified: DeserializeOwned {
    /// What came back, for people.
    fn text(&self) -> String;
}

/// Waits for the Job's end, telling how far it is; gives the outcome that it printed.
pub(crate) async fn follow<T: Verified>(
    client: &Client,
    target: Target<'_>,
    deadline: Deadline,
    progress: &Progress,
) -> Result<T, Trouble> {
    let job = &target.job_name();
    let jobs = jobs(client, target.namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), target.namespace);
    let told = Told::new(client, target);
    let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    poll(
        &format!("the treasure `{}`", target.treasure),
        deadline,
        Duration::from_secs(1),
        || async {
            let now = jobs
                .get(job)
                .await
                .map_err(|e| RestoreError::kube("watch the restore job", &e))?;
            let seen = pods
                .list(&selector)
                .await
                .map_err(|e| RestoreError::kube("watch the restore pod", &e))?;
            let newest = seen
                .items
                .iter()
                .max_by_key(|p| p.metadata.creation_timestamp.clone().map(|t| t.0));
            let log = match newest.and_then(|p| p.metadata.name.as_deref()) {
                Some(pod) => pods
                    .logs(
                        pod,
                        &LogParams {
                            tail_lines: Some(20),
                            ..LogParams::default()
                        },
                    )
                    .await
                    .unwrap_or_default(),
                None => String::new(),
            };
            if has_condition(&now.data, "Failed") {
                told.at_once("failed: pods that mount it stay held").await;
                return Err(RestoreError::JobFailed {
                    treasure: target.treasure.to_owned(),
                    log: last_lines(&log),
                }
                .into());
            }
            match crate::job::last_outcome_in::<T>(&log) {
                Some(outcome) if has_condition(&now.data, "Complete") => {
                    told.at_once(&format!("done: {}, verified", outcome.text())).await;
                    Ok(Look::Ready(outcome))
                }
                _ => {
                    if let Some(so_far) = crate::job::last_progress_in(&log) {
                        let (done, total) = so_far.bytes();
                        progress.bytes(done, total);
                        told.tell(so_far.to_string()).await;
                    }
                    let phase = newest
                        .and_then(|p| p.status.as_ref()?.phase.clone())
                        .unwrap_or_else(|| "not there yet".into());
                    let waits = crate::job::waits_in(&log);
                    if let Some(text) = &waits {
                        told.tell(text.clone()).await;
                    }
                    Ok(Look::NotYet(waits.unwrap_or_else(|| format!("its pod is {phase}"))))
                }
            }
        },
    )
    .await
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(4).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
