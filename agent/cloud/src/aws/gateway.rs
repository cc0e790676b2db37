//! The way out: an internet gateway, and the main route table's default route to it.

use serde::Deserialize;
use skykeep_aws::{Params, Service};
use skykeep_core::{Explained, Progress};

use super::{
    AwsCloud,
    tagging::Filters,
    xml::{Done, Items, Tag, ec2_page, tag},
};
use crate::{CloudError, Result};

#[derive(Debug, Deserialize)]
pub(super) struct Gateway {
    #[serde(rename = "internetGatewayId")]
    pub id: String,
    #[serde(rename = "attachmentSet", default)]
    pub attachments: Items<Attachment>,
    #[serde(rename = "tagSet", default)]
    tags: Items<Tag>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Attachment {
    #[serde(rename = "vpcId")]
    pub vpc: String,
}

impl Gateway {
    fn serves(&self, vpc: &str) -> bool {
        self.attachments.list.iter().any(|a| a.vpc == vpc)
    }

    pub(super) fn name(&self) -> &str {
        tag(&self.tags, "Name")
    }
}

ec2_page!(Gateways, "internetGatewaySet", Gateway);

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "internetGateway")]
    gateway: Gateway,
}

#[derive(Debug, Deserialize)]
struct Table {
    #[serde(rename = "routeTableId")]
    id: String,
    #[serde(rename = "routeSet", default)]
    routes: Items<Route>,
}

#[derive(Debug, Deserialize)]
struct Route {
    #[serde(rename = "destinationCidrBlock", default)]
    to: String,
    #[serde(rename = "gatewayId", default)]
    gateway: String,
}

ec2_page!(Tables, "routeTableSet", Table);

impl AwsCloud {
    pub(super) async fn gateways(&self) -> Result<Vec<Gateway>> {
        let doing = "Looking for the internet gateway";
        self.list::<Gateways>(
            Service::Ec2,
            doing,
            "DescribeInternetGateways",
            self.mine(None).params(),
        )
        .await
    }

    pub(super) async fn way_out(&self, vpc: &str, progress: &Progress) -> Result<()> {
        let gateway = self
            .adopt(
                "internet gateway",
                progress,
                || async {
                    let mut all = self.gateways().await?;
                    // The one that serves this network, else a free one; that of a twin network only when there is no other.
                    if all.iter().any(|g| g.serves(vpc)) {
                        all.retain(|g| g.serves(vpc));
                    } else if all.iter().any(|g| g.attachments.list.is_empty()) {
                        all.retain(|g| g.attachments.list.is_empty());
                    }
                    Ok(all)
                },
                || async {
                    let params = self.tagged(Params::new(), "gateway", &["internet-gateway"]);
                    let doing = "Creating the internet gateway";
                    let made: Created = self
                        .change(Service::Ec2, doing, "CreateInternetGateway", &params)
                        .await?;
                    Ok(made.gateway)
                },
                |id| self.delete_gateway(id),
                |gateway| &gateway.id,
            )
            .await?;
        for foreign in gateway.attachments.list.iter().filter(|a| a.vpc != vpc) {
            self.detach(&gateway.id, &foreign.vpc).await?;
        }
        if !gateway.serves(vpc) {
            let params = Params::new().with("InternetGatewayId", &gateway.id).with("VpcId", vpc);
            let doing = "Attaching the internet gateway";
            // Already attached: to this network by a call whose answer was lost.
            let fine = ["Resource.AlreadyAssociated"];
            self.settle::<Done>(Service::Ec2, doing, "AttachInternetGateway", &params, &fine)
                .await?;
        }
        self.default_route(vpc, &gateway.id).await
    }

    async fn default_route(&self, vpc: &str, gateway: &str) -> Result<()> {
        let filters = Filters::new()
            .with("vpc-id", &[vpc])
            .with("association.main", &["true"]);
        let doing = "Looking for the main route table";
        let tables = self
            .list::<Tables>(Service::Ec2, doing, "DescribeRouteTables", filters.params())
            .await?;
        let table = tables.into_iter().next().ok_or_else(|| {
            CloudError::Unfit(Explained {
                what: "The network has no main route table".into(),
                why: format!("AWS lists none for {vpc}"),
                remedy: "Start again; if it stays, destroy this generation and begin a new one.".into(),
            })
        })?;
        let everywhere = "0.0.0.0/0";
        let params = Params::new()
            .with("RouteTableId", &table.id)
            .with("DestinationCidrBlock", everywhere)
            .with("GatewayId", gateway);
        let action = match table.routes.list.iter().find(|r| r.to == everywhere) {
            Some(route) if route.gateway == gateway => return Ok(()),
            Some(_) => "ReplaceRoute",
            None => "CreateRoute",
        };
        self.settle::<Done>(Service::Ec2, "Setting the default route", action, &params, &[])
            .await
            .map(|_| ())
    }

    pub(super) async fn detach(&self, gateway: &str, vpc: &str) -> Result<()> {
        let params = Params::new().with("InternetGatewayId", gateway).with("VpcId", vpc);
        let doing = "Detaching the internet gateway";
        let fine = ["Gateway.NotAttached"];
        self.settle::<Done>(Service::Ec2, doing, "DetachInternetGateway", &params, &fine)
            .await
            .map(|_| ())
    }

    pub(super) async fn delete_gateway(&self, id: String) -> Result<()> {
        let params = Params::new().with("InternetGatewayId", id);
        let doing = "Deleting the internet gateway";
        self.change::<Done>(Service::Ec2, doing, "DeleteInternetGateway", &params)
            .await
            .map(|_| ())
    }
}
