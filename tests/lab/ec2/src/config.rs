//! What kind of cloud this is: account, credentials, addresses, images, quotas and delays.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::delays::Delays;

/// A pair of keys and whom it belongs to.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: String,
    /// Session token, for temporary credentials: it must then be sent with every request.
    pub session_token: Option<String>,
    /// When temporary credentials end.
    pub expires: Option<Timestamp>,
    /// Who it is.
    pub arn: String,
    /// Stable id of the user.
    pub user_id: String,
    /// Actions that are forbidden, `*` at the end allowed (`RunInstances`, `Delete*`).
    pub denied: Vec<String>,
}

/// A machine image.
#[derive(Debug, Clone)]
pub struct Image {
    /// `ami-…`.
    pub id: String,
    /// For example debian-12-amd64-20251112-2294.
    pub name: String,
    /// Account of its maker.
    pub owner: String,
    /// x86_64 or arm64.
    pub architecture: String,
    /// For example /dev/xvda.
    pub root_device: String,
    /// Size of its root disk in GiB.
    pub size: i64,
    /// When it was made.
    pub created: String,
}

/// A kind of machine.
#[derive(Debug, Clone)]
pub struct InstanceType {
    /// For example t3.large.
    pub name: String,
    /// Virtual processors.
    pub vcpus: i64,
    /// Memory in MiB.
    pub memory: i64,
    /// Architecture.
    pub architecture: String,
    /// Whether it is of the Nitro kind, whose console can be read as it is now.
    pub nitro: bool,
}

/// What the account may have at most.
#[derive(Debug, Clone)]
pub struct Quotas {
    /// Elastic addresses.
    pub addresses: usize,
    /// Networks.
    pub vpcs: usize,
    /// Virtual processors of running instances.
    pub vcpus: i64,
}

/// The cloud's configuration. `Config::default()` is the laboratory's.
#[derive(Debug, Clone)]
pub struct Config {
    /// Twelve digits.
    pub account: String,
    /// The only region there is.
    pub region: String,
    /// Its zones.
    pub zones: Vec<String>,
    /// Who may ask.
    pub credentials: Vec<Credential>,
    /// First and last public address.
    pub public_pool: (Ipv4Addr, Ipv4Addr),
    /// Images on offer.
    pub images: Vec<Image>,
    /// Machines on offer.
    pub types: Vec<InstanceType>,
    /// SSM public parameters.
    pub parameters: BTreeMap<String, String>,
    /// Quotas.
    pub quotas: Quotas,
    /// Delays.
    pub delays: Delays,
    /// How far a request's date may be from ours.
    pub skew: Duration,
    /// How far the cloud's clock is ahead of this machine's.
    pub clock_ahead: Duration,
    /// ARNs of roles that a permanent key may assume; a role may do everything.
    pub roles: Vec<String>,
    /// How long a role's credentials really live, whatever was asked.
    pub session_life: Duration,
    /// A file that gets every request, whole, as a line of JSON: for the judge, who holds it against AWS's models.
    pub record: Option<PathBuf>,
}

/// The example castle's image.
pub const IMAGE: &str = "ami-0a1b2c3d4e5f60718";

impl Default for Config {
    fn default() -> Self {
        let region = "eu-central-1";
        let kind = |name: &str, vcpus: i64, gib: i64, architecture: &str| InstanceType {
            name: name.to_owned(),
            vcpus,
            memory: gib * 1024,
            architecture: architecture.to_owned(),
            nitro: !name.starts_with("t2."),
        };
        Self {
            account: "123456789012".to_owned(),
            region: region.to_owned(),
            zones: ["a", "b", "c"].iter().map(|z| format!("{region}{z}")).collect(),
            credentials: Vec::new(),
            public_pool: (Ipv4Addr::new(203, 0, 113, 160), Ipv4Addr::new(203, 0, 113, 250)),
            images: vec![Image {
                id: IMAGE.to_owned(),
                name: "debian-12-amd64-20251112-2294".to_owned(),
                owner: "136693071363".to_owned(),
                architecture: "x86_64".to_owned(),
                root_device: "/dev/xvda".to_owned(),
                size: 8,
                created: "2025-11-12T09:00:00.000Z".to_owned(),
            }],
            types: vec![
                kind("t2.large", 2, 8, "x86_64"),
                kind("t3a.large", 2, 8, "x86_64"),
                kind("t3.small", 2, 2, "x86_64"),
                kind("t3.medium", 2, 4, "x86_64"),
                kind("t3.large", 2, 8, "x86_64"),
                kind("t3.xlarge", 4, 16, "x86_64"),
                kind("m6i.large", 2, 8, "x86_64"),
                kind("t4g.large", 2, 8, "arm64"),
            ],
            parameters: BTreeMap::from([(
                "/aws/service/debian/release/12/latest/amd64".to_owned(),
                IMAGE.to_owned(),
            )]),
            quotas: Quotas {
                addresses: 5,
                vpcs: 5,
                vcpus: 64,
            },
            delays: Delays::bare(),
            skew: Duration::from_secs(300),
            clock_ahead: Duration::ZERO,
            roles: Vec::new(),
            session_life: Duration::from_secs(3600),
            record: None,
        }
    }
}

impl Credential {
    /// A permanent key of an IAM user who may do everything.
    pub fn user(account: &str, name: &str, access_key: &str, secret_key: &str) -> Self {
        Self {
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            session_token: None,
            expires: None,
            arn: format!("arn:aws:iam::{account}:user/{name}"),
            user_id: "AIDAEXAMPLE2ROSSI0001".to_owned(),
            denied: Vec::new(),
        }
    }

    /// Whether this action is forbidden to it.
    pub fn forbids(&self, action: &str) -> bool {
        self.denied.iter().any(|d| match d.strip_suffix('*') {
            Some(start) => action.starts_with(start),
            None => d == action,
        })
    }
}
