//! What can be known before anything is created.

use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Explained, Progress};

use super::{
    AwsCloud,
    quotas::Left,
    tagging::Filters,
    xml::{Done, ec2_page},
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

fn unfit(what: impl Into<String>, why: impl Into<String>, remedy: &str) -> CloudError {
    CloudError::Unfit(Explained {
        what: what.into(),
        why: why.into(),
        remedy: remedy.into(),
    })
}

impl AwsCloud {
    pub(super) async fn look_ahead(&self, progress: &Progress) -> Result<Preflight> {
        // First alone: with a bad key everything else would only say so again, and a wrong clock is corrected here.
        let identity = self.identity().await?;
        let (image, zones, types) = tokio::join!(self.image(), self.check_zones(), self.check_types());
        let image = image?;
        zones?;
        let (vcpus_needed, mut warnings) = types?;
        let (left, permitted) = tokio::join!(self.quotas(vcpus_needed), self.check_permission(&image.id));
        permitted?;
        let left = left?;
        warnings.extend(self.warnings(&left));
        progress.note(format!(
            "AWS account {} as {}, image {}",
            identity.account, identity.arn, image.name
        ));
        Ok(Preflight {
            account: identity.account,
            identity: identity.arn,
            image: image.name.clone(),
            addresses_left: left.addresses,
            vcpus_needed,
            vcpus_left: left.vcpus,
            networks_left: left.networks,
            warnings,
        })
    }

    fn warnings(&self, left: &Left) -> Vec<String> {
        let mut warnings = vec!["whether AWS has machines left in a zone shows only when they are launched".to_owned()];
        if left.vcpus.is_none() || left.addresses.is_none() || left.networks.is_none() {
            warnings.push("the key may not read Service Quotas: limits show only when they are met".to_owned());
        }
        let (zones, planes) = (self.aws.zones.len(), usize::from(self.aws.control_planes.count));
        if planes > 1 && zones < 3 {
            warnings.push(format!(
                "{planes} control planes in {zones} zones: the loss of one zone can stop the cluster; list three zones"
            ));
        }
        if self.aws.workers.spot {
            warnings.push(
                "workers are asked for as spot machines: AWS may take them away at any moment, with what lies on their disks".to_owned(),
            );
        }
        if self.aws.session_token.is_some() {
            warnings.push("temporary keys: AWS does not tell when they end; they must outlive the rebirth".to_owned());
        }
        warnings
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

    /// In every zone some type of each group can be had; answers how many processors the largest of them need together, and
    /// what is not as the owner likes it best.
    async fn check_types(&self) -> Result<(u32, Vec<String>)> {
        let groups = [&self.aws.control_planes, &self.aws.workers];
        let mut kinds: Vec<&str> = groups.iter().flat_map(|g| g.types()).collect();
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
        let offers = |kind: &str, zone: &str| offered.iter().any(|o| o.kind == kind && o.location == zone);
        let mut warnings = Vec::new();
        for group in groups {
            for zone in &zones {
                match group.types().find(|kind| offers(kind, zone)) {
                    Some(kind) if kind == group.instance_type => {}
                    Some(kind) => warnings.push(format!("{zone} has no {}: {kind} is used there", group.instance_type)),
                    None => {
                        return Err(unfit(
                            format!("Instance type {} can't be used", group.instance_type),
                            format!("neither it nor one of its alternatives is offered in {zone}"),
                            "Use another instanceType, add alternatives, or list other zones in castle.yaml.",
                        ));
                    }
                }
            }
        }
        warnings.sort();
        warnings.dedup();
        kinds.retain(|kind| offered.iter().any(|o| o.kind == *kind));
        let params = Params::new().list("InstanceType", &kinds);
        let found = self
            .list::<Kinds>(Service::Ec2, doing, "DescribeInstanceTypes", params)
            .await?;
        let cpus = |name: &str| found.iter().find(|k| k.name == name).map_or(0, |k| k.cpus.count);
        let needed = groups
            .iter()
            .map(|g| {
                g.types()
                    .map(cpus)
                    .max()
                    .unwrap_or(0)
                    .saturating_mul(u32::from(g.count))
            })
            .sum();
        Ok((needed, warnings))
    }

    /// Dry runs: AWS answers whether it would have let us. Needs nothing to exist.
    async fn check_permission(&self, image: &str) -> Result<()> {
        let vpc = Params::new().with("CidrBlock", self.aws.vpc_cidr);
        let address = Params::new().with("Domain", "vpc");
        let instance = Params::new()
            .with("ImageId", image)
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
