//! Target groups: which nodes stand behind the entry's ports, and whether they answer.

use std::time::Duration;

use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Deadline, Explained, Progress, castle::EntryPort, deadline};

use super::{
    AwsCloud,
    xml::{Done, Members, elb_page},
};
use crate::{CloudError, Entry, Instance, Network, Result, TargetGroup, wait::wait};

#[derive(Debug, Deserialize)]
pub(super) struct Found {
    #[serde(rename = "TargetGroupArn")]
    pub arn: String,
    #[serde(rename = "TargetGroupName")]
    pub name: String,
}

elb_page!(
    Groups,
    GroupsResult,
    "DescribeTargetGroupsResult",
    "TargetGroups",
    Found
);

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "CreateTargetGroupResult")]
    result: CreatedResult,
}

#[derive(Deserialize)]
struct CreatedResult {
    #[serde(rename = "TargetGroups")]
    list: Members<Found>,
}

#[derive(Debug, Deserialize)]
struct Health {
    #[serde(rename = "TargetHealth")]
    health: HealthState,
}

#[derive(Debug, Deserialize)]
struct HealthState {
    #[serde(rename = "State")]
    state: String,
}

elb_page!(
    Healths,
    HealthsResult,
    "DescribeTargetHealthResult",
    "TargetHealthDescriptions",
    Health
);

impl AwsCloud {
    fn target_group_name(&self, port: u16) -> String {
        self.short_name(&format!("port-{port}"))
    }

    /// This generation's target groups, whatever ports the castle file names today.
    pub(super) async fn all_target_groups(&self) -> Result<Vec<Found>> {
        let doing = "Looking for the target groups";
        let mut all = self
            .list::<Groups>(Service::Elb, doing, "DescribeTargetGroups", Params::new())
            .await?;
        let ours = self.short_name("port-");
        all.retain(|g| g.name.starts_with(&ours));
        Ok(all)
    }

    pub(super) async fn target_groups(
        &self,
        network: &Network,
        ports: &[EntryPort],
        progress: &Progress,
    ) -> Result<Vec<TargetGroup>> {
        let present = self.all_target_groups().await?;
        let mut groups = Vec::new();
        for EntryPort { port, node_port } in ports {
            let name = self.target_group_name(*port);
            let arn = match present.iter().find(|g| g.name == name) {
                Some(found) => found.arn.clone(),
                None => {
                    progress.note(format!("target group for port {port} created"));
                    self.create_target_group(network, &name, *port, *node_port).await?
                }
            };
            // Sending the nodes' own address inside lets a pod reach its own castle's public name.
            let params = Params::new()
                .with("TargetGroupArn", &arn)
                .with("Attributes.member.1.Key", "preserve_client_ip.enabled")
                .with("Attributes.member.1.Value", false);
            let doing = "Setting up a target group";
            self.settle::<Done>(Service::Elb, doing, "ModifyTargetGroupAttributes", &params, &[])
                .await?;
            groups.push(TargetGroup {
                arn,
                port: *port,
                node_port: *node_port,
            });
        }
        Ok(groups)
    }

    async fn create_target_group(&self, network: &Network, name: &str, port: u16, node_port: u16) -> Result<String> {
        let params = Params::new()
            .with("Name", name)
            .with("Protocol", "TCP")
            .with("Port", node_port)
            .with("VpcId", &network.vpc_id)
            .with("TargetType", "instance")
            .with("HealthCheckProtocol", "TCP")
            .with("HealthCheckPort", "traffic-port")
            .with("HealthCheckIntervalSeconds", 5)
            .with("HealthCheckTimeoutSeconds", 5)
            .with("HealthyThresholdCount", 2)
            .with("UnhealthyThresholdCount", 2);
        let params = self.tagged_elb(params, &format!("port-{port}"));
        let doing = "Creating a target group";
        let made = self
            .settle::<Created>(Service::Elb, doing, "CreateTargetGroup", &params, &[])
            .await?;
        made.and_then(|m| m.result.list.list.into_iter().next())
            .map(|g| g.arn)
            .ok_or_else(|| {
                CloudError::Unfit(Explained {
                    what: "A target group was created, but AWS names none".into(),
                    why: "the answer is empty".into(),
                    remedy: "Start again.".into(),
                })
            })
    }

    pub(super) async fn register_targets(&self, entry: &Entry, nodes: &[Instance]) -> Result<()> {
        for group in &entry.target_groups {
            let mut params = Params::new().with("TargetGroupArn", &group.arn);
            for (i, node) in nodes.iter().enumerate() {
                params.push(format!("Targets.member.{}.Id", i + 1), &node.id);
            }
            let doing = format!("Sending port {} to the nodes", group.port);
            self.settle::<Done>(Service::Elb, &doing, "RegisterTargets", &params, &[])
                .await?;
        }
        Ok(())
    }

    pub(super) async fn healthy(&self, entry: &Entry, until: Deadline, progress: &Progress) -> Result<()> {
        for group in &entry.target_groups {
            let what = format!(
                "a node to answer behind port {} of the entry (node port {})",
                group.port, group.node_port
            );
            wait(&what, until, Duration::from_secs(2), || async {
                let params = Params::new().with("TargetGroupArn", &group.arn);
                let found = self
                    .list::<Healths>(Service::Elb, "Looking at the entry", "DescribeTargetHealth", params)
                    .await?;
                let states: Vec<String> = found.into_iter().map(|h| h.health.state).collect();
                Ok(if states.iter().any(|s| s == "healthy") {
                    deadline::Look::Ready(())
                } else {
                    deadline::Look::NotYet(format!("targets are [{}]", states.join(", ")))
                })
            })
            .await?;
            progress.note(format!("a node answers behind port {}", group.port));
        }
        Ok(())
    }

    pub(super) async fn delete_target_group(&self, arn: &str) -> Result<()> {
        let params = Params::new().with("TargetGroupArn", arn);
        let doing = "Deleting a target group";
        let fine = ["TargetGroupNotFound"];
        self.settle::<Done>(Service::Elb, doing, "DeleteTargetGroup", &params, &fine)
            .await
            .map(|_| ())
    }
}
