//! The network itself.

use std::time::Duration;

use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Deadline, Progress, deadline};

use super::{
    AwsCloud,
    xml::{Done, Items, Tag, ec2_page, tag},
};
use crate::{Result, wait::wait};

#[derive(Debug, Deserialize)]
pub(super) struct Vpc {
    #[serde(rename = "vpcId")]
    pub id: String,
    #[serde(default)]
    pub state: String,
    #[serde(rename = "tagSet", default)]
    pub tags: Items<Tag>,
}

impl Vpc {
    pub(super) fn name(&self) -> &str {
        tag(&self.tags, "Name")
    }
}

ec2_page!(Vpcs, "vpcSet", Vpc);

#[derive(Deserialize)]
struct Created {
    vpc: Vpc,
}

impl AwsCloud {
    pub(super) async fn vpcs(&self) -> Result<Vec<Vpc>> {
        self.list::<Vpcs>(
            Service::Ec2,
            "Looking for the network",
            "DescribeVpcs",
            self.mine(None).params(),
        )
        .await
    }

    /// How many networks the account has in this region, whoever's they are.
    pub(super) async fn networks_in_use(&self) -> Result<usize> {
        let doing = "Counting the networks";
        let found = self
            .list::<Vpcs>(Service::Ec2, doing, "DescribeVpcs", Params::new())
            .await?;
        Ok(found.len())
    }

    /// The network, ready, with DNS inside.
    pub(super) async fn vpc(&self, progress: &Progress) -> Result<String> {
        let vpc = self
            .adopt(
                "network",
                progress,
                || self.vpcs(),
                || async {
                    let params = Params::new().with("CidrBlock", self.aws.vpc_cidr);
                    let params = self.tagged(params, "vpc", &["vpc"]);
                    let made: Created = self
                        .change(Service::Ec2, "Creating the network", "CreateVpc", &params)
                        .await?;
                    Ok(made.vpc)
                },
                |id| self.delete_vpc(id),
                |vpc| &vpc.id,
            )
            .await?;
        let id = vpc.id.clone();
        wait(
            "the network",
            Deadline::after(Duration::from_secs(120)),
            Duration::from_secs(1),
            || async {
                let seen = self.vpcs().await?.into_iter().find(|v| v.id == id);
                Ok(match seen {
                    Some(v) if v.state == "available" => deadline::Look::Ready(()),
                    Some(v) => deadline::Look::NotYet(v.state),
                    None => deadline::Look::NotYet("not visible yet".into()),
                })
            },
        )
        .await?;
        for attribute in ["EnableDnsSupport", "EnableDnsHostnames"] {
            let params = Params::new()
                .with("VpcId", &vpc.id)
                .with(format!("{attribute}.Value"), true);
            let doing = "Switching DNS on in the network";
            self.settle::<Done>(Service::Ec2, doing, "ModifyVpcAttribute", &params, &[])
                .await?;
        }
        Ok(vpc.id)
    }

    pub(super) async fn delete_vpc(&self, id: String) -> Result<()> {
        let params = Params::new().with("VpcId", id);
        self.change::<Done>(Service::Ec2, "Deleting the network", "DeleteVpc", &params)
            .await
            .map(|_| ())
    }
}
