//! The end of a generation, the same at every supplier: passes over everything that is left, until nothing is. So it can be begun
//! again anywhere.

use std::{future::Future, time::Duration};

use skykeep_core::{Deadline, Explained, Progress, Trouble, deadline::Look};
use tokio::time::Instant;

use crate::{CloudError, Result, Thing, cost::summary, wait::wait};

/// How long the list of what is left may take once the deadline has passed.
const LAST_LOOK: Duration = Duration::from_secs(20);

/// What differs from supplier to supplier.
pub(crate) trait Ending {
    /// The supplier's name.
    const NAME: &'static str;
    /// Between two passes.
    const PAUSE: Duration;
    /// What a person does about things that stay.
    const STAYS: &'static str;

    /// Takes what can go now; answers what the supplier said about the rest.
    fn pass(&self, progress: &Progress) -> impl Future<Output = Result<String>> + Send;

    /// Everything that is left.
    fn left(&self) -> impl Future<Output = Result<Vec<Thing>>> + Send;

    /// Until then something may exist that no list shows.
    fn doubtful_until(&self) -> Instant;
}

/// Passes until nothing is left.
pub(crate) async fn remove_everything<E: Ending>(cloud: &E, until: Deadline, progress: &Progress) -> Result<()> {
    let gone = wait("everything of this generation to be gone", until, E::PAUSE, || async {
        let said = cloud.pass(progress).await?;
        let left = cloud.left().await?;
        Ok(match left.first() {
            None if Instant::now() >= cloud.doubtful_until() => Look::Ready(()),
            None => Look::NotYet("nothing is visible, but something may have been created a moment ago".into()),
            Some(first) => Look::NotYet(format!(
                "{} things are left, among them {} {} {}{said}",
                left.len(),
                first.kind,
                first.id,
                first.state
            )),
        })
    });
    match gone.await {
        Err(CloudError::Wait(trouble)) => return Err(not_gone(cloud, &trouble).await),
        gone => gone?,
    }
    progress.note("nothing of this generation is left");
    Ok(())
}

/// The deadline has passed: says what is left and what it costs, for whoever decides whether to wait.
async fn not_gone<E: Ending>(cloud: &E, trouble: &Trouble) -> CloudError {
    let Explained { what, why, .. } = trouble.explained();
    let left = match tokio::time::timeout(LAST_LOOK, cloud.left()).await {
        Ok(Ok(things)) => summary(&things),
        Ok(Err(_)) | Err(_) => format!("unknown, {} did not answer", E::NAME),
    };
    CloudError::Unfit(Explained {
        what,
        why: format!("{why}; left: {left}"),
        remedy: format!(
            "Start `skykeep destroy` again: it goes on where this one stopped. {}",
            E::STAYS
        ),
    })
}
