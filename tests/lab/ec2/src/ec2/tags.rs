//! Tags of existing resources.

use crate::ctx::{Ctx, read_tags};
use crate::error::{ApiError, Result};
use crate::filter::{Filters, page};
use crate::xml::Xml;

/// What kind of resource an id names, if it exists.
fn kind(ctx: &Ctx, id: &str) -> Option<&'static str> {
    let st = &ctx.st;
    let table: [(&str, bool); 10] = [
        ("vpc", st.vpcs.contains_key(id)),
        ("subnet", st.subnets.contains_key(id)),
        ("internet-gateway", st.gateways.contains_key(id)),
        ("route-table", st.tables.contains_key(id)),
        ("security-group", st.groups.contains_key(id)),
        ("elastic-ip", st.addresses.contains_key(id)),
        ("network-interface", st.interfaces.contains_key(id)),
        ("instance", st.instances.contains_key(id)),
        ("volume", st.volumes.contains_key(id)),
        (
            "security-group-rule",
            st.groups
                .values()
                .flat_map(|g| g.ingress.iter().chain(&g.egress))
                .any(|r| r.rule == id),
        ),
    ];
    table.into_iter().find(|(_, there)| *there).map(|(kind, _)| kind)
}

fn resources(ctx: &Ctx) -> Result<Vec<String>> {
    let ids = ctx.p.list("ResourceId");
    if ids.is_empty() {
        return Err(ctx.p.missing("ResourceId"));
    }
    for id in &ids {
        if kind(ctx, id).is_some() {
            continue;
        }
        let what = |code: &str, what: &str| ApiError::bad(code, format!("The {what} ID '{id}' does not exist"));
        return Err(match id.split('-').next().unwrap_or_default() {
            "vpc" => what("InvalidVpcID.NotFound", "vpc"),
            "subnet" => what("InvalidSubnetID.NotFound", "subnet"),
            "igw" => what("InvalidInternetGatewayID.NotFound", "internetGateway"),
            "rtb" => what("InvalidRouteTableID.NotFound", "routeTable"),
            "sg" => what("InvalidGroup.NotFound", "security group"),
            "eipalloc" => what("InvalidAllocationID.NotFound", "allocation"),
            "eni" => what("InvalidNetworkInterfaceID.NotFound", "networkInterface"),
            "i" => what("InvalidInstanceID.NotFound", "instance"),
            "vol" => what("InvalidVolume.NotFound", "volume"),
            _ => ApiError::bad("InvalidID", format!("The ID '{id}' is not valid")),
        });
    }
    Ok(ids)
}

/// CreateTags: adds and overwrites.
pub fn create(ctx: &mut Ctx) -> Result<String> {
    let ids = resources(ctx)?;
    let tags = read_tags(&ctx.p, "Tag")?;
    if tags.is_empty() {
        return Err(ctx.p.missing("Tag"));
    }
    for id in ids {
        let own = ctx.st.tags.entry(id).or_default();
        own.extend(tags.clone());
        if own.len() > 50 {
            return Err(ApiError::bad(
                "TagLimitExceeded",
                "The maximum number of Tags for a resource has been reached.",
            ));
        }
    }
    Ok(Xml::done())
}

/// DeleteTags: by key, or by key and value; without tags all of them.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let ids = resources(ctx)?;
    let mut wanted = Vec::new();
    for p in ctx.p.subs("Tag") {
        wanted.push((p.req("Key")?, p.opt("Value")));
    }
    for id in ids {
        let own = ctx.st.tags.entry(id).or_default();
        let hit = |k: &String, v: &String| {
            wanted.is_empty()
                || wanted
                    .iter()
                    .any(|(wk, wv)| wk == k && wv.as_ref().is_none_or(|wv| wv == v))
        };
        own.retain(|k, v| !hit(k, v));
    }
    Ok(Xml::done())
}

/// DescribeTags.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let filters = Filters::read(&ctx.p)?;
    filters.check(&["key", "resource-id", "resource-type", "value"])?;
    let mut found = Vec::new();
    for (id, tags) in &ctx.st.tags {
        let Some(kind) = kind(ctx, id).filter(|_| ctx.visible(id)) else {
            continue;
        };
        for (k, v) in tags {
            let hit = filters.matches(Some(tags), |name| match name {
                "key" => vec![k.clone()],
                "value" => vec![v.clone()],
                "resource-id" => vec![id.clone()],
                _ => vec![kind.to_owned()],
            });
            if hit {
                found.push((id.clone(), kind, k.clone(), v.clone()));
            }
        }
    }
    let (found, next) = page(&ctx.p, found, false)?;
    let mut x = Xml::new();
    x.list("tagSet", "item", &found, |x, (id, kind, k, v)| {
        x.text("resourceId", id)
            .text("resourceType", kind)
            .text("key", k)
            .text("value", v);
    });
    x.maybe("nextToken", next);
    Ok(x.finish())
}
