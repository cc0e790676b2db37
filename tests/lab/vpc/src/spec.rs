//! Where the hypervisor finds its parts, and what it is told to make: plain data, always the full desired state.

use std::net::Ipv4Addr;
use std::path::PathBuf;

pub use lab_machines::{Balancer, HealthCheck, InstanceRules, InstanceSpec, Listener, Protocol, Rule, Supplier};

/// Where the hypervisor finds its parts and keeps its own files.
#[derive(Clone, Debug)]
pub struct HypervisorConfig {
    /// The node image's root, as `tests/lab/node/build` printed it.
    pub image: PathBuf,
    /// A folder for this run's instances, on a real file system (not overlayfs, not tmpfs). Emptied at the end.
    pub work: PathBuf,
    /// The laboratory's CA (PEM), put into every node's trust store.
    pub ca: PathBuf,
    /// The resolver behind each network's base address plus two.
    pub dns: Ipv4Addr,
    /// The namespace and the bridge that are "the internet".
    pub internet: Internet,
}

/// The namespace, bridge and address of the laboratory's internet.
#[derive(Clone, Debug)]
pub struct Internet {
    /// Network namespace, `sk-inet`.
    pub netns: String,
    /// Bridge in it, `br0`.
    pub bridge: String,
    /// The bridge's own address, the routers' default gateway.
    pub gateway: Ipv4Addr,
    /// Addresses the networks' routers may use for themselves.
    pub routers: (Ipv4Addr, Ipv4Addr),
    /// Length of the bridge's prefix.
    pub prefix: u8,
}

impl Default for Internet {
    fn default() -> Self {
        let on_bridge = |last| Ipv4Addr::new(203, 0, 113, last);
        Self {
            netns: "sk-inet".into(),
            bridge: "br0".into(),
            gateway: on_bridge(1),
            routers: (on_bridge(20), on_bridge(49)),
            prefix: 24,
        }
    }
}
