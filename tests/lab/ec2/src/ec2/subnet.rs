//! Subnets.

use super::reply::{arn, flag, in_use, not_found, tag_set};
use super::vpc;
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::filter::{Resource, page, select};
use crate::state::{State, Subnet};
use crate::xml::Xml;

impl Resource for Subnet {
    const FILTERS: &'static [&'static str] = &[
        "availability-zone",
        "availabilityZone",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "default-for-az",
        "map-public-ip-on-launch",
        "state",
        "subnet-id",
        "vpc-id",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn values(&self, filter: &str, _: &State) -> Vec<String> {
        match filter {
            "availability-zone" | "availabilityZone" => vec![self.az.clone()],
            "cidr" | "cidr-block" | "cidrBlock" => vec![self.cidr.to_string()],
            "default-for-az" => flag(false),
            "map-public-ip-on-launch" => flag(self.map_public),
            "state" => vec!["available".to_owned()],
            "subnet-id" => vec![self.id.clone()],
            "vpc-id" => vec![self.vpc.clone()],
            _ => Vec::new(),
        }
    }
}

/// The subnet, or InvalidSubnetID.NotFound.
pub fn find(ctx: &Ctx, id: &str) -> Result<Subnet> {
    Ctx::well_formed(id, "subnet", "InvalidSubnetID.Malformed")?;
    let found = ctx.st.subnets.get(id).cloned();
    found.ok_or_else(|| not_found("InvalidSubnetID.NotFound", "subnet")(&[id.to_owned()]))
}

/// Zone id as AWS numbers them for this account: the zone's letter as a number.
pub fn zone_id(zone: &str) -> String {
    let n = zone.bytes().last().map_or(1, |b| b.saturating_sub(b'a') + 1);
    format!("euc1-az{n}")
}

fn xml(x: &mut Xml, ctx: &Ctx, s: &Subnet) {
    let size = 1_u64 << (32 - s.cidr.prefix_len());
    let free = size.saturating_sub(5).saturating_sub(ctx.st.taken(&s.id).len() as u64);
    x.text("subnetId", &s.id)
        .text("subnetArn", arn(ctx, "subnet", &s.id))
        .text("state", "available");
    x.text("ownerId", &ctx.cfg.account)
        .text("vpcId", &s.vpc)
        .text("cidrBlock", s.cidr);
    x.el("ipv6CidrBlockAssociationSet", |_| {});
    x.text("availableIpAddressCount", free).text("availabilityZone", &s.az);
    x.text("availabilityZoneId", zone_id(&s.az)).text("defaultForAz", false);
    x.text("mapPublicIpOnLaunch", s.map_public)
        .text("assignIpv6AddressOnCreation", false);
    tag_set(x, ctx, &s.id);
}

/// CreateSubnet.
pub fn create(ctx: &mut Ctx) -> Result<String> {
    let vpc = vpc::find(ctx, &ctx.p.req("VpcId")?)?;
    let text = ctx.p.req("CidrBlock")?;
    let cidr = vpc::range(&text, "InvalidSubnet.Range")?;
    let az = ctx
        .p
        .opt("AvailabilityZone")
        .unwrap_or_else(|| ctx.cfg.zones[0].clone());
    if !ctx.cfg.zones.contains(&az) {
        return Err(ApiError::value(format!(
            "Value ({az}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: {}.",
            ctx.cfg.zones.join(", ")
        )));
    }
    if !vpc.cidr.contains(&cidr) {
        return Err(ApiError::bad(
            "InvalidSubnet.Range",
            format!("The CIDR '{text}' is invalid."),
        ));
    }
    let clash = |s: &&Subnet| s.vpc == vpc.id && (s.cidr.contains(&cidr) || cidr.contains(&s.cidr));
    if ctx.st.subnets.values().find(clash).is_some() {
        return Err(ApiError::bad(
            "InvalidSubnet.Conflict",
            format!("The CIDR '{text}' conflicts with another subnet"),
        ));
    }
    let id = ctx.id("subnet");
    ctx.tag_new(&id, "subnet")?;
    let subnet = Subnet {
        id: id.clone(),
        vpc: vpc.id,
        cidr,
        az,
        map_public: false,
    };
    ctx.st.subnets.insert(id, subnet.clone());
    let mut x = Xml::new();
    x.el("subnet", |x| xml(x, ctx, &subnet));
    Ok(x.finish())
}

/// DescribeSubnets.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("SubnetId");
    let found = select(
        ctx,
        &ctx.st.subnets,
        &ids,
        not_found("InvalidSubnetID.NotFound", "subnet"),
    )?;
    let (found, next) = page(&ctx.p, found, false)?;
    let mut x = Xml::new();
    x.list("subnetSet", "item", &found, |x, s| xml(x, ctx, s))
        .maybe("nextToken", next);
    Ok(x.finish())
}

/// DeleteSubnet: not while an interface lies in it.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let id = find(ctx, &ctx.p.req("SubnetId")?)?.id;
    if ctx.st.interfaces.values().any(|e| e.subnet == id) {
        return Err(in_use("subnet", &id));
    }
    for t in ctx.st.tables.values_mut() {
        t.associations.retain(|(_, s)| s.as_deref() != Some(&id));
    }
    ctx.st.subnets.remove(&id);
    ctx.st.forget(&id);
    Ok(Xml::done())
}

/// ModifySubnetAttribute: whether instances get a public address at launch.
pub fn modify(ctx: &mut Ctx) -> Result<String> {
    let id = find(ctx, &ctx.p.req("SubnetId")?)?.id;
    let value = ctx
        .p
        .attribute_flag("MapPublicIpOnLaunch")?
        .ok_or_else(|| ApiError::bad("InvalidParameterCombination", "No attributes specified."))?;
    if let Some(s) = ctx.st.subnets.get_mut(&id) {
        s.map_public = value;
    }
    Ok(Xml::done())
}
