//! Route tables, routes and their associations with subnets.

use ipnet::Ipv4Net;

use super::reply::{flag, in_use, not_found, tag_set};
use super::{subnet, vpc};
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::filter::{Resource, page, select};
use crate::state::{Route, RouteTable, State, Via};
use crate::xml::Xml;

impl Resource for RouteTable {
    const FILTERS: &'static [&'static str] = &[
        "association.main",
        "association.route-table-association-id",
        "association.route-table-id",
        "association.subnet-id",
        "owner-id",
        "route-table-id",
        "route.destination-cidr-block",
        "route.gateway-id",
        "route.state",
        "vpc-id",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn values(&self, filter: &str, st: &State) -> Vec<String> {
        match filter {
            "association.main" => flag(self.main()),
            "association.route-table-association-id" => self.associations.iter().map(|(id, _)| id.clone()).collect(),
            "association.subnet-id" => self.associations.iter().filter_map(|(_, s)| s.clone()).collect(),
            "association.route-table-id" | "route-table-id" => vec![self.id.clone()],
            "route.destination-cidr-block" => self.routes.iter().map(|r| r.to.to_string()).collect(),
            "route.gateway-id" => self
                .routes
                .iter()
                .filter_map(|r| match &r.via {
                    Via::Local => Some("local".to_owned()),
                    Via::Gateway(id) => Some(id.clone()),
                    Via::Interface(_) => None,
                })
                .collect(),
            "route.state" => self.routes.iter().map(|r| state(st, self, r).to_owned()).collect(),
            "vpc-id" => vec![self.vpc.clone()],
            _ => Vec::new(),
        }
    }
}

fn state(st: &State, t: &RouteTable, r: &Route) -> &'static str {
    if st.route_works(t, r) { "active" } else { "blackhole" }
}

fn find(ctx: &Ctx, id: &str) -> Result<RouteTable> {
    Ctx::well_formed(id, "rtb", "InvalidRouteTableId.Malformed")?;
    let found = ctx.st.tables.get(id).cloned();
    found.ok_or_else(|| not_found("InvalidRouteTableID.NotFound", "routeTable")(&[id.to_owned()]))
}

fn xml(x: &mut Xml, ctx: &Ctx, t: &RouteTable) {
    x.text("routeTableId", &t.id)
        .text("vpcId", &t.vpc)
        .text("ownerId", &ctx.cfg.account);
    x.list("routeSet", "item", &t.routes, |x, r| {
        x.text("destinationCidrBlock", r.to);
        match &r.via {
            Via::Local => x.text("gatewayId", "local"),
            Via::Gateway(id) => x.text("gatewayId", id),
            Via::Interface(id) => {
                let owner = ctx.st.interfaces.get(id).and_then(|e| e.attachment.as_ref());
                if let Some(a) = owner {
                    x.text("instanceId", &a.instance)
                        .text("instanceOwnerId", &ctx.cfg.account);
                }
                x.text("networkInterfaceId", id)
            }
        };
        x.text("state", state(&ctx.st, t, r));
        x.text(
            "origin",
            if r.via == Via::Local {
                "CreateRouteTable"
            } else {
                "CreateRoute"
            },
        );
    });
    x.list("associationSet", "item", &t.associations, |x, (id, subnet)| {
        x.text("routeTableAssociationId", id)
            .text("routeTableId", &t.id)
            .maybe("subnetId", subnet.as_ref());
        x.text("main", subnet.is_none()).el("associationState", |x| {
            x.text("state", "associated");
        });
    });
    x.el("propagatingVgwSet", |_| {});
    tag_set(x, ctx, &t.id);
}

/// CreateRouteTable, with an optional client token.
pub fn create_table(ctx: &mut Ctx) -> Result<String> {
    let vpc = vpc::find(ctx, &ctx.p.req("VpcId")?)?;
    let token = ctx.p.opt("ClientToken");
    let earlier = match &token {
        Some(t) => ctx
            .replay("CreateRouteTable", t)?
            .and_then(|made| ctx.st.tables.get(made.first()?).cloned()),
        None => None,
    };
    let table = match earlier {
        Some(table) => {
            ctx.seen_all();
            table
        }
        None => {
            let id = ctx.id("rtb");
            ctx.tag_new(&id, "route-table")?;
            let routes = vec![Route {
                to: vpc.cidr,
                via: Via::Local,
            }];
            let table = RouteTable {
                id: id.clone(),
                vpc: vpc.id,
                routes,
                associations: Vec::new(),
            };
            ctx.st.tables.insert(id.clone(), table.clone());
            if let Some(t) = &token {
                ctx.remember("CreateRouteTable", t, vec![id]);
            }
            table
        }
    };
    let mut x = Xml::new();
    x.el("routeTable", |x| xml(x, ctx, &table)).maybe("clientToken", token);
    Ok(x.finish())
}

/// DescribeRouteTables.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("RouteTableId");
    let found = select(
        ctx,
        &ctx.st.tables,
        &ids,
        not_found("InvalidRouteTableID.NotFound", "routeTable"),
    )?;
    let (found, next) = page(&ctx.p, found, false)?;
    let mut x = Xml::new();
    x.list("routeTableSet", "item", &found, |x, t| xml(x, ctx, t))
        .maybe("nextToken", next);
    Ok(x.finish())
}

/// DeleteRouteTable: not the main one, not while a subnet uses it.
pub fn delete_table(ctx: &mut Ctx) -> Result<String> {
    let table = find(ctx, &ctx.p.req("RouteTableId")?)?;
    if !table.associations.is_empty() {
        return Err(in_use("routeTable", &table.id));
    }
    ctx.st.tables.remove(&table.id);
    ctx.st.forget(&table.id);
    Ok(Xml::done())
}

fn destination(ctx: &Ctx) -> Result<Ipv4Net> {
    let text = ctx.p.req("DestinationCidrBlock")?;
    let net: Ipv4Net = text.parse().map_err(|_| {
        ApiError::value(format!(
            "Value ({text}) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."
        ))
    })?;
    Ok(net.trunc())
}

/// Where the route shall lead; exactly one target.
fn target(ctx: &Ctx, table: &RouteTable) -> Result<Via> {
    let (gateway, interface, instance) = (
        ctx.p.opt("GatewayId"),
        ctx.p.opt("NetworkInterfaceId"),
        ctx.p.opt("InstanceId"),
    );
    let different = |what: &str, id: &str| {
        ApiError::value(format!(
            "route table {} and {what} {id} belong to different networks",
            table.id
        ))
    };
    match (gateway, interface, instance) {
        (Some(id), None, None) => {
            let g = ctx.st.gateways.get(&id).ok_or_else(|| {
                ApiError::bad(
                    "InvalidGatewayID.NotFound",
                    format!("The gateway ID '{id}' does not exist"),
                )
            })?;
            match g.vpc.as_ref() == Some(&table.vpc) {
                true => Ok(Via::Gateway(id)),
                false => Err(different("network gateway", &id)),
            }
        }
        (None, Some(id), None) => {
            let e = super::interface::find(ctx, &id)?;
            match e.vpc == table.vpc {
                true => Ok(Via::Interface(id)),
                false => Err(different("interface", &id)),
            }
        }
        (None, None, Some(id)) => {
            let i = super::instance::find(ctx, &id)?;
            match ctx.st.primary(&i.id) {
                Some(e) if e.vpc == table.vpc => Ok(Via::Interface(e.id.clone())),
                Some(_) => Err(different("instance", &id)),
                None => Err(ApiError::bad(
                    "IncorrectInstanceState",
                    format!("The instance ID '{id}' is not in a valid state for this operation."),
                )),
            }
        }
        (None, None, None) => Err(ApiError::bad(
            "MissingParameter",
            "The request must contain exactly one of gatewayId, networkInterfaceId, vpcPeeringConnectionId, instanceId",
        )),
        _ => Err(ApiError::bad(
            "InvalidParameterCombination",
            "The request must contain exactly one of gatewayId, networkInterfaceId, instanceId",
        )),
    }
}

/// CreateRoute, or ReplaceRoute.
pub fn create(ctx: &mut Ctx, replace: bool) -> Result<String> {
    let table = find(ctx, &ctx.p.req("RouteTableId")?)?;
    let to = destination(ctx)?;
    let via = target(ctx, &table)?;
    let old = table.routes.iter().find(|r| r.to == to);
    let local = old.is_some_and(|r| r.via == Via::Local);
    match (old, replace) {
        (Some(r), false) if r.via != via => {
            return Err(ApiError::bad(
                "RouteAlreadyExists",
                format!("The route identified by {to} already exists."),
            ));
        }
        // EC2 answers true when the very same route is made again.
        (Some(_), false) => return Ok(Xml::done()),
        (None, true) => {
            return Err(ApiError::value(format!(
                "There is no route defined for '{to}' in the route table. Use CreateRoute instead."
            )));
        }
        _ if local => return Err(ApiError::value(format!("The local route {to} cannot be replaced here"))),
        _ => {}
    }
    if let Some(t) = ctx.st.tables.get_mut(&table.id) {
        t.routes.retain(|r| r.to != to);
        t.routes.push(Route { to, via });
    }
    Ok(Xml::done())
}

/// DeleteRoute.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let table = find(ctx, &ctx.p.req("RouteTableId")?)?;
    let to = destination(ctx)?;
    match table.routes.iter().find(|r| r.to == to).map(|r| &r.via) {
        None => Err(ApiError::bad(
            "InvalidRoute.NotFound",
            format!("no route with destination-cidr-block {to} in route table {}", table.id),
        )),
        Some(Via::Local) => Err(ApiError::value(format!(
            "cannot remove local route {to} in route table {}",
            table.id
        ))),
        Some(_) => {
            if let Some(t) = ctx.st.tables.get_mut(&table.id) {
                t.routes.retain(|r| r.to != to);
            }
            Ok(Xml::done())
        }
    }
}

/// AssociateRouteTable with a subnet.
pub fn associate(ctx: &mut Ctx) -> Result<String> {
    let table = find(ctx, &ctx.p.req("RouteTableId")?)?;
    let subnet = subnet::find(ctx, &ctx.p.req("SubnetId")?)?;
    if subnet.vpc != table.vpc {
        return Err(ApiError::value(format!(
            "Route table {} and subnet {} belong to different networks",
            table.id, subnet.id
        )));
    }
    let mine = |t: &RouteTable| {
        t.associations
            .iter()
            .find(|(_, s)| s.as_ref() == Some(&subnet.id))
            .map(|(id, _)| (t.id.clone(), id.clone()))
    };
    let id = match ctx.st.tables.values().find_map(mine) {
        // The same association again answers with its id.
        Some((at, id)) if at == table.id => id,
        Some(_) => {
            return Err(ApiError::bad(
                "Resource.AlreadyAssociated",
                format!(
                    "the specified association for route table {} conflicts with an existing association",
                    table.id
                ),
            ));
        }
        None => {
            let id = ctx.id("rtbassoc");
            if let Some(t) = ctx.st.tables.get_mut(&table.id) {
                t.associations.push((id.clone(), Some(subnet.id)));
            }
            id
        }
    };
    let mut x = Xml::new();
    x.text("associationId", id).el("associationState", |x| {
        x.text("state", "associated");
    });
    Ok(x.finish())
}

/// DisassociateRouteTable.
pub fn disassociate(ctx: &mut Ctx) -> Result<String> {
    let id = ctx.p.req("AssociationId")?;
    let at = ctx
        .st
        .tables
        .values_mut()
        .find(|t| t.associations.iter().any(|(a, _)| *a == id));
    let Some(table) = at else {
        return Err(ApiError::bad(
            "InvalidAssociationID.NotFound",
            format!("The association ID '{id}' does not exist"),
        ));
    };
    if table.associations.iter().any(|(a, s)| *a == id && s.is_none()) {
        return Err(ApiError::value("Cannot disassociate the main route table association"));
    }
    table.associations.retain(|(a, _)| *a != id);
    Ok(Xml::done())
}
