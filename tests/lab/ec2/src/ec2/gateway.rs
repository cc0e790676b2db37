//! Internet gateways.

use super::reply::{in_use, not_found, tag_set};
use super::vpc;
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::filter::{Resource, page, select};
use crate::state::{Gateway, State};
use crate::xml::Xml;

impl Resource for Gateway {
    const FILTERS: &'static [&'static str] = &[
        "attachment.state",
        "attachment.vpc-id",
        "internet-gateway-id",
        "owner-id",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn values(&self, filter: &str, _: &State) -> Vec<String> {
        match filter {
            "attachment.state" => self.vpc.iter().map(|_| "available".to_owned()).collect(),
            "attachment.vpc-id" => self.vpc.clone().into_iter().collect(),
            "internet-gateway-id" => vec![self.id.clone()],
            _ => Vec::new(),
        }
    }
}

fn find(ctx: &Ctx, id: &str) -> Result<Gateway> {
    Ctx::well_formed(id, "igw", "InvalidInternetGatewayId.Malformed")?;
    let found = ctx.st.gateways.get(id).cloned();
    found.ok_or_else(|| not_found("InvalidInternetGatewayID.NotFound", "internetGateway")(&[id.to_owned()]))
}

fn xml(x: &mut Xml, ctx: &Ctx, g: &Gateway) {
    x.text("internetGatewayId", &g.id).text("ownerId", &ctx.cfg.account);
    x.list("attachmentSet", "item", &g.vpc, |x, vpc| {
        x.text("vpcId", vpc).text("state", "available");
    });
    tag_set(x, ctx, &g.id);
}

/// CreateInternetGateway.
pub fn create(ctx: &mut Ctx) -> Result<String> {
    let id = ctx.id("igw");
    ctx.tag_new(&id, "internet-gateway")?;
    let gateway = Gateway {
        id: id.clone(),
        vpc: None,
    };
    ctx.st.gateways.insert(id, gateway.clone());
    let mut x = Xml::new();
    x.el("internetGateway", |x| xml(x, ctx, &gateway));
    Ok(x.finish())
}

/// AttachInternetGateway: a network has one, a gateway one network.
pub fn attach(ctx: &mut Ctx) -> Result<String> {
    let gateway = find(ctx, &ctx.p.req("InternetGatewayId")?)?;
    let vpc = vpc::find(ctx, &ctx.p.req("VpcId")?)?.id;
    if let Some(other) = gateway.vpc {
        return Err(ApiError::bad(
            "Resource.AlreadyAssociated",
            format!("resource {} is already attached to network {other}", gateway.id),
        ));
    }
    if ctx.st.gateway_of(&vpc).is_some() {
        return Err(ApiError::value(format!(
            "Network {vpc} already has an internet gateway attached"
        )));
    }
    if let Some(g) = ctx.st.gateways.get_mut(&gateway.id) {
        g.vpc = Some(vpc);
    }
    Ok(Xml::done())
}

/// DetachInternetGateway: not while public addresses are in use.
pub fn detach(ctx: &mut Ctx) -> Result<String> {
    let gateway = find(ctx, &ctx.p.req("InternetGatewayId")?)?;
    let vpc = vpc::find(ctx, &ctx.p.req("VpcId")?)?.id;
    if gateway.vpc.as_ref() != Some(&vpc) {
        return Err(ApiError::bad(
            "Gateway.NotAttached",
            format!("resource {} is not attached to network {vpc}", gateway.id),
        ));
    }
    if ctx
        .st
        .interfaces
        .values()
        .any(|e| e.vpc == vpc && ctx.st.public_of(e).is_some())
    {
        return Err(ApiError::dependency(format!(
            "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
        )));
    }
    if let Some(g) = ctx.st.gateways.get_mut(&gateway.id) {
        g.vpc = None;
    }
    Ok(Xml::done())
}

/// DescribeInternetGateways.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("InternetGatewayId");
    let missing = not_found("InvalidInternetGatewayID.NotFound", "internetGateway");
    let found = select(ctx, &ctx.st.gateways, &ids, missing)?;
    let (found, next) = page(&ctx.p, found, false)?;
    let mut x = Xml::new();
    x.list("internetGatewaySet", "item", &found, |x, g| xml(x, ctx, g))
        .maybe("nextToken", next);
    Ok(x.finish())
}

/// DeleteInternetGateway: not while attached.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let gateway = find(ctx, &ctx.p.req("InternetGatewayId")?)?;
    if gateway.vpc.is_some() {
        return Err(in_use("internetGateway", &gateway.id));
    }
    ctx.st.gateways.remove(&gateway.id);
    ctx.st.forget(&gateway.id);
    Ok(Xml::done())
}
