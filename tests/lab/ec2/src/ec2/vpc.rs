//! Networks.

use ipnet::Ipv4Net;

use super::reply::{flag, in_use, not_found, tag_set};
use crate::ctx::{Ctx, Effect};
use crate::error::{ApiError, Result};
use crate::filter::{Resource, page, select};
use crate::state::{Group, Peer, Permission, Route, RouteTable, State, Via, Vpc};
use crate::xml::Xml;
use lab_machines::Protocol;

impl Resource for Vpc {
    const FILTERS: &'static [&'static str] = &[
        "cidr",
        "cidr-block-association.cidr-block",
        "is-default",
        "owner-id",
        "state",
        "vpc-id",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn values(&self, filter: &str, _: &State) -> Vec<String> {
        match filter {
            "cidr" | "cidr-block-association.cidr-block" => vec![self.cidr.to_string()],
            "is-default" => flag(false),
            "state" => vec!["available".to_owned()],
            "vpc-id" => vec![self.id.clone()],
            _ => Vec::new(),
        }
    }
}

/// The network, or InvalidVpcID.NotFound.
pub fn find(ctx: &Ctx, id: &str) -> Result<Vpc> {
    Ctx::well_formed(id, "vpc", "InvalidVpcID.Malformed")?;
    let found = ctx.st.vpcs.get(id).cloned();
    found.ok_or_else(|| not_found("InvalidVpcID.NotFound", "vpc")(&[id.to_owned()]))
}

/// A range as EC2 takes it: no host bits, /16 to /28.
pub fn range(text: &str, code: &str) -> Result<Ipv4Net> {
    let net: Ipv4Net = text.parse().map_err(|_| {
        ApiError::value(format!(
            "Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ))
    })?;
    if net.trunc() != net || !(16..=28).contains(&net.prefix_len()) {
        return Err(ApiError::bad(code, format!("The CIDR '{text}' is invalid.")));
    }
    Ok(net)
}

fn xml(x: &mut Xml, ctx: &Ctx, v: &Vpc) {
    x.text("vpcId", &v.id)
        .text("ownerId", &ctx.cfg.account)
        .text("state", "available")
        .text("cidrBlock", v.cidr);
    x.list("cidrBlockAssociationSet", "item", [()], |x, ()| {
        x.text("cidrBlock", v.cidr)
            .text("associationId", v.id.replace("vpc-", "vpc-cidr-assoc-"));
        x.el("cidrBlockState", |x| {
            x.text("state", "associated");
        });
    });
    x.text("dhcpOptionsId", "dopt-0a1b2c3d")
        .text("instanceTenancy", "default")
        .text("isDefault", false);
    tag_set(x, ctx, &v.id);
}

/// CreateVpc: with its main route table and its default security group.
pub fn create(ctx: &mut Ctx) -> Result<String> {
    let cidr = range(&ctx.p.req("CidrBlock")?, "InvalidVpc.Range")?;
    if let Some(t) = ctx.p.opt("InstanceTenancy").filter(|t| t != "default") {
        return Err(ApiError::value(format!(
            "Invalid value '{t}' for InstanceTenancy: this double has only 'default'"
        )));
    }
    if ctx.st.vpcs.len() >= ctx.cfg.quotas.vpcs {
        return Err(ApiError::bad(
            "VpcLimitExceeded",
            "The maximum number of VPCs has been reached.",
        ));
    }
    let id = ctx.id("vpc");
    ctx.tag_new(&id, "vpc")?;
    let vpc = Vpc {
        id: id.clone(),
        cidr,
        dns_support: true,
        dns_hostnames: false,
    };
    let table = RouteTable {
        id: ctx.id("rtb"),
        vpc: id.clone(),
        routes: vec![Route {
            to: cidr,
            via: Via::Local,
        }],
        associations: vec![(ctx.id("rtbassoc"), None)],
    };
    ctx.st.tables.insert(table.id.clone(), table);
    let group = ctx.id("sg");
    let own = Permission {
        rule: ctx.id("sgr"),
        proto: Protocol::All,
        from: -1,
        to: -1,
        peer: Peer::Group(group.clone()),
        description: None,
    };
    let default = Group {
        id: group.clone(),
        vpc: id.clone(),
        name: "default".to_owned(),
        description: "default VPC security group".to_owned(),
        ingress: vec![own],
        egress: vec![super::group::everywhere(ctx)],
    };
    ctx.st.groups.insert(group, default);
    ctx.st.vpcs.insert(id.clone(), vpc.clone());
    ctx.effects.push(Effect::CreateVpc(id, cidr));
    let mut x = Xml::new();
    x.el("vpc", |x| {
        xml(x, ctx, &vpc);
    });
    // A new network is "pending" in the reply to its creation.
    Ok(x.finish()
        .replacen("<state>available</state>", "<state>pending</state>", 1))
}

/// DescribeVpcs.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("VpcId");
    let found = select(ctx, &ctx.st.vpcs, &ids, not_found("InvalidVpcID.NotFound", "vpc"))?;
    let (found, next) = page(&ctx.p, found, false)?;
    let mut x = Xml::new();
    x.list("vpcSet", "item", &found, |x, v| xml(x, ctx, v))
        .maybe("nextToken", next);
    Ok(x.finish())
}

/// DeleteVpc.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let id = find(ctx, &ctx.p.req("VpcId")?)?.id;
    let st = &ctx.st;
    let used = st.subnets.values().any(|s| s.vpc == id)
        || st.gateway_of(&id).is_some()
        || st.tables.values().any(|t| t.vpc == id && !t.main())
        || st.groups.values().any(|g| g.vpc == id && g.name != "default")
        || st.interfaces.values().any(|e| e.vpc == id);
    if used {
        return Err(in_use("vpc", &id));
    }
    let own = |vpc: &String| *vpc == id;
    let st = &mut ctx.st;
    st.tables.retain(|_, t| !own(&t.vpc));
    st.groups.retain(|_, g| !own(&g.vpc));
    st.vpcs.remove(&id);
    st.forget(&id);
    ctx.effects.push(Effect::DeleteVpc(id));
    Ok(Xml::done())
}

/// ModifyVpcAttribute: one attribute at a time.
pub fn modify(ctx: &mut Ctx) -> Result<String> {
    let id = find(ctx, &ctx.p.req("VpcId")?)?.id;
    let support = ctx.p.attribute_flag("EnableDnsSupport")?;
    let names = ctx.p.attribute_flag("EnableDnsHostnames")?;
    let Some(vpc) = ctx.st.vpcs.get_mut(&id) else {
        return Err(ctx.p.missing("VpcId"));
    };
    match (support, names) {
        (Some(v), None) => vpc.dns_support = v,
        (None, Some(v)) => vpc.dns_hostnames = v,
        (None, None) => {
            return Err(ApiError::bad("InvalidParameterCombination", "No attributes specified."));
        }
        _ => {
            return Err(ApiError::bad(
                "InvalidParameterCombination",
                "Fields for multiple attribute types specified: enableDnsSupport, enableDnsHostnames",
            ));
        }
    }
    Ok(Xml::done())
}

/// DescribeVpcAttribute.
pub fn attribute(ctx: &mut Ctx) -> Result<String> {
    let vpc = find(ctx, &ctx.p.req("VpcId")?)?;
    let name = ctx.p.req("Attribute")?;
    let value = match name.as_str() {
        "enableDnsSupport" => vpc.dns_support,
        "enableDnsHostnames" => vpc.dns_hostnames,
        other => {
            return Err(ApiError::value(format!(
                "Value ({other}) for parameter attribute is invalid."
            )));
        }
    };
    let mut x = Xml::new();
    x.text("vpcId", &vpc.id).el(&name, |x| {
        x.text("value", value);
    });
    Ok(x.finish())
}
