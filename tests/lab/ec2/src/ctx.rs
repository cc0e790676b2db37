//! What an action has in hand: its parameters, a copy of the state to change, and the effects to carry out afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use jiff::Timestamp;

use crate::config::{Config, Credential};
use crate::error::{ApiError, Result};
use crate::params::Params;
use crate::state::{Interface, State, Subnet};
use lab_machines::{Backend, InstanceSpec};

/// What the backend must do once the new state holds.
#[derive(Debug)]
pub enum Effect {
    /// Before the reply.
    CreateVpc(String, Ipv4Net),
    /// Before the reply.
    DeleteVpc(String),
    /// Beside the reply.
    Launch(Box<InstanceSpec>),
    /// Beside the reply.
    Terminate(String),
}

/// See the module.
pub struct Ctx<'a> {
    /// The cloud's configuration.
    pub cfg: &'a Config,
    /// A copy; it becomes the state if the action succeeds.
    pub st: State,
    /// Parameters.
    pub p: Params<'a>,
    /// The time of the action.
    pub now: Timestamp,
    /// Who asks.
    pub who: &'a Credential,
    /// For reading the console and the health of targets.
    pub backend: &'a dyn Backend,
    /// To be carried out.
    pub effects: Vec<Effect>,
    /// How long new things stay invisible.
    pub window: Duration,
    /// Zones and types without machines.
    pub full: Vec<(String, String)>,
}

/// Random hexadecimal digits.
pub fn random_hex(digits: usize) -> String {
    let mut bytes = vec![0_u8; digits.div_ceil(2)];
    // Without a random source this laboratory cannot run at all.
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    let mut text = hex::encode(bytes);
    text.truncate(digits);
    text
}

/// A UUID, as request ids are.
pub fn uuid() -> String {
    let h = random_hex(32);
    format!("{}-{}-4{}-a{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..])
}

/// EC2's time format.
pub fn time(t: Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// `ip-10-42-1-10`.
pub fn host_name(ip: Ipv4Addr) -> String {
    format!("ip-{}", ip.to_string().replace('.', "-"))
}

impl Ctx<'_> {
    /// A new id with 17 digits, born now.
    pub fn id(&mut self, prefix: &str) -> String {
        let id = format!("{prefix}-0{}", random_hex(16));
        self.st.born.insert(id.clone(), self.now);
        id
    }

    /// Whether reads see it yet.
    pub fn visible(&self, id: &str) -> bool {
        let window = jiff::SignedDuration::try_from(self.window).unwrap_or_default();
        window.is_zero() || self.st.born.get(id).is_none_or(|b| *b + window <= self.now)
    }

    /// Private name of an address.
    pub fn private_dns(&self, ip: Ipv4Addr) -> String {
        let region = &self.cfg.region;
        match region.as_str() {
            "us-east-1" => format!("{}.ec2.internal", host_name(ip)),
            _ => format!("{}.{region}.compute.internal", host_name(ip)),
        }
    }

    /// Public name of an address.
    pub fn public_dns(&self, ip: Ipv4Addr) -> String {
        format!(
            "ec2-{}.{}.compute.amazonaws.com",
            ip.to_string().replace('.', "-"),
            self.cfg.region
        )
    }

    /// The id must look like one.
    pub fn well_formed(id: &str, prefix: &str, code: &str) -> Result<()> {
        let good = id
            .strip_prefix(prefix)
            .and_then(|r| r.strip_prefix('-'))
            .is_some_and(|r| {
                (r.len() == 8 || r.len() == 17) && r.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
            });
        match good {
            true => Ok(()),
            false => Err(ApiError::bad(
                code,
                format!("Invalid id: \"{id}\" (expecting \"{prefix}-...\")"),
            )),
        }
    }

    /// Tags of the create call, by resource type. Only the types of the call are allowed.
    pub fn tag_specs(&self, allowed: &[&str]) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        let mut out: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for spec in self.p.subs("TagSpecification") {
            let kind = spec.req("ResourceType")?;
            if !allowed.contains(&kind.as_str()) {
                return Err(ApiError::value(format!(
                    "'{kind}' is not a valid taggable resource type for this operation."
                )));
            }
            if out.contains_key(&kind) {
                return Err(ApiError::value(format!(
                    "Duplicate tag specification for resource type '{kind}'"
                )));
            }
            out.insert(kind, read_tags(&spec, "Tag")?);
        }
        Ok(out)
    }

    /// Tags of a call that makes one kind of thing, stored under its id.
    pub fn tag_new(&mut self, id: &str, kind: &str) -> Result<()> {
        let tags = self.tag_specs(&[kind])?.remove(kind).unwrap_or_default();
        self.st.tags.insert(id.to_owned(), tags);
        Ok(())
    }

    /// The next free public address of the pool.
    pub fn public_address(&mut self) -> Result<Ipv4Addr> {
        let taken = self.st.taken_public();
        let (first, last) = (u32::from(self.cfg.public_pool.0), u32::from(self.cfg.public_pool.1));
        let start = self.st.last_public.map_or(first, |l| u32::from(l) + 1);
        let free = (start..=last)
            .chain(first..=last)
            .map(Ipv4Addr::from)
            .find(|ip| !taken.contains(ip));
        let ip = free.ok_or_else(|| {
            ApiError::bad(
                "InsufficientAddressCapacity",
                "Not enough addresses available to fulfill the request.",
            )
        })?;
        self.st.last_public = Some(ip);
        Ok(ip)
    }

    /// A private address of a subnet: the wanted one if it may be had, else the lowest free one.
    pub fn private_address(&self, subnet: &Subnet, wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr> {
        let taken = self.st.taken(&subnet.id);
        let net = u32::from(subnet.cidr.network());
        let last = u32::from(subnet.cidr.broadcast());
        match wanted {
            Some(ip) if !subnet.cidr.contains(&ip) => {
                Err(ApiError::value(format!("Address {ip} does not fall within the subnet's address range")))
            }
            Some(ip) if u32::from(ip) < net + 4 || u32::from(ip) == last => {
                Err(ApiError::value(format!("Address {ip} is in subnet's reserved address range")))
            }
            Some(ip) if taken.contains(&ip) => {
                Err(ApiError::bad("InvalidIPAddress.InUse", format!("Address {ip} is in use.")))
            }
            Some(ip) => Ok(ip),
            None => (net + 4..last).map(Ipv4Addr::from).find(|ip| !taken.contains(ip)).ok_or_else(|| {
                ApiError::bad(
                    "InsufficientFreeAddressesInSubnet",
                    format!("There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.", subnet.id),
                )
            }),
        }
    }

    /// The groups named, which must be of this network; none named means the default group.
    pub fn groups_in(&self, ids: Vec<String>, vpc: &str) -> Result<Vec<String>> {
        if ids.is_empty() {
            let default = self.st.groups.values().find(|g| g.vpc == vpc && g.name == "default");
            return Ok(default.map(|g| g.id.clone()).into_iter().collect());
        }
        if ids.iter().collect::<BTreeSet<_>>().len() != ids.len() {
            return Err(ApiError::value("Security group ids must be unique"));
        }
        for id in &ids {
            match self.st.groups.get(id) {
                None => {
                    return Err(ApiError::bad(
                        "InvalidGroup.NotFound",
                        format!("The security group '{id}' does not exist"),
                    ));
                }
                Some(g) if g.vpc != vpc => {
                    return Err(ApiError::bad(
                        "InvalidParameter",
                        "You have specified two resources that belong to different networks.",
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(ids)
    }

    /// A new interface, not attached.
    pub fn interface(&mut self, subnet: &Subnet, ip: Ipv4Addr, groups: Vec<String>) -> Interface {
        let h = random_hex(10);
        let pairs: Vec<&str> = (0..5).map(|i| &h[i * 2..i * 2 + 2]).collect();
        Interface {
            id: self.id("eni"),
            vpc: subnet.vpc.clone(),
            subnet: subnet.id.clone(),
            az: subnet.az.clone(),
            ip,
            mac: format!("06:{}", pairs.join(":")),
            groups,
            description: String::new(),
            check: true,
            attachment: None,
            public: None,
            balancer: None,
        }
    }

    /// A client token seen before: Ok(Some) what it made, an error if the parameters differ.
    pub fn replay(&self, action: &str, token: &str) -> Result<Option<Vec<String>>> {
        if token.len() > 64 || !token.is_ascii() {
            return Err(ApiError::value(format!(
                "Invalid value '{token}' for ClientToken: at most 64 ASCII characters"
            )));
        }
        match self.st.tokens.get(&(action.to_owned(), token.to_owned())) {
            None => Ok(None),
            Some(t) if t.parameters == idempotent(self.p.all()) => Ok(Some(t.made.clone())),
            Some(_) => Err(ApiError::bad(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )),
        }
    }

    /// Remembers what a token made.
    pub fn remember(&mut self, action: &str, token: &str, made: Vec<String>) {
        let parameters = idempotent(self.p.all());
        self.st.tokens.insert(
            (action.to_owned(), token.to_owned()),
            crate::state::Token { parameters, made },
        );
    }

    /// Marks every parameter as seen, for a reply that repeats an earlier one.
    pub fn seen_all(&self) {
        for key in self.p.all().keys() {
            self.p.opt(key);
        }
    }
}

fn idempotent(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    all.iter()
        .filter(|(k, _)| *k != "DryRun")
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// `Tag.N.Key`, `Tag.N.Value`, with AWS's limits.
pub fn read_tags(p: &Params, name: &str) -> Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for tag in p.subs(name) {
        let (key, value) = (tag.req("Key")?, tag.opt("Value").unwrap_or_default());
        if key.starts_with("aws:") {
            return Err(ApiError::value(
                "Tag keys starting with 'aws:' are reserved for internal use",
            ));
        }
        if key.chars().count() > 127 || value.chars().count() > 255 {
            return Err(ApiError::value(format!(
                "Tag '{key}' exceeds the maximum length of 127 for keys or 255 for values"
            )));
        }
        if out.insert(key.clone(), value).is_some() {
            return Err(ApiError::value(format!("Duplicate tag key '{key}' specified.")));
        }
    }
    if out.len() > 50 {
        return Err(ApiError::bad(
            "TagLimitExceeded",
            "The maximum number of Tags for a resource has been reached.",
        ));
    }
    Ok(out)
}
