//! What there is of this generation.

use serde::Deserialize;
use skykeep_aws::{Params, Service};

use super::{
    AwsCloud,
    xml::{Done, Items, Tag, ec2_page, tag},
};
use crate::{Result, Thing};

#[derive(Debug, Deserialize)]
pub(super) struct Interface {
    #[serde(rename = "networkInterfaceId")]
    pub id: String,
    #[serde(default)]
    pub status: String,
    #[serde(rename = "tagSet", default)]
    tags: Items<Tag>,
}

ec2_page!(Interfaces, "networkInterfaceSet", Interface);

#[derive(Debug, Deserialize)]
pub(super) struct Volume {
    #[serde(rename = "volumeId")]
    pub id: String,
    #[serde(default)]
    pub status: String,
    #[serde(rename = "tagSet", default)]
    tags: Items<Tag>,
}

ec2_page!(Volumes, "volumeSet", Volume);

impl AwsCloud {
    pub(super) async fn interfaces(&self) -> Result<Vec<Interface>> {
        let params = self.mine(None).params();
        self.list::<Interfaces>(
            Service::Ec2,
            "Looking for interfaces",
            "DescribeNetworkInterfaces",
            params,
        )
        .await
    }

    pub(super) async fn delete_interface(&self, id: &str) -> Result<()> {
        let params = Params::new().with("NetworkInterfaceId", id);
        let doing = "Deleting a network interface";
        let fine = ["InvalidNetworkInterfaceID.NotFound"];
        self.settle::<Done>(Service::Ec2, doing, "DeleteNetworkInterface", &params, &fine)
            .await
            .map(|_| ())
    }

    async fn volumes(&self) -> Result<Vec<Volume>> {
        let params = self.mine(None).params();
        self.list::<Volumes>(Service::Ec2, "Looking for disks", "DescribeVolumes", params)
            .await
    }

    pub(super) async fn list_everything(&self) -> Result<Vec<Thing>> {
        let thing = |kind: &str, id: &str, name: &str, state: &str| Thing {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: name.to_owned(),
            state: state.to_owned(),
        };
        let mut all = Vec::new();
        let (machines, volumes, interfaces, balancers, groups) = tokio::join!(
            self.machines(None),
            self.volumes(),
            self.interfaces(),
            self.balancers(),
            self.all_target_groups()
        );
        for m in machines?.iter().filter(|m| !m.ended()) {
            all.push(thing("instance", &m.id, m.name(), &m.state.name));
        }
        all.extend(
            volumes?
                .iter()
                .map(|v| thing("volume", &v.id, tag(&v.tags, "Name"), &v.status)),
        );
        all.extend(
            interfaces?
                .iter()
                .map(|i| thing("network-interface", &i.id, tag(&i.tags, "Name"), &i.status)),
        );
        all.extend(
            balancers?
                .iter()
                .map(|b| thing("load-balancer", &b.arn, &b.name, &b.state.code)),
        );
        all.extend(groups?.iter().map(|g| thing("target-group", &g.arn, &g.name, "")));
        let (addresses, security, subnets, gateways, vpcs) = tokio::join!(
            self.all_addresses(),
            self.all_groups(),
            self.all_subnets(),
            self.gateways(),
            self.vpcs()
        );
        for a in &addresses? {
            let state = if a.association.is_some() { "in use" } else { "free" };
            all.push(thing("elastic-address", &a.id, a.name(), state));
        }
        all.extend(security?.iter().map(|g| thing("security-group", &g.id, g.name(), "")));
        all.extend(subnets?.iter().map(|s| thing("subnet", &s.id, s.name(), &s.state)));
        for g in &gateways? {
            let state = if g.attachments.list.is_empty() {
                "detached"
            } else {
                "attached"
            };
            all.push(thing("internet-gateway", &g.id, g.name(), state));
        }
        all.extend(vpcs?.iter().map(|v| thing("vpc", &v.id, v.name(), &v.state)));
        all.sort();
        Ok(all)
    }
}
