//! What can be known before anything is created.

use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Explained, Progress};

use super::{
    AwsCloud,
    tagging::Filters,
    xml::{Done, Items, ec2_page},
};
use crate::{CloudError, Preflight, Result};

#[derive(Deserialize)]
struct Caller {
    #[serde(rename = "GetCallerIdentityResult")]
    result: Identity,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "Account")]
    account: String,
    #[serde(rename = "Arn")]
    arn: String,
}

#[derive(Debug, Deserialize)]
struct Zone {
    #[serde(rename = "zoneName")]
    name: String,
    #[serde(rename = "zoneState", default)]
    state: String,
}

ec2_page!(Zones, "availabilityZoneInfo", Zone);

#[derive(Debug, Deserialize)]
struct Offering {
    #[serde(rename = "instanceType")]
    kind: String,
    location: String,
}

ec2_page!(Offerings, "instanceTypeOfferingSet", Offering);

#[derive(Debug, Deserialize)]
struct Kind {
    #[serde(rename = "instanceType")]
    name: String,
    #[serde(rename = "vCpuInfo")]
    cpus: Cpus,
}

#[derive(Debug, Deserialize)]
struct Cpus {
    #[serde(rename = "defaultVCpus")]
    count: u32,
}

ec2_page!(Kinds, "instanceTypeSet", Kind);

#[derive(Debug, Deserialize)]
struct Attribute {
    #[serde(rename = "attributeValueSet", default)]
    values: Items<AttributeValue>,
}

#[derive(Debug, Deserialize)]
struct AttributeValue {
    #[serde(rename = "attributeValue")]
    value: String,
}

ec2_page!(Attributes, "accountAttributeSet", Attribute);

fn unfit(what: impl Into<String>, why: impl Into<String>, remedy: &str) -> CloudError {
    CloudError::Unfit(Explained {
        what: what.into(),
        why: why.into(),
        remedy: remedy.into(),
    })
}

impl AwsCloud {
    pub(super) async fn look_ahead(&self, progress: &Progress) -> Result<Preflight> {
        let (identity, image, zones, vcpus_needed, left, permitted) = tokio::join!(
            self.identity(),
            self.image(),
            self.check_zones(),
            self.check_types(),
            self.addresses_left(),
            self.check_permission()
        );
        let identity = identity?;
        permitted?;
        let (image, _) = image?;
        zones?;
        let addresses_left = left?;
        let mut warnings = Vec::new();
        if addresses_left.is_none() {
            warnings.push("AWS does not say how many elastic addresses are left".to_owned());
        }
        warnings.push(
            "AWS tells quotas of running instances only to Service Quotas: they show when nodes are launched"
                .to_owned(),
        );
        progress.note(format!(
            "AWS account {} as {}, image {image}",
            identity.account, identity.arn
        ));
        let vcpus_needed = vcpus_needed?;
        Ok(Preflight {
            account: identity.account,
            identity: identity.arn,
            image,
            addresses_left,
            vcpus_needed,
            warnings,
        })
    }

    async fn identity(&self) -> Result<Identity> {
        let doing = "Asking AWS who we are";
        let found = self
            .settle::<Caller>(Service::Sts, doing, "GetCallerIdentity", &Params::new(), &[])
            .await?;
        found
            .map(|c| c.result)
            .ok_or_else(|| unfit("AWS does not say who we are", "the answer is empty", "Start again."))
    }

    async fn check_zones(&self) -> Result<()> {
        let names: Vec<&str> = self.aws.zones.iter().map(String::as_str).collect();
        let params = Filters::new().with("zone-name", &names).params();
        let doing = "Looking at the zones";
        let found = self
            .list::<Zones>(Service::Ec2, doing, "DescribeAvailabilityZones", params)
            .await?;
        for zone in &self.aws.zones {
            let seen = found
                .iter()
                .find(|z| z.name == *zone)
                .map_or("missing", |z| z.state.as_str());
            if seen != "available" {
                return Err(unfit(
                    format!("Zone {zone} can't be used"),
                    format!("in {} it is {seen}", self.aws.region),
                    "Correct cloud.aws.zones in castle.yaml.",
                ));
            }
        }
        Ok(())
    }

    /// All types exist in all zones; answers how many processors they have together.
    async fn check_types(&self) -> Result<u32> {
        let groups = [&self.aws.control_planes, &self.aws.workers];
        let mut kinds: Vec<&str> = groups.iter().map(|g| g.instance_type.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let zones: Vec<&str> = self.aws.zones.iter().map(String::as_str).collect();
        let params = Filters::new()
            .with("instance-type", &kinds)
            .with("location", &zones)
            .params()
            .with("LocationType", "availability-zone");
        let doing = "Looking at the instance types";
        let offered = self
            .list::<Offerings>(Service::Ec2, doing, "DescribeInstanceTypeOfferings", params)
            .await?;
        for kind in &kinds {
            for zone in &zones {
                if !offered.iter().any(|o| o.kind == *kind && o.location == *zone) {
                    return Err(unfit(
                        format!("Instance type {kind} can't be used"),
                        format!("it is not offered in {zone}"),
                        "Use another instanceType or other zones in castle.yaml.",
                    ));
                }
            }
        }
        let params = Params::new().list("InstanceType", &kinds);
        let found = self
            .list::<Kinds>(Service::Ec2, doing, "DescribeInstanceTypes", params)
            .await?;
        let cpus = |name: &str| found.iter().find(|k| k.name == name).map_or(0, |k| k.cpus.count);
        Ok(groups
            .iter()
            .map(|g| cpus(&g.instance_type).saturating_mul(u32::from(g.count)))
            .sum())
    }

    async fn addresses_left(&self) -> Result<Option<u32>> {
        let params = Params::new().with("AttributeName.1", "vpc-max-elastic-ips");
        let doing = "Looking at the account's limits";
        let found = self
            .list::<Attributes>(Service::Ec2, doing, "DescribeAccountAttributes", params)
            .await?;
        let most = found
            .into_iter()
            .flat_map(|a| a.values.list)
            .find_map(|v| v.value.parse::<usize>().ok());
        let Some(most) = most else { return Ok(None) };
        let (taken, ours) = (self.addresses_in_use().await?, self.all_addresses().await?.len());
        let left = most.saturating_sub(taken);
        let wanted = self.addresses_wanted();
        if left + ours < wanted {
            return Err(unfit(
                "There are not enough elastic addresses",
                format!(
                    "the entry needs {wanted}, the account may have {most} in {} and holds {taken}",
                    self.aws.region
                ),
                "Release addresses that nobody needs, or ask for a higher quota (Service Quotas, `EC2-VPC Elastic IPs`).",
            ));
        }
        Ok(Some(u32::try_from(left).unwrap_or(u32::MAX)))
    }

    /// Dry runs: AWS answers whether it would have let us. Needs nothing to exist.
    async fn check_permission(&self) -> Result<()> {
        let vpc = Params::new().with("CidrBlock", self.aws.vpc_cidr);
        let address = Params::new().with("Domain", "vpc");
        let instance = Params::new()
            .with("ImageId", &self.aws.image)
            .with("InstanceType", &self.aws.workers.instance_type)
            .with("MinCount", 1)
            .with("MaxCount", 1);
        // Without a default network AWS complains of the missing subnet, once it has let us pass.
        let fine = [
            "DryRunOperation",
            "MissingInput",
            "VPCIdNotSpecified",
            "AddressLimitExceeded",
            "VpcLimitExceeded",
            "InvalidSubnet",
        ];
        for (action, params) in [
            ("CreateVpc", vpc),
            ("AllocateAddress", address),
            ("RunInstances", instance),
        ] {
            let params = params.with("DryRun", true);
            let doing = "Asking AWS whether the castle may be built";
            self.settle::<Done>(Service::Ec2, doing, action, &params, &fine).await?;
        }
        Ok(())
    }
}
