//! Amazon: EC2 for machines and networks, Elastic Load Balancing (version 2) for the entry.

mod addresses;
mod balancer;
mod call;
mod console;
mod destroy;
mod gateway;
mod generations;
mod groups;
mod image;
mod instances;
mod inventory;
mod preflight;
mod quotas;
mod rules;
mod subnets;
mod tagging;
mod targets;
mod vpc;
mod xml;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ipnet::Ipv4Net;
use skykeep_aws::{Credentials, Query};
use skykeep_core::{
    Deadline, Generation, Progress, Tags,
    castle::{Aws, EntryPort},
};
use tokio::{sync::OnceCell, time::Instant};
use url::Url;

use crate::{Cloud, Entry, Instance, Network, PlannedNode, Preflight, Result, Thing, ending::remove_everything};

/// How long something created a moment ago may stay invisible to a search.
const CONSISTENCY: Duration = Duration::from_secs(10);

/// A castle's generation at AWS.
pub struct AwsCloud {
    query: Query,
    aws: Aws,
    tags: Tags,
    /// Until when "nothing found" is not believed, because somebody may have created it just before.
    doubtful_until: Instant,
    image: OnceCell<image::Image>,
}

impl AwsCloud {
    /// A client for one generation of a castle. `relay` sends all requests to one
    /// address, under the services' own names.
    pub fn new(
        http: reqwest::Client,
        credentials: Arc<Credentials>,
        aws: &Aws,
        tags: Tags,
        relay: Option<Url>,
    ) -> Self {
        AwsCloud {
            query: Query::new(http, credentials, aws.region.clone())
                .through(relay)
                .assuming(aws.assume_role.clone(), &format!("skykeep-{}", tags.castle)),
            aws: aws.clone(),
            tags,
            doubtful_until: Instant::now(),
            image: OnceCell::new(),
        }
    }

    /// Says that another run of this generation may have created things seconds ago: for a while "nothing found" is asked again.
    #[must_use]
    pub fn resuming(mut self) -> Self {
        self.doubtful_until = Instant::now() + CONSISTENCY;
        self
    }
}

#[async_trait]
impl Cloud for AwsCloud {
    async fn preflight(&self, progress: &Progress) -> Result<Preflight> {
        self.look_ahead(progress).await
    }

    async fn network(&self, sources: &[Ipv4Net], ports: &[EntryPort], progress: &Progress) -> Result<Network> {
        let vpc = self.vpc(progress).await?;
        let (way_out, subnets, groups) = tokio::join!(
            self.way_out(&vpc, progress),
            self.subnets(&vpc, progress),
            self.groups(&vpc, sources, ports, progress)
        );
        way_out?;
        let (nodes_group, entry_group) = groups?;
        Ok(Network {
            vpc_id: vpc,
            subnets: subnets?,
            nodes_group,
            entry_group,
        })
    }

    async fn entry(&self, network: &Network, ports: &[EntryPort], progress: &Progress) -> Result<Entry> {
        let (addresses, target_groups) = tokio::join!(
            self.addresses(network, progress),
            self.target_groups(network, ports, progress)
        );
        let (addresses, target_groups) = (addresses?, target_groups?);
        let arn = self.balancer(network, &addresses, progress).await?;
        self.listeners(&arn, &target_groups).await?;
        Ok(Entry {
            addresses: addresses.iter().map(|a| a.ip).collect(),
            arn,
            target_groups,
        })
    }

    async fn entry_ready(&self, entry: &Entry, deadline: Deadline, progress: &Progress) -> Result<()> {
        self.balancer_active(&entry.arn, deadline, progress).await
    }

    async fn node(
        &self,
        network: &Network,
        node: &PlannedNode,
        user_data: &[u8],
        attempt: u32,
        progress: &Progress,
    ) -> Result<Instance> {
        self.instance(network, node, user_data, attempt, progress).await
    }

    async fn nodes_running(
        &self,
        nodes: &[Instance],
        deadline: Deadline,
        progress: &Progress,
    ) -> Result<Vec<Instance>> {
        self.instances_running(nodes, deadline, progress).await
    }

    async fn end_node(&self, node: &Instance, deadline: Deadline, progress: &Progress) -> Result<()> {
        self.end_instance(node, deadline, progress).await
    }

    async fn console(&self, node: &Instance, lines: usize) -> Result<Vec<String>> {
        self.console_of(node, lines).await
    }

    async fn register(&self, entry: &Entry, nodes: &[Instance]) -> Result<()> {
        self.register_targets(entry, nodes).await
    }

    async fn targets_healthy(&self, entry: &Entry, deadline: Deadline, progress: &Progress) -> Result<()> {
        self.healthy(entry, deadline, progress).await
    }

    async fn inventory(&self) -> Result<Vec<Thing>> {
        self.list_everything().await
    }

    async fn generations(&self) -> Result<Vec<Generation>> {
        self.all_generations().await
    }

    async fn destroy(&self, deadline: Deadline, progress: &Progress) -> Result<()> {
        remove_everything(self, deadline, progress).await
    }
}
