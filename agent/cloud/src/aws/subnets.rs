//! One subnet per zone.

use ipnet::Ipv4Net;
use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Progress, ids::TAG_ROLE};

use super::{
    AwsCloud,
    xml::{Done, Items, Tag, ec2_page, tag},
};
use crate::{Result, Subnet, plan::subnet_of};

#[derive(Debug, Deserialize)]
pub(super) struct Found {
    #[serde(rename = "subnetId")]
    pub id: String,
    #[serde(rename = "vpcId", default)]
    vpc: String,
    #[serde(default)]
    pub state: String,
    #[serde(rename = "cidrBlock")]
    cidr: Ipv4Net,
    #[serde(rename = "availabilityZone")]
    zone: String,
    #[serde(rename = "tagSet", default)]
    pub tags: Items<Tag>,
}

impl Found {
    pub(super) fn name(&self) -> &str {
        tag(&self.tags, "Name")
    }
}

ec2_page!(Subnets, "subnetSet", Found);

#[derive(Deserialize)]
struct Created {
    subnet: Found,
}

impl AwsCloud {
    pub(super) async fn all_subnets(&self) -> Result<Vec<Found>> {
        self.list::<Subnets>(
            Service::Ec2,
            "Looking for the subnets",
            "DescribeSubnets",
            self.mine(None).params(),
        )
        .await
    }

    pub(super) async fn subnets(&self, vpc: &str, progress: &Progress) -> Result<Vec<Subnet>> {
        let mut subnets = Vec::new();
        for (i, zone) in self.aws.zones.iter().enumerate() {
            let role = format!("subnet-{}", i + 1);
            let cidr = subnet_of(self.aws.vpc_cidr, i);
            let found = self
                .adopt(
                    &format!("subnet {cidr}"),
                    progress,
                    || async {
                        let mut all = self.all_subnets().await?;
                        all.retain(|s| s.vpc == vpc && tag(&s.tags, TAG_ROLE) == role);
                        Ok(all)
                    },
                    || async {
                        let params = Params::new()
                            .with("VpcId", vpc)
                            .with("CidrBlock", cidr)
                            .with("AvailabilityZone", zone);
                        let params = self.tagged(params, &role, &["subnet"]);
                        let doing = format!("Creating the subnet {cidr} in {zone}");
                        let made = self.settle::<Created>(
                            Service::Ec2,
                            &doing,
                            "CreateSubnet",
                            &params,
                            &["InvalidSubnet.Conflict"],
                        );
                        match made.await? {
                            Some(made) => Ok(made.subnet),
                            // An answer was lost: the range is taken by our own subnet.
                            None => self.subnet_by_role(vpc, &role).await,
                        }
                    },
                    |id| self.delete_subnet(id),
                    |subnet| &subnet.id,
                )
                .await?;
            subnets.push(Subnet {
                id: found.id,
                zone: found.zone,
                cidr: found.cidr,
            });
        }
        Ok(subnets)
    }

    async fn subnet_by_role(&self, vpc: &str, role: &str) -> Result<Found> {
        let doing = "Looking for a subnet whose creation was not answered";
        for _ in 0..15 {
            let found = self
                .list::<Subnets>(Service::Ec2, doing, "DescribeSubnets", self.mine(Some(role)).params())
                .await?;
            if let Some(first) = found.into_iter().find(|s| s.vpc == vpc) {
                return Ok(first);
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        Err(crate::CloudError::Unfit(skykeep_core::Explained {
            what: format!("The {role} can't be created"),
            why: "its range is taken by something that is not the castle's".into(),
            remedy: "Look into the network in the AWS console; begin a new generation if somebody changed it.".into(),
        }))
    }

    pub(super) async fn delete_subnet(&self, id: String) -> Result<()> {
        let params = Params::new().with("SubnetId", id);
        self.change::<Done>(Service::Ec2, "Deleting a subnet", "DeleteSubnet", &params)
            .await
            .map(|_| ())
    }
}
