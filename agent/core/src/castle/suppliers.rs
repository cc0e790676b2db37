//! The cloud suppliers a castle can be built at.

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{SecretRef, cidr};

/// The cloud supplier: exactly one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cloud {
    /// Amazon Web Services.
    Aws(Aws),
    /// Hetzner Cloud.
    Hetzner(Hetzner),
}

/// A castle on AWS.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aws {
    /// Region, for example `eu-central-1`.
    pub region: String,
    /// Access key id.
    pub access_key_id: SecretRef,
    /// Secret access key.
    pub secret_access_key: SecretRef,
    /// Session token, when the keys are temporary ones. They must outlive the rebirth.
    #[serde(default)]
    pub session_token: Option<SecretRef>,
    /// ARN of a role that is assumed with the keys, `arn:aws:iam::...:role/...`.
    #[serde(default)]
    pub assume_role: Option<String>,
    /// The castle's own network; /16 to /20.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "cidr::read")]
    pub vpc_cidr: Ipv4Net,
    /// Availability zones, three for three control planes.
    pub zones: Vec<String>,
    /// Image id (`ami-...`) of a stock Debian 12 cloud image, or `ssm:` and the name of the SSM parameter that holds it.
    pub image: String,
    /// Control-plane nodes.
    pub control_planes: NodeGroup,
    /// Worker nodes.
    pub workers: NodeGroup,
}

/// A group of equal nodes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// How many.
    pub count: u8,
    /// Instance type, for example `t3.large`.
    pub instance_type: String,
    /// Types to take, in this order, when AWS has no machine of `instanceType` left in a zone.
    #[serde(default)]
    pub alternatives: Vec<String>,
    /// Workers only: ask for spot machines first, which cost less and which AWS may take away at any moment; where it has none, others
    /// are taken.
    #[serde(default)]
    pub spot: bool,
    /// Root disk, GiB.
    #[serde(rename = "diskGiB")]
    pub disk_gib: u32,
}

/// A castle at Hetzner Cloud.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hetzner {
    /// API token of the project, with read and write permission.
    pub token: SecretRef,
    /// Network zone that all locations lie in, for example `eu-central`.
    pub network_zone: String,
    /// Locations, for example `[fsn1, nbg1, hel1]`, three for three control planes. The load balancer stands in the first.
    pub locations: Vec<String>,
    /// The castle's own network; /16 to /20.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "cidr::read")]
    pub network_cidr: Ipv4Net,
    /// Name of Hetzner's stock Debian 12 image: `debian-12`.
    pub image: String,
    /// Control-plane nodes.
    pub control_planes: ServerGroup,
    /// Worker nodes.
    pub workers: ServerGroup,
    /// Type of the load balancer, for example `lb11`.
    pub load_balancer_type: String,
}

/// A group of equal nodes at Hetzner Cloud. The disk belongs to the type.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerGroup {
    /// How many.
    pub count: u8,
    /// Server type, for example `cpx31`.
    pub server_type: String,
    /// Types to take, in this order, when Hetzner has no server of `serverType` left in a location.
    #[serde(default)]
    pub alternatives: Vec<String>,
}
