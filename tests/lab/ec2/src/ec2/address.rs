//! Elastic addresses.

use super::reply::{not_found, tag_set};
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::filter::{Resource, select};
use crate::state::{Address, Interface, State};
use crate::xml::Xml;

impl Resource for Address {
    const FILTERS: &'static [&'static str] = &[
        "allocation-id",
        "association-id",
        "domain",
        "instance-id",
        "network-interface-id",
        "private-ip-address",
        "public-ip",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn values(&self, filter: &str, st: &State) -> Vec<String> {
        let interface = self.bound.as_ref().and_then(|(_, e)| st.interfaces.get(e));
        let of = |v: Option<String>| v.into_iter().collect();
        match filter {
            "allocation-id" => vec![self.id.clone()],
            "association-id" => of(self.bound.as_ref().map(|(a, _)| a.clone())),
            "domain" => vec!["vpc".to_owned()],
            "instance-id" => of(interface
                .and_then(|e| e.attachment.as_ref())
                .map(|a| a.instance.clone())),
            "network-interface-id" => of(self.bound.as_ref().map(|(_, e)| e.clone())),
            "private-ip-address" => of(interface.map(|e| e.ip.to_string())),
            "public-ip" => vec![self.ip.to_string()],
            _ => Vec::new(),
        }
    }
}

fn find(ctx: &Ctx, id: &str) -> Result<Address> {
    let found = ctx.st.addresses.get(id).cloned();
    found.ok_or_else(|| not_found("InvalidAllocationID.NotFound", "allocation")(&[id.to_owned()]))
}

fn xml(x: &mut Xml, ctx: &Ctx, a: &Address) {
    x.text("publicIp", a.ip).text("allocationId", &a.id);
    let interface = a
        .bound
        .as_ref()
        .and_then(|(id, e)| Some((id, ctx.st.interfaces.get(e)?)));
    if let Some((association, e)) = interface {
        x.text("associationId", association).text("networkInterfaceId", &e.id);
        x.text("networkInterfaceOwnerId", &ctx.cfg.account)
            .text("privateIpAddress", e.ip);
        x.maybe("instanceId", e.attachment.as_ref().map(|t| &t.instance));
        if e.balancer.is_some() {
            x.text("serviceManaged", "nlb");
        }
    }
    x.text("domain", "vpc")
        .text("publicIpv4Pool", "amazon")
        .text("networkBorderGroup", &ctx.cfg.region);
    tag_set(x, ctx, &a.id);
}

/// AllocateAddress.
pub fn allocate(ctx: &mut Ctx) -> Result<String> {
    if let Some(d) = ctx.p.opt("Domain").filter(|d| d != "vpc") {
        return Err(ApiError::value(format!("Value ({d}) for parameter domain is invalid.")));
    }
    if ctx.st.addresses.len() >= ctx.cfg.quotas.addresses {
        return Err(ApiError::bad(
            "AddressLimitExceeded",
            "The maximum number of addresses has been reached.",
        ));
    }
    let ip = ctx.public_address()?;
    let id = ctx.id("eipalloc");
    ctx.tag_new(&id, "elastic-ip")?;
    ctx.st.addresses.insert(
        id.clone(),
        Address {
            id: id.clone(),
            ip,
            bound: None,
        },
    );
    let mut x = Xml::new();
    x.text("publicIp", ip).text("domain", "vpc").text("allocationId", id);
    x.text("publicIpv4Pool", "amazon")
        .text("networkBorderGroup", &ctx.cfg.region);
    Ok(x.finish())
}

/// DescribeAddresses.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("AllocationId");
    let ips = ctx.p.list("PublicIp");
    let mut found = select(
        ctx,
        &ctx.st.addresses,
        &ids,
        not_found("InvalidAllocationID.NotFound", "allocation"),
    )?;
    for ip in &ips {
        if !ctx.st.addresses.values().any(|a| a.ip.to_string() == *ip) {
            return Err(ApiError::bad(
                "InvalidAddress.NotFound",
                format!("Address '{ip}' not found."),
            ));
        }
    }
    found.retain(|a| ips.is_empty() || ips.contains(&a.ip.to_string()));
    let mut x = Xml::new();
    x.list("addressesSet", "item", &found, |x, a| xml(x, ctx, a));
    Ok(x.finish())
}

fn destination(ctx: &Ctx) -> Result<Interface> {
    match (ctx.p.opt("InstanceId"), ctx.p.opt("NetworkInterfaceId")) {
        (Some(id), None) => {
            let instance = super::instance::find(ctx, &id)?;
            let state = instance.life;
            if !matches!(state, crate::state::Life::Running | crate::state::Life::Stopped) {
                return Err(ApiError::bad(
                    "InvalidInstanceID",
                    format!("The pending instance '{id}' is not in a valid state for this operation."),
                ));
            }
            let e = ctx.st.primary(&id).cloned();
            e.ok_or_else(|| ApiError::bad("InvalidInstanceID", format!("The instance '{id}' has no interface.")))
        }
        (None, Some(id)) => super::interface::find(ctx, &id),
        (None, None) => Err(ApiError::bad(
            "MissingParameter",
            "Either instance ID or network interface id must be specified",
        )),
        _ => Err(ApiError::bad(
            "InvalidParameterCombination",
            "The parameters instanceId and networkInterfaceId cannot be used together",
        )),
    }
}

/// AssociateAddress with an instance or an interface.
pub fn associate(ctx: &mut Ctx) -> Result<String> {
    let address = find(ctx, &ctx.p.req("AllocationId")?)?;
    let again = ctx.p.flag("AllowReassociation")?.unwrap_or(true);
    let e = destination(ctx)?;
    if ctx.st.gateway_of(&e.vpc).is_none() {
        return Err(ApiError::bad(
            "Gateway.NotAttached",
            format!("Network {} is not attached to any internet gateway", e.vpc),
        ));
    }
    let same = address.bound.as_ref().is_some_and(|(_, at)| *at == e.id);
    if let Some((association, at)) = address.bound.as_ref().filter(|_| !same) {
        let service = ctx.st.interfaces.get(at).is_some_and(|e| e.balancer.is_some());
        if service || !again {
            return Err(ApiError::bad(
                "Resource.AlreadyAssociated",
                format!(
                    "resource {} is already associated with associate-id {association}",
                    address.id
                ),
            ));
        }
    }
    let id = match &address.bound {
        Some((id, _)) if same => id.clone(),
        _ => ctx.id("eipassoc"),
    };
    for a in ctx.st.addresses.values_mut() {
        if a.bound.as_ref().is_some_and(|(_, at)| *at == e.id) {
            a.bound = None;
        }
        if a.id == address.id {
            a.bound = Some((id.clone(), e.id.clone()));
        }
    }
    // An interface with an elastic address gives the one of its launch back.
    if let Some(e) = ctx.st.interfaces.get_mut(&e.id) {
        e.public = None;
    }
    let mut x = Xml::new();
    x.text("return", true).text("associationId", id);
    Ok(x.finish())
}

fn managed(ctx: &Ctx, a: &Address) -> bool {
    let e = a.bound.as_ref().and_then(|(_, e)| ctx.st.interfaces.get(e));
    e.is_some_and(|e| e.balancer.is_some())
}

/// DisassociateAddress: a load balancer's address is not ours to take.
pub fn disassociate(ctx: &mut Ctx) -> Result<String> {
    let id = ctx.p.req("AssociationId")?;
    let found = ctx
        .st
        .addresses
        .values()
        .find(|a| a.bound.as_ref().is_some_and(|(b, _)| *b == id))
        .cloned();
    let Some(a) = found else {
        return Err(ApiError::bad(
            "InvalidAssociationID.NotFound",
            format!("The association ID '{id}' does not exist"),
        ));
    };
    if managed(ctx, &a) {
        return Err(ApiError::bad(
            "AuthFailure",
            "You do not have permission to access the specified resource.",
        ));
    }
    if let Some(a) = ctx.st.addresses.get_mut(&a.id) {
        a.bound = None;
    }
    Ok(Xml::done())
}

/// ReleaseAddress: not while associated.
pub fn release(ctx: &mut Ctx) -> Result<String> {
    let address = find(ctx, &ctx.p.req("AllocationId")?)?;
    ctx.p.opt("NetworkBorderGroup");
    if address.bound.is_some() {
        return Err(ApiError::bad(
            "InvalidIPAddress.InUse",
            format!("Address {} is in use.", address.ip),
        ));
    }
    ctx.st.addresses.remove(&address.id);
    ctx.st.forget(&address.id);
    Ok(Xml::done())
}
