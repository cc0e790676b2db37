//! What makes real machines and networks. Calls block; the double makes them on threads of its own.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ipnet::Ipv4Net;

/// Whose metadata service and firmware a machine finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supplier {
    /// EC2.
    Ec2,
    /// Hetzner Cloud.
    Hetzner,
}

/// Everything an instance needs to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSpec {
    /// Whose machine it is.
    pub supplier: Supplier,
    /// `i-…`.
    pub id: String,
    /// `vpc-…`.
    pub vpc_id: String,
    /// `subnet-…`.
    pub subnet_id: String,
    /// Its private address.
    pub private_ip: Ipv4Addr,
    /// The range of its subnet.
    pub subnet_cidr: Ipv4Net,
    /// Short private name, `ip-10-42-1-10`.
    pub hostname: String,
    /// `ami-…`.
    pub image_id: String,
    /// For example t3.large.
    pub instance_type: String,
    /// For example eu-central-1a.
    pub az: String,
    /// For example eu-central-1.
    pub region: String,
    /// Twelve digits.
    pub account_id: String,
    /// Decoded user data.
    pub user_data: Vec<u8>,
    /// Of its interface.
    pub mac: String,
    /// Hop limit of the metadata service's replies to a token request.
    pub imds_hop_limit: u8,
    /// Whether IMDSv1 is refused.
    pub imds_tokens_required: bool,
}

/// Protocol of a firewall rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Everything (`-1`).
    All,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
}

impl Protocol {
    /// As EC2 writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "-1",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// What may come in; everything else may not (replies to own connections may).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Protocol.
    pub protocol: Protocol,
    /// First port; for ICMP the type; -1 is all.
    pub from_port: i32,
    /// Last port; for ICMP the code; -1 is all.
    pub to_port: i32,
    /// Who; security group references are already resolved into addresses. Never empty.
    pub source: Vec<Ipv4Net>,
}

/// The rules of one interface (of an instance or of a load balancer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRules {
    /// Private address of the interface.
    pub private_ip: Ipv4Addr,
    /// What may come in.
    pub ingress: Vec<Rule>,
    /// If true, packets not from or to this address are dropped.
    pub source_dest_check: bool,
}

/// Health check of a listener's target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Port to connect to; None means the target's own port.
    pub port: Option<u16>,
    /// None: a TCP connection is enough. Some: GET this path must answer 200 to 399.
    pub http_path: Option<String>,
    /// Pause between two checks of one target.
    pub interval: Duration,
    /// Longest wait for one check.
    pub timeout: Duration,
    /// Successes before healthy.
    pub healthy_threshold: u32,
    /// Failures before unhealthy.
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

/// A TCP listener and its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Port at the public address.
    pub port: u16,
    /// Registered targets.
    pub targets: Vec<SocketAddrV4>,
    /// How targets are checked.
    pub health: HealthCheck,
}

/// A network load balancer that is in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancer {
    /// Its ARN.
    pub id: String,
    /// One pair (public, private) per subnet.
    pub addresses: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// The maker of machines. Errors are sentences.
pub trait Backend: Send + Sync + 'static {
    /// A new network.
    fn create_vpc(&self, id: &str, cidr: Ipv4Net) -> Result<(), String>;
    /// The network goes; it has no instance any more.
    fn delete_vpc(&self, id: &str) -> Result<(), String>;
    /// Starts an instance; returns when it has begun to boot.
    fn launch(&self, spec: InstanceSpec) -> Result<(), String>;
    /// Ends an instance; returns when nothing of it is left.
    fn terminate(&self, id: &str) -> Result<(), String>;
    /// Whether the instance runs.
    fn alive(&self, id: &str) -> bool;
    /// Its console so far.
    fn console(&self, id: &str) -> String;
    /// All rules of the network, complete each time.
    fn set_firewall(&self, vpc_id: &str, rules: Vec<InstanceRules>) -> Result<(), String>;
    /// All (public, private) pairs of instances, complete each time.
    fn set_public_addresses(&self, vpc_id: &str, pairs: Vec<(Ipv4Addr, Ipv4Addr)>) -> Result<(), String>;
    /// All routes to interfaces (range, private address), and whether the internet gateway is attached and routed to.
    fn set_routes(&self, vpc_id: &str, routes: Vec<(Ipv4Net, Ipv4Addr)>, internet_gateway: bool) -> Result<(), String>;
    /// All load balancers in service, complete each time.
    fn set_balancers(&self, vpc_id: &str, balancers: Vec<Balancer>) -> Result<(), String>;
    /// Health of the targets of one listener; a target not yet judged is absent.
    fn target_health(&self, balancer_id: &str, port: u16) -> Vec<(SocketAddrV4, bool)>;
}
