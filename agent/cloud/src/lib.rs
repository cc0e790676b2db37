//! Machines, their network and the way in, at a cloud.
//!
//! Inputs: the castle file's cloud part, credentials, the castle's tags. Outputs: the network, running nodes at addresses known
//! beforehand, the public entry. The cloud is the only state: everything is found by its tags and adopted, or else created, so
//! every call may be repeated, also from another machine, and [`Cloud::destroy`] removes exactly what carries the tags.

mod aws;
mod console;
pub mod cost;
mod ending;
mod error;
mod hetzner;
mod plan;
mod types;
mod wait;

use std::sync::Arc;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use skykeep_aws::Credentials;
use skykeep_core::{
    Deadline, Generation, Progress, Secret, Tags,
    castle::{self, EntryPort, SecretRef},
};

pub use aws::AwsCloud;
pub use error::CloudError;
pub use hetzner::{HetznerCloud, HetznerError};
pub use plan::{elsewhere, plan_nodes, plan_nodes_moved, subnet_of};
pub use types::{Entry, Instance, Network, PlannedNode, Preflight, Role, Subnet, TargetGroup, Thing};

/// The outcome of everything here.
pub type Result<T, E = CloudError> = std::result::Result<T, E>;

/// A supplier of machines. Every method may be called again after any interruption.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Uses every permission and looks at every limit that can be seen beforehand; creates nothing.
    async fn preflight(&self, progress: &Progress) -> Result<Preflight>;

    /// The network, with a way out, and its rules: nodes trust one another, `sources` reach the API, the entry reaches node ports.
    async fn network(&self, sources: &[Ipv4Net], ports: &[EntryPort], progress: &Progress) -> Result<Network>;

    /// The public entry with fixed addresses. Does not wait until it works: see [`Cloud::entry_ready`].
    async fn entry(&self, network: &Network, ports: &[EntryPort], progress: &Progress) -> Result<Entry>;

    /// Waits until the entry takes connections.
    async fn entry_ready(&self, entry: &Entry, deadline: Deadline, progress: &Progress) -> Result<()>;

    /// A node at its planned address; a living one is adopted, a dead one replaced. Does not wait until it runs.
    /// The same attempt must come with the same user data.
    async fn node(
        &self,
        network: &Network,
        node: &PlannedNode,
        user_data: &[u8],
        attempt: u32,
        progress: &Progress,
    ) -> Result<Instance>;

    /// Waits until all run; a node that dies meanwhile is an error at once.
    async fn nodes_running(&self, nodes: &[Instance], deadline: Deadline, progress: &Progress)
    -> Result<Vec<Instance>>;

    /// Ends one node and waits until its address is free for another. A node that has ended already is fine.
    async fn end_node(&self, node: &Instance, deadline: Deadline, progress: &Progress) -> Result<()>;

    /// The last `lines` lines that a node printed on its console, also after its end; fewer, or none, when it printed less.
    /// Fit for a terminal: no control characters. It may lag some seconds (old machine kinds: minutes) behind the node.
    async fn console(&self, node: &Instance, lines: usize) -> Result<Vec<String>>;

    /// Sends the entry's traffic to these running nodes.
    async fn register(&self, entry: &Entry, nodes: &[Instance]) -> Result<()>;

    /// Waits until behind every port of the entry at least one node answers.
    async fn targets_healthy(&self, entry: &Entry, deadline: Deadline, progress: &Progress) -> Result<()>;

    /// Everything that carries this generation's tags.
    async fn inventory(&self) -> Result<Vec<Thing>>;

    /// Generations of this castle that something here carries the tags of, this one or not, the oldest first. One whose last machines
    /// ended within the hour may still be among them.
    async fn generations(&self) -> Result<Vec<Generation>>;

    /// Removes everything that carries this generation's tags, and waits until it is gone.
    async fn destroy(&self, deadline: Deadline, progress: &Progress) -> Result<()>;
}

/// A client for one generation of a castle at the supplier that its castle file names. `secret` opens the references of that file.
/// `resuming` says that another run of this generation may have created things seconds ago.
pub fn connect<E>(
    cloud: &castle::Cloud,
    http: reqwest::Client,
    secret: impl Fn(&SecretRef) -> Result<Secret, E>,
    tags: Tags,
    resuming: bool,
) -> Result<Box<dyn Cloud>, E> {
    Ok(match cloud {
        castle::Cloud::Aws(aws) => {
            let id = secret(&aws.access_key_id)?;
            let id = id.expose_str().unwrap_or_default().trim().to_owned();
            let key = secret(&aws.secret_access_key)?;
            let credentials = match &aws.session_token {
                Some(token) => Credentials::temporary(id, key, secret(token)?),
                None => Credentials::new(id, key),
            };
            let cloud = AwsCloud::new(http, Arc::new(credentials), aws, tags, None);
            Box::new(if resuming { cloud.resuming() } else { cloud })
        }
        castle::Cloud::Hetzner(hetzner) => {
            let cloud = HetznerCloud::new(http, secret(&hetzner.token)?, hetzner, tags, None);
            Box::new(if resuming { cloud.resuming() } else { cloud })
        }
    })
}
