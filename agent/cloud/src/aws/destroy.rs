//! The end of a generation. Passes over everything that is left, in the order in which AWS lets things go, until nothing is:
//! what AWS still holds, or shows only later, is taken in a later pass. So it can be begun again anywhere.

use std::time::Duration;

use skykeep_core::Progress;
use tokio::time::Instant;

use super::AwsCloud;
use crate::{CloudError, Result, Thing, ending::Ending};

/// Deleted (`None`), or gone already, or still in use (what AWS says): all are fine in a pass.
fn passable(what: &str, result: Result<()>, progress: &Progress) -> Result<Option<String>> {
    match result {
        Ok(()) => {
            progress.note(format!("{what} deleted"));
            Ok(None)
        }
        Err(e) if gone(&e) => Ok(None),
        Err(e) if busy(&e) => Ok(Some(format!("; AWS says {} of {what}", e.code().unwrap_or("nothing")))),
        Err(e) => Err(e),
    }
}

impl Ending for AwsCloud {
    const NAME: &'static str = "AWS";
    const PAUSE: Duration = Duration::from_secs(3);
    const STAYS: &'static str =
        "What stays for an hour is held by something else: look in the AWS console who uses it.";

    async fn pass(&self, progress: &Progress) -> Result<String> {
        let (entry, nodes) = tokio::join!(self.remove_entry(progress), self.remove_nodes(progress));
        let said = entry?;
        // Nothing of the network can go before its nodes.
        let nodes_left = nodes?;
        if nodes_left > 0 {
            return Ok(format!("; {nodes_left} nodes are ending{said}"));
        }
        let later = self.remove_network(progress).await?;
        Ok(if later.is_empty() { said } else { later })
    }

    async fn left(&self) -> Result<Vec<Thing>> {
        self.list_everything().await
    }

    fn doubtful_until(&self) -> Instant {
        self.doubtful_until
    }
}

impl AwsCloud {
    async fn remove_entry(&self, progress: &Progress) -> Result<String> {
        for balancer in self.balancers().await? {
            self.delete_balancer(&balancer.arn).await?;
            progress.note(format!("load balancer {} deleted", balancer.name));
        }
        let mut said = None;
        for group in self.all_target_groups().await? {
            said = passable(&group.name, self.delete_target_group(&group.arn).await, progress)?.or(said);
        }
        // A balancer's interfaces hold the addresses for minutes after it has gone.
        for address in self.all_addresses().await?.iter().filter(|a| a.association.is_none()) {
            let what = format!("public address {}", address.ip);
            said = passable(&what, self.release(address.id.clone()).await, progress)?.or(said);
        }
        Ok(said.unwrap_or_default())
    }

    /// How many have not ended yet.
    async fn remove_nodes(&self, progress: &Progress) -> Result<usize> {
        let mut machines = self.machines(None).await?;
        machines.retain(|m| !m.ended());
        let ids: Vec<String> = machines
            .iter()
            .filter(|m| m.state.name != "shutting-down")
            .map(|m| m.id.clone())
            .collect();
        if !ids.is_empty() {
            self.terminate(&ids).await?;
            progress.note(format!("{} nodes told to end", ids.len()));
        }
        Ok(machines.len())
    }

    async fn remove_network(&self, progress: &Progress) -> Result<String> {
        let mut said = None;
        for one in self.interfaces().await? {
            said = passable(&one.id, self.delete_interface(&one.id).await, progress)?.or(said);
        }
        let groups = self.all_groups().await?;
        for group in &groups {
            self.empty_group(group).await?;
        }
        for group in groups {
            said = passable(&group.id, self.delete_group(group.id.clone()).await, progress)?.or(said);
        }
        for subnet in self.all_subnets().await? {
            said = passable(&subnet.id, self.delete_subnet(subnet.id.clone()).await, progress)?.or(said);
        }
        for gateway in self.gateways().await? {
            for attachment in &gateway.attachments.list {
                let what = format!("the attachment of {}", gateway.id);
                said = passable(&what, self.detach(&gateway.id, &attachment.vpc).await, progress)?.or(said);
            }
            said = passable(&gateway.id, self.delete_gateway(gateway.id.clone()).await, progress)?.or(said);
        }
        for vpc in self.vpcs().await? {
            said = passable(&vpc.id, self.delete_vpc(vpc.id.clone()).await, progress)?.or(said);
        }
        Ok(said.unwrap_or_default())
    }
}

fn gone(error: &CloudError) -> bool {
    matches!(error, CloudError::Aws { error, .. } if error.is_not_found())
}

fn busy(error: &CloudError) -> bool {
    matches!(
        error.code(),
        Some(
            "DependencyViolation"
                | "ResourceInUse"
                | "InvalidIPAddress.InUse"
                | "InvalidAddress.InUse"
                | "InvalidNetworkInterface.InUse"
                | "InvalidParameterValue.InUse"
                | "OperationNotPermitted"
        )
    )
}
