//! Hetzner Cloud: servers, a private network, a load balancer.
//!
//! What is different from AWS: a server has a public interface, which the firewall guards, and a private one, which nothing guards;
//! user data can be read at `169.254.169.254` without a token and from any pod; the API shows no console; limits can't be asked for.

mod api;
mod balancer;
mod call;
mod destroy;
mod error;
mod inventory;
mod network;
mod preflight;
mod servers;

use std::time::Duration;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use skykeep_core::{
    Deadline, Generation, Progress, Secret, Tags,
    castle::{EntryPort, Hetzner},
};
use tokio::{sync::OnceCell, time::Instant};
use url::Url;

use crate::{Cloud, Entry, Instance, Network, PlannedNode, Preflight, Result, Thing, ending::remove_everything};

pub use error::HetznerError;

/// How long a request of a run that died may still be on its way.
const IN_FLIGHT: Duration = Duration::from_secs(10);

/// A castle's generation at Hetzner Cloud.
pub struct HetznerCloud {
    api: api::Api,
    hetzner: Hetzner,
    tags: Tags,
    /// Until when "nothing is left" is not believed, because somebody may have created it just before.
    doubtful_until: Instant,
    /// The placement group that keeps control planes on different hosts.
    apart: OnceCell<u64>,
}

impl HetznerCloud {
    /// A client for one generation of a castle. `base` is another address of the API.
    pub fn new(http: reqwest::Client, token: Secret, hetzner: &Hetzner, tags: Tags, base: Option<Url>) -> Self {
        HetznerCloud {
            api: api::Api::new(http, token, base),
            hetzner: hetzner.clone(),
            tags,
            doubtful_until: Instant::now(),
            apart: OnceCell::new(),
        }
    }

    /// Says that another run of this generation may have created things seconds ago.
    #[must_use]
    pub fn resuming(mut self) -> Self {
        self.doubtful_until = Instant::now() + IN_FLIGHT;
        self
    }
}

#[async_trait]
impl Cloud for HetznerCloud {
    async fn preflight(&self, progress: &Progress) -> Result<Preflight> {
        self.look_ahead(progress).await
    }

    async fn network(&self, sources: &[Ipv4Net], _: &[EntryPort], progress: &Progress) -> Result<Network> {
        let (network, firewall, apart) = tokio::join!(
            self.private_network(progress),
            self.firewall(sources, progress),
            self.placement_group(progress)
        );
        apart?;
        let (network, firewall) = (network?, firewall?);
        Ok(Network {
            vpc_id: network.to_string(),
            subnets: self.subnets(),
            nodes_group: firewall.to_string(),
            // Nothing stands before a load balancer: it takes its services' ports from everybody and nothing else.
            entry_group: String::new(),
        })
    }

    async fn entry(&self, network: &Network, ports: &[EntryPort], progress: &Progress) -> Result<Entry> {
        self.load_balancer(network, ports, progress).await
    }

    async fn entry_ready(&self, entry: &Entry, deadline: Deadline, progress: &Progress) -> Result<()> {
        self.attached(entry, deadline, progress).await
    }

    async fn node(
        &self,
        network: &Network,
        node: &PlannedNode,
        user_data: &[u8],
        attempt: u32,
        progress: &Progress,
    ) -> Result<Instance> {
        self.server(network, node, user_data, attempt, progress).await
    }

    async fn nodes_running(
        &self,
        nodes: &[Instance],
        deadline: Deadline,
        progress: &Progress,
    ) -> Result<Vec<Instance>> {
        self.servers_running(nodes, deadline, progress).await
    }

    async fn end_node(&self, node: &Instance, deadline: Deadline, progress: &Progress) -> Result<()> {
        self.end_server(node, deadline, progress).await
    }

    /// Hetzner has a screen (VNC) and no text of it: there is nothing to read.
    async fn console(&self, _: &Instance, _: usize) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn register(&self, entry: &Entry, nodes: &[Instance]) -> Result<()> {
        self.add_targets(entry, nodes).await
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
