//! What a caller may ask of the hypervisor: plain data, always the full desired state.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;

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

/// One machine to start.
#[derive(Clone, Debug)]
pub struct InstanceSpec {
    /// `i-...`, unique on this host.
    pub id: String,
    /// The network it lies in.
    pub vpc_id: String,
    /// The subnet's id, for the metadata service.
    pub subnet_id: String,
    /// Its primary private address.
    pub private_ip: Ipv4Addr,
    /// Its subnet's range; the first address is the gateway.
    pub subnet_cidr: Ipv4Net,
    /// Short name as EC2 gives it, `ip-10-42-1-10`.
    pub hostname: String,
    /// `ami-...`
    pub image_id: String,
    /// `t3.large`
    pub instance_type: String,
    /// `eu-central-1a`
    pub az: String,
    /// `eu-central-1`
    pub region: String,
    /// Twelve digits.
    pub account_id: String,
    /// What RunInstances carried, decoded.
    pub user_data: Vec<u8>,
    /// `02:xx:xx:xx:xx:xx`
    pub mac: String,
    /// How many hops the answer to a token request survives.
    pub imds_hop_limit: u8,
    /// Refuse IMDSv1.
    pub imds_tokens_required: bool,
}

/// What may come in to one private address. Going out is always open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRules {
    /// The interface's address.
    pub private_ip: Ipv4Addr,
    /// Whatever no rule lets in is dropped.
    pub ingress: Vec<Rule>,
    /// Drop packets that are neither from nor to the interface's own address.
    pub source_dest_check: bool,
}

/// One permission of a security group, its group references already turned into addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What kind of packet.
    pub protocol: Protocol,
    /// First port; for ICMP the type; -1 is all.
    pub from_port: i32,
    /// Last port; for ICMP the code; -1 is all.
    pub to_port: i32,
    /// From where. Nowhere when empty.
    pub source: Vec<Ipv4Net>,
}

/// The protocols a security group can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP, by destination port.
    Tcp,
    /// UDP, by destination port.
    Udp,
    /// ICMP, by type and code.
    Icmp,
    /// Everything.
    All,
}

/// A network load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    /// Any unique name.
    pub id: String,
    /// Per subnet: the public address it listens on, the private address it connects from.
    pub addresses: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// What it listens for.
    pub listeners: Vec<Listener>,
}

/// One TCP port of a balancer and who answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The port the world sees.
    pub port: u16,
    /// Every registered target.
    pub targets: Vec<SocketAddrV4>,
    /// How health is found out.
    pub health: HealthCheck,
}

/// A target group's health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// None: the target's own port.
    pub port: Option<u16>,
    /// None: a TCP connection is enough. Some: GET this path, 200 to 399 is healthy.
    pub http_path: Option<String>,
    /// Pause between two checks of one target.
    pub interval: Duration,
    /// Longest wait for one check.
    pub timeout: Duration,
    /// Successes in a row until healthy.
    pub healthy_threshold: u32,
    /// Failures in a row until unhealthy.
    pub unhealthy_threshold: u32,
}

impl Default for HealthCheck {
    /// AWS's defaults for TCP, except the interval, which AWS lets no one set below five seconds.
    fn default() -> Self {
        Self {
            port: None,
            http_path: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            healthy_threshold: 2,
            unhealthy_threshold: 2,
        }
    }
}
