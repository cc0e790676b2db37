//! Network interfaces.

use super::reply::{flag, group_set, not_found, tag_set};
use super::subnet;
use crate::ctx::{Ctx, time};
use crate::error::{ApiError, Result};
use crate::filter::{Resource, page, select};
use crate::state::{Interface, State};
use crate::xml::Xml;

impl Resource for Interface {
    const FILTERS: &'static [&'static str] = &[
        "addresses.private-ip-address",
        "association.allocation-id",
        "association.public-ip",
        "attachment.device-index",
        "attachment.instance-id",
        "attachment.status",
        "availability-zone",
        "description",
        "group-id",
        "mac-address",
        "network-interface-id",
        "owner-id",
        "private-ip-address",
        "requester-managed",
        "source-dest-check",
        "status",
        "subnet-id",
        "vpc-id",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn values(&self, filter: &str, st: &State) -> Vec<String> {
        let at = self.attachment.as_ref();
        let of = |v: Option<String>| v.into_iter().collect();
        match filter {
            "addresses.private-ip-address" | "private-ip-address" => vec![self.ip.to_string()],
            "association.allocation-id" => of(st.elastic(&self.id).map(|a| a.id.clone())),
            "association.public-ip" => of(st.public_of(self).map(|ip| ip.to_string())),
            "attachment.device-index" => of(at.map(|a| a.device.to_string())),
            "attachment.instance-id" => of(at.map(|a| a.instance.clone())),
            "attachment.status" => of(at.map(|_| "attached".to_owned())),
            "availability-zone" => vec![self.az.clone()],
            "description" => vec![self.description.clone()],
            "group-id" => self.groups.clone(),
            "mac-address" => vec![self.mac.clone()],
            "network-interface-id" => vec![self.id.clone()],
            "requester-managed" => flag(self.balancer.is_some()),
            "source-dest-check" => flag(self.check),
            "status" => vec![status(self).to_owned()],
            "subnet-id" => vec![self.subnet.clone()],
            "vpc-id" => vec![self.vpc.clone()],
            _ => Vec::new(),
        }
    }
}

fn status(e: &Interface) -> &'static str {
    if e.attachment.is_some() || e.balancer.is_some() {
        "in-use"
    } else {
        "available"
    }
}

/// The interface, or InvalidNetworkInterfaceID.NotFound.
pub fn find(ctx: &Ctx, id: &str) -> Result<Interface> {
    Ctx::well_formed(id, "eni", "InvalidNetworkInterfaceId.Malformed")?;
    let found = ctx.st.interfaces.get(id).cloned();
    found.ok_or_else(|| not_found("InvalidNetworkInterfaceID.NotFound", "networkInterface")(&[id.to_owned()]))
}

/// `<association>` of an interface with a public address.
pub fn association(x: &mut Xml, ctx: &Ctx, e: &Interface) {
    let Some(ip) = ctx.st.public_of(e) else { return };
    let elastic = ctx.st.elastic(&e.id);
    x.el("association", |x| {
        x.text("publicIp", ip).text("publicDnsName", ctx.public_dns(ip));
        match elastic {
            None => x.text("ipOwnerId", "amazon"),
            Some(_) => x.text("ipOwnerId", &ctx.cfg.account),
        };
    });
}

fn addresses(x: &mut Xml, ctx: &Ctx, e: &Interface) {
    x.list("privateIpAddressesSet", "item", [()], |x, ()| {
        x.text("privateIpAddress", e.ip)
            .text("privateDnsName", ctx.private_dns(e.ip))
            .text("primary", true);
        association(x, ctx, e);
    });
}

fn xml(x: &mut Xml, ctx: &Ctx, e: &Interface) {
    x.text("networkInterfaceId", &e.id)
        .text("subnetId", &e.subnet)
        .text("vpcId", &e.vpc);
    x.text("availabilityZone", &e.az)
        .text("description", &e.description)
        .text("ownerId", &ctx.cfg.account);
    x.text("requesterManaged", e.balancer.is_some());
    if e.balancer.is_some() {
        x.text("requesterId", "amazon-elb");
    }
    x.text("status", status(e))
        .text("macAddress", &e.mac)
        .text("privateIpAddress", e.ip);
    x.text("privateDnsName", ctx.private_dns(e.ip))
        .text("sourceDestCheck", e.check);
    group_set(x, ctx, &e.groups);
    if let Some(a) = &e.attachment {
        x.el("attachment", |x| {
            x.text("attachmentId", &a.id).text("instanceId", &a.instance);
            x.text("instanceOwnerId", &ctx.cfg.account)
                .text("deviceIndex", a.device)
                .text("networkCardIndex", 0);
            x.text("status", "attached").text("attachTime", time(a.since));
            x.text("deleteOnTermination", a.delete_on_termination);
        });
    }
    association(x, ctx, e);
    tag_set(x, ctx, &e.id);
    addresses(x, ctx, e);
    x.el("ipv6AddressesSet", |_| {});
    x.text(
        "interfaceType",
        if e.balancer.is_some() {
            "network_load_balancer"
        } else {
            "interface"
        },
    );
}

/// The part of an instance's description that is about one interface.
pub fn in_instance(x: &mut Xml, ctx: &Ctx, e: &Interface) {
    x.text("networkInterfaceId", &e.id)
        .text("subnetId", &e.subnet)
        .text("vpcId", &e.vpc);
    x.text("description", &e.description)
        .text("ownerId", &ctx.cfg.account)
        .text("status", status(e));
    x.text("macAddress", &e.mac)
        .text("privateIpAddress", e.ip)
        .text("privateDnsName", ctx.private_dns(e.ip));
    x.text("sourceDestCheck", e.check);
    group_set(x, ctx, &e.groups);
    if let Some(a) = &e.attachment {
        x.el("attachment", |x| {
            x.text("attachmentId", &a.id)
                .text("deviceIndex", a.device)
                .text("status", "attached");
            x.text("attachTime", time(a.since))
                .text("deleteOnTermination", a.delete_on_termination);
            x.text("networkCardIndex", 0);
        });
    }
    association(x, ctx, e);
    addresses(x, ctx, e);
    x.el("ipv6AddressesSet", |_| {}).text("interfaceType", "interface");
}

/// CreateNetworkInterface, with an optional client token.
pub fn create(ctx: &mut Ctx) -> Result<String> {
    let token = ctx.p.opt("ClientToken");
    let earlier = match &token {
        Some(t) => ctx.replay("CreateNetworkInterface", t)?,
        None => None,
    };
    if let Some(made) = earlier {
        ctx.seen_all();
        let e = find(ctx, made.first().map_or("", String::as_str))?;
        return Ok(created(ctx, &e, token));
    }
    let subnet = subnet::find(ctx, &ctx.p.req("SubnetId")?)?;
    let wanted = ctx.p.ip("PrivateIpAddress")?;
    let ip = ctx.private_address(&subnet, wanted)?;
    let groups = ctx.groups_in(ctx.p.list("SecurityGroupId"), &subnet.vpc)?;
    let mut e = ctx.interface(&subnet, ip, groups);
    e.description = ctx.p.opt("Description").unwrap_or_default();
    ctx.tag_new(&e.id, "network-interface")?;
    ctx.st.interfaces.insert(e.id.clone(), e.clone());
    if let Some(t) = &token {
        ctx.remember("CreateNetworkInterface", t, vec![e.id.clone()]);
    }
    Ok(created(ctx, &e, token))
}

fn created(ctx: &Ctx, e: &Interface, token: Option<String>) -> String {
    let mut x = Xml::new();
    x.el("networkInterface", |x| xml(x, ctx, e)).maybe("clientToken", token);
    x.finish()
}

/// DescribeNetworkInterfaces.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("NetworkInterfaceId");
    let missing = not_found("InvalidNetworkInterfaceID.NotFound", "networkInterface");
    let found = select(ctx, &ctx.st.interfaces, &ids, missing)?;
    let (found, next) = page(&ctx.p, found, false)?;
    let mut x = Xml::new();
    x.list("networkInterfaceSet", "item", &found, |x, e| xml(x, ctx, e))
        .maybe("nextToken", next);
    Ok(x.finish())
}

fn own(ctx: &Ctx, id: &str) -> Result<Interface> {
    let e = find(ctx, id)?;
    match e.balancer {
        Some(_) => Err(ApiError::bad(
            "OperationNotPermitted",
            "You are not allowed to manage 'ela-attach' attachments.",
        )),
        None => Ok(e),
    }
}

/// DeleteNetworkInterface: not while attached.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let e = find(ctx, &ctx.p.req("NetworkInterfaceId")?)?;
    if e.attachment.is_some() || e.balancer.is_some() {
        return Err(ApiError::value(format!(
            "Network interface '{}' is currently in use.",
            e.id
        )));
    }
    ctx.st.drop_interface(&e.id);
    Ok(Xml::done())
}

/// ModifyNetworkInterfaceAttribute: source/destination check, groups, description, fate at termination.
pub fn modify(ctx: &mut Ctx) -> Result<String> {
    let mut e = own(ctx, &ctx.p.req("NetworkInterfaceId")?)?;
    let mut changes = 0;
    if let Some(check) = ctx.p.attribute_flag("SourceDestCheck")? {
        e.check = check;
        changes += 1;
    }
    if let Some(text) = ctx.p.opt("Description.Value") {
        e.description = text;
        changes += 1;
    }
    let groups = ctx.p.list("SecurityGroupId");
    if !groups.is_empty() {
        e.groups = ctx.groups_in(groups, &e.vpc)?;
        changes += 1;
    }
    if let Some(p) = ctx.p.sub("Attachment") {
        let (id, fate) = (p.req("AttachmentId")?, p.flag("DeleteOnTermination")?);
        let a = e.attachment.as_mut().filter(|a| a.id == id).ok_or_else(|| {
            ApiError::bad(
                "InvalidAttachmentID.NotFound",
                format!("The attachment ID '{id}' does not exist"),
            )
        })?;
        a.delete_on_termination = fate.unwrap_or(a.delete_on_termination);
        changes += 1;
    }
    match changes {
        1 => {
            ctx.st.interfaces.insert(e.id.clone(), e);
            Ok(Xml::done())
        }
        0 => Err(ApiError::bad("InvalidParameterCombination", "No attributes specified.")),
        _ => Err(ApiError::bad(
            "InvalidParameterCombination",
            "Fields for multiple attribute types specified in one request",
        )),
    }
}
