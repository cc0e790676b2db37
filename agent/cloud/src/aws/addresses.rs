//! Fixed public addresses of the entry, one per zone, at most three.

use std::net::Ipv4Addr;

use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Progress, ids::TAG_ROLE};

use super::{
    AwsCloud,
    xml::{Done, Items, Tag, ec2_page, tag},
};
use crate::{Network, Result, plan::ENTRY_ADDRESSES};

#[derive(Debug, Deserialize)]
pub(super) struct Address {
    #[serde(rename = "allocationId")]
    pub id: String,
    #[serde(rename = "publicIp")]
    pub ip: Ipv4Addr,
    #[serde(rename = "associationId")]
    pub association: Option<String>,
    #[serde(rename = "tagSet", default)]
    tags: Items<Tag>,
}

impl Address {
    pub(super) fn name(&self) -> &str {
        tag(&self.tags, "Name")
    }
}

ec2_page!(Addresses, "addressesSet", Address);

impl AwsCloud {
    pub(super) async fn all_addresses(&self) -> Result<Vec<Address>> {
        let doing = "Looking for the public addresses";
        self.list::<Addresses>(Service::Ec2, doing, "DescribeAddresses", self.mine(None).params())
            .await
    }

    /// How many elastic addresses the account holds in this region, whoever's they are.
    pub(super) async fn addresses_in_use(&self) -> Result<usize> {
        let doing = "Counting the public addresses";
        Ok(self
            .list::<Addresses>(Service::Ec2, doing, "DescribeAddresses", Params::new())
            .await?
            .len())
    }

    pub(super) fn addresses_wanted(&self) -> usize {
        self.aws.zones.len().min(ENTRY_ADDRESSES)
    }

    /// In the order of the network's subnets.
    pub(super) async fn addresses(&self, network: &Network, progress: &Progress) -> Result<Vec<Address>> {
        let mut addresses = Vec::new();
        for i in 0..network.subnets.len().min(ENTRY_ADDRESSES) {
            let role = format!("entry-address-{}", i + 1);
            let address = self
                .adopt(
                    "public address",
                    progress,
                    || async {
                        let mut all = self.all_addresses().await?;
                        all.retain(|a| tag(&a.tags, TAG_ROLE) == role);
                        Ok(all)
                    },
                    || async {
                        let params = self.tagged(Params::new().with("Domain", "vpc"), &role, &["elastic-ip"]);
                        let doing = "Allocating a public address";
                        self.change::<Address>(Service::Ec2, doing, "AllocateAddress", &params)
                            .await
                    },
                    |id| self.release(id),
                    |address| &address.id,
                )
                .await?;
            addresses.push(address);
        }
        Ok(addresses)
    }

    pub(super) async fn release(&self, id: String) -> Result<()> {
        let params = Params::new().with("AllocationId", id);
        let doing = "Releasing a public address";
        self.change::<Done>(Service::Ec2, doing, "ReleaseAddress", &params)
            .await
            .map(|_| ())
    }
}
