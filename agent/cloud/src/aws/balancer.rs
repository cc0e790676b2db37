//! The load balancer and its listeners.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Deadline, Progress, deadline};

use super::{
    AwsCloud,
    addresses::Address,
    xml::{Done, elb_page},
};
use crate::{CloudError, Network, Result, TargetGroup, wait::wait};

#[derive(Debug, Deserialize)]
pub(super) struct Balancer {
    #[serde(rename = "LoadBalancerArn")]
    pub arn: String,
    #[serde(rename = "LoadBalancerName")]
    pub name: String,
    #[serde(rename = "State", default)]
    pub state: State,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct State {
    #[serde(rename = "Code", default)]
    pub code: String,
    #[serde(rename = "Reason", default)]
    reason: String,
}

elb_page!(
    Balancers,
    BalancersResult,
    "DescribeLoadBalancersResult",
    "LoadBalancers",
    Balancer
);

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "CreateLoadBalancerResult")]
    result: CreatedResult,
}

#[derive(Deserialize)]
struct CreatedResult {
    #[serde(rename = "LoadBalancers")]
    list: super::xml::Members<Balancer>,
}

#[derive(Debug, Deserialize)]
struct Listener {
    #[serde(rename = "Port")]
    port: u16,
}

elb_page!(
    Listeners,
    ListenersResult,
    "DescribeListenersResult",
    "Listeners",
    Listener
);

impl AwsCloud {
    pub(super) async fn balancers(&self) -> Result<Vec<Balancer>> {
        let params = Params::new().with("Names.member.1", self.short_name("entry"));
        self.list::<Balancers>(
            Service::Elb,
            "Looking for the load balancer",
            "DescribeLoadBalancers",
            params,
        )
        .await
    }

    /// The load balancer; its name is unique in the account, so there are no twins.
    pub(super) async fn balancer(
        &self,
        network: &Network,
        addresses: &[Address],
        progress: &Progress,
    ) -> Result<String> {
        let arn = match self.balancers().await?.into_iter().next() {
            Some(found) => {
                progress.note(format!("load balancer {} adopted", found.name));
                found.arn
            }
            None => self.create_balancer(network, addresses, progress).await?,
        };
        let params = Params::new()
            .with("LoadBalancerArn", &arn)
            .with("Attributes.member.1.Key", "load_balancing.cross_zone.enabled")
            .with("Attributes.member.1.Value", true);
        let doing = "Setting up the load balancer";
        self.settle::<Done>(Service::Elb, doing, "ModifyLoadBalancerAttributes", &params, &[])
            .await?;
        Ok(arn)
    }

    async fn create_balancer(&self, network: &Network, addresses: &[Address], progress: &Progress) -> Result<String> {
        let name = self.short_name("entry");
        let mut params = Params::new()
            .with("Name", &name)
            .with("Type", "network")
            .with("Scheme", "internet-facing")
            .with("IpAddressType", "ipv4")
            .with("SecurityGroups.member.1", &network.entry_group);
        for (i, (subnet, address)) in network.subnets.iter().zip(addresses).enumerate() {
            params.push(format!("SubnetMappings.member.{}.SubnetId", i + 1), &subnet.id);
            params.push(format!("SubnetMappings.member.{}.AllocationId", i + 1), &address.id);
        }
        let params = self.tagged_elb(params, "entry");
        let doing = "Creating the load balancer";
        // The same name with the same settings answers with the same balancer: creating it twice is safe.
        let made = self
            .settle::<Created>(Service::Elb, doing, "CreateLoadBalancer", &params, &[])
            .await?;
        let made = made
            .and_then(|m| m.result.list.list.into_iter().next())
            .ok_or_else(|| {
                CloudError::Unfit(skykeep_core::Explained {
                    what: "The load balancer was created, but AWS names none".into(),
                    why: "the answer is empty".into(),
                    remedy: "Start again.".into(),
                })
            })?;
        progress.note(format!("load balancer {name} created"));
        Ok(made.arn)
    }

    pub(super) async fn listeners(&self, arn: &str, groups: &[TargetGroup]) -> Result<()> {
        let params = Params::new().with("LoadBalancerArn", arn);
        let doing = "Setting up the load balancer's ports";
        let present = self
            .list::<Listeners>(Service::Elb, doing, "DescribeListeners", params)
            .await?;
        let present: BTreeSet<u16> = present.into_iter().map(|l| l.port).collect();
        for group in groups.iter().filter(|g| !present.contains(&g.port)) {
            let params = Params::new()
                .with("LoadBalancerArn", arn)
                .with("Protocol", "TCP")
                .with("Port", group.port)
                .with("DefaultActions.member.1.Type", "forward")
                .with("DefaultActions.member.1.TargetGroupArn", &group.arn);
            let params = self.tagged_elb(params, &format!("listener-{}", group.port));
            self.settle::<Done>(Service::Elb, doing, "CreateListener", &params, &["DuplicateListener"])
                .await?;
        }
        Ok(())
    }

    pub(super) async fn balancer_active(&self, arn: &str, until: Deadline, progress: &Progress) -> Result<()> {
        wait(
            "the load balancer to take connections",
            until,
            Duration::from_secs(3),
            || async {
                let found = self.balancers().await?.into_iter().find(|b| b.arn == arn);
                match found.map(|b| b.state) {
                    Some(state) if state.code == "active" => Ok(deadline::Look::Ready(())),
                    Some(state) if state.code == "failed" => Err(CloudError::Unfit(skykeep_core::Explained {
                        what: "The load balancer can't be provisioned".into(),
                        why: format!("AWS says: {}", state.reason),
                        remedy: "Destroy this generation and begin a new one; other zones may help.".into(),
                    })),
                    Some(state) => Ok(deadline::Look::NotYet(state.code)),
                    None => Ok(deadline::Look::NotYet("not visible".into())),
                }
            },
        )
        .await?;
        progress.note("the load balancer is active");
        Ok(())
    }

    pub(super) async fn delete_balancer(&self, arn: &str) -> Result<()> {
        let params = Params::new().with("LoadBalancerArn", arn);
        let doing = "Deleting the load balancer";
        let fine = ["LoadBalancerNotFound"];
        self.settle::<Done>(Service::Elb, doing, "DeleteLoadBalancer", &params, &fine)
            .await
            .map(|_| ())
    }
}
