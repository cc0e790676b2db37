//! The Kubernetes cluster of a castle: upstream Kubernetes by kubeadm on stock Debian machines.
//!
//! Inputs: the castle file, the lock file, the nodes with their private addresses, and a function that derives secrets from the
//! castle's root and the generation. Outputs: the cluster's keys and certificates ([`pki`]), what each node has to do ([`plan`]),
//! that plan sealed for one node and the user data that opens it ([`seal`], [`user_data`]), a client for the cluster's API
//! ([`api`]), the pod network ([`network`]) and the guard that stays in the castle ([`guard`]).
//!
//! Nothing here touches a cloud: addresses come in, user data goes out.

pub mod api;
pub mod cry;
mod error;
pub mod etcd;
pub mod guard;
mod later;
mod manifest;
pub mod network;
pub mod pki;
pub mod plan;
pub mod pulse;
pub mod seal;
pub mod user_data;

pub use cry::Cry;
pub use error::ClusterError;
pub use pki::Pki;
pub use plan::{NodePlan, PlannedNode, Role};

/// The one name by which every peer knows the cluster's API, whatever its addresses are.
pub const API_NAME: &str = "api.castle.internal";
/// The API's port.
pub const API_PORT: u16 = 6443;
/// Who we are to server-side apply.
pub const FIELD_MANAGER: &str = "skykeep";
