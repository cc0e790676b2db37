//! The end of a generation, in passes: what Hetzner still holds goes in a later one. So it can be begun again anywhere.

use std::time::Duration;

use skykeep_core::{Deadline, Explained, Progress, Trouble, deadline::Look};
use tokio::time::Instant;

use super::{
    HetznerCloud,
    balancer::Balancer,
    call::{Named, lift, passes},
    inventory::KINDS,
    servers::Server,
};
use crate::{CloudError, Result, cost::summary, wait::wait};

const PAUSE: Duration = Duration::from_secs(2);
/// How long the list of what is left may take once the deadline has passed.
const LAST_LOOK: Duration = Duration::from_secs(20);

impl HetznerCloud {
    pub(super) async fn remove_everything(&self, until: Deadline, progress: &Progress) -> Result<()> {
        let gone = wait("everything of this generation to be gone", until, PAUSE, || async {
            let said = self.pass(progress).await?;
            let left = self.list_everything().await?;
            Ok(match left.first() {
                None if Instant::now() >= self.doubtful_until => Look::Ready(()),
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
            Err(CloudError::Wait(trouble)) => return Err(self.not_gone(&trouble).await),
            gone => gone?,
        }
        progress.note("nothing of this generation is left");
        Ok(())
    }

    /// The deadline has passed: says what is left and what it costs.
    async fn not_gone(&self, trouble: &Trouble) -> CloudError {
        let Explained { what, why, .. } = trouble.explained();
        let left = match tokio::time::timeout(LAST_LOOK, self.list_everything()).await {
            Ok(Ok(things)) => summary(&things),
            Ok(Err(_)) | Err(_) => "unknown, Hetzner did not answer".to_owned(),
        };
        CloudError::Unfit(Explained {
            what,
            why: format!("{why}; left: {left}"),
            remedy: "Start `skykeep destroy` again: it goes on where this one stopped. What stays is protected or used by something else: look in Hetzner's console.".into(),
        })
    }

    /// The entry and the servers first; what they use can't go before them.
    async fn pass(&self, progress: &Progress) -> Result<String> {
        let mut said = String::new();
        for balancer in self.ours::<Balancer>("load_balancers").await? {
            let what = format!("load balancer {}", balancer.id());
            self.remove(&format!("load_balancers/{}", balancer.id()), &what, &mut said, progress)
                .await?;
        }
        let servers = self.ours::<Server>("servers").await?;
        for server in servers.iter().filter(|s| s.status != "deleting") {
            let what = format!("server {}", server.id());
            self.remove(&format!("servers/{}", server.id()), &what, &mut said, progress)
                .await?;
        }
        if !servers.is_empty() {
            return Ok(format!("; {} servers are ending{said}", servers.len()));
        }
        for (kind, ours) in KINDS
            .iter()
            .filter(|(kind, _)| *kind != "servers" && *kind != "load_balancers")
        {
            for thing in self.ours::<Named>(kind).await? {
                let what = format!("{ours} {}", thing.id);
                self.remove(&format!("{kind}/{}", thing.id), &what, &mut said, progress)
                    .await?;
            }
        }
        Ok(said)
    }

    /// Deleted, or gone already, or still in use: all are fine in a pass.
    async fn remove(&self, path: &str, what: &str, said: &mut String, progress: &Progress) -> Result<()> {
        match self
            .api
            .delete(path)
            .await
            .map_err(lift("Deleting what the castle was made of"))
        {
            Ok(_) => progress.note(format!("{what} deleted")),
            Err(e) if e.code() == Some("resource_in_use") || passes(&e) => {
                *said = format!("; Hetzner says {} of {what}", e.code().unwrap_or("nothing"));
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }
}
