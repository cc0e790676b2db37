//! The end of a generation, in passes: what Hetzner still holds goes in a later one. So it can be begun again anywhere.

use std::time::Duration;

use skykeep_core::Progress;
use tokio::time::Instant;

use super::{
    HetznerCloud,
    balancer::Balancer,
    call::{Named, lift, passes},
    inventory::KINDS,
    servers::Server,
};
use crate::{Result, Thing, ending::Ending};

impl Ending for HetznerCloud {
    const NAME: &'static str = "Hetzner";
    const PAUSE: Duration = Duration::from_secs(2);
    const STAYS: &'static str = "What stays is protected or used by something else: look in Hetzner's console.";

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

    async fn left(&self) -> Result<Vec<Thing>> {
        self.list_everything().await
    }

    fn doubtful_until(&self) -> Instant {
        self.doubtful_until
    }
}

impl HetznerCloud {
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
