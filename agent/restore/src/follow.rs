//! Following a restore job until its data is verified.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, LogParams},
};
use skykeep_core::{Deadline, Progress, Trouble, deadline::Look, poll};

use crate::{
    RestoreError,
    job::Outcome,
    jobs::{has_condition, jobs},
    order::Order,
    tell::Told,
};

pub(crate) async fn follow(
    client: &Client,
    order: &Order<'_>,
    job: &str,
    deadline: Deadline,
    progress: &Progress,
) -> Result<Outcome, Trouble> {
    let jobs = jobs(client, order.namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), order.namespace);
    let told = Told::new(client, order);
    let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    poll(
        &format!("the treasure `{}`", order.name),
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
                    treasure: order.name.to_owned(),
                    log: last_lines(&log),
                }
                .into());
            }
            match Outcome::last_in(&log) {
                Some(outcome) if has_condition(&now.data, "Complete") => {
                    let text = format!("done: {} files, {} bytes, verified", outcome.files, outcome.bytes);
                    told.at_once(&text).await;
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
                    Ok(Look::NotYet(format!("its pod is {phase}")))
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
