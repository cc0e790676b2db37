//! Network load balancers.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{arn, attribute_list, change, check_name, create_tags, page, time};
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::state::{Balancer, Leg, State};
use crate::xml::Xml;

fn none() -> ApiError {
    ApiError::bad("LoadBalancerNotFound", "One or more load balancers not found")
}

/// The load balancer, or LoadBalancerNotFound.
pub fn find(ctx: &Ctx, arn: &str) -> Result<Balancer> {
    if !arn.contains(":loadbalancer/") {
        return Err(ApiError::validation(format!(
            "'{arn}' is not a valid load balancer ARN"
        )));
    }
    let found = ctx.st.balancers.get(arn).cloned();
    found.ok_or_else(|| ApiError::bad("LoadBalancerNotFound", format!("Load balancer '{arn}' not found")))
}

fn xml(x: &mut Xml, ctx: &Ctx, b: &Balancer) {
    x.text("LoadBalancerArn", &b.arn)
        .text("DNSName", &b.dns)
        .text("CanonicalHostedZoneId", "Z3F0SRJ5LGBH90");
    x.text("CreatedTime", time(b.created))
        .text("LoadBalancerName", &b.name)
        .text("Scheme", &b.scheme);
    x.text("VpcId", &b.vpc).el("State", |x| {
        x.text(
            "Code",
            if b.active_at <= ctx.now {
                "active"
            } else {
                "provisioning"
            },
        );
    });
    x.text("Type", "network");
    x.list("AvailabilityZones", "member", &b.legs, |x, leg| {
        x.text("ZoneName", &leg.az).text("SubnetId", &leg.subnet);
        let public = leg.public.filter(|_| leg.allocation.is_some());
        x.list("LoadBalancerAddresses", "member", public, |x, ip| {
            x.text("IpAddress", ip).maybe("AllocationId", leg.allocation.as_ref());
        });
    });
    if !b.groups.is_empty() {
        x.values("SecurityGroups", "member", &b.groups);
    }
    x.text("IpAddressType", "ipv4");
}

struct Wish {
    subnet: String,
    allocation: Option<String>,
    private: Option<std::net::Ipv4Addr>,
}

fn wishes(ctx: &Ctx) -> Result<Vec<Wish>> {
    let mut out = Vec::new();
    for p in ctx.p.subs("SubnetMappings") {
        let private = p.ip("PrivateIPv4Address")?;
        out.push(Wish {
            subnet: p.req("SubnetId")?,
            allocation: p.opt("AllocationId"),
            private,
        });
    }
    let plain = ctx.p.list("Subnets");
    if !out.is_empty() && !plain.is_empty() {
        return Err(ApiError::validation(
            "Only one of subnets or subnet mappings can be specified",
        ));
    }
    out.extend(plain.into_iter().map(|subnet| Wish {
        subnet,
        allocation: None,
        private: None,
    }));
    match out.is_empty() {
        true => Err(ApiError::validation("At least one subnet must be specified")),
        false => Ok(out),
    }
}

/// What must be equal for a second creation to answer with the first's ARN.
fn same(
    ctx: &Ctx,
    old: &Balancer,
    scheme: &str,
    wishes: &[Wish],
    groups: &[String],
    tags: &BTreeMap<String, String>,
) -> bool {
    let legs = old.legs.len() == wishes.len()
        && wishes.iter().all(|w| {
            old.legs
                .iter()
                .any(|l| l.subnet == w.subnet && l.allocation == w.allocation)
        });
    let sorted = |g: &[String]| {
        let mut g = g.to_vec();
        g.sort();
        g
    };
    legs && old.scheme == scheme
        && sorted(&old.groups) == sorted(groups)
        && ctx.st.tags.get(&old.arn).is_some_and(|t| t == tags)
}

/// CreateLoadBalancer, type network.
pub fn create(ctx: &mut Ctx) -> Result<String> {
    let name = ctx.p.req("Name")?;
    check_name(&name, "The load balancer")?;
    let kind = ctx.p.opt("Type").unwrap_or_else(|| "application".to_owned());
    if kind != "network" {
        return Err(ApiError::validation(format!(
            "This double has only load balancers of type 'network', not '{kind}'"
        )));
    }
    if let Some(v) = ctx.p.opt("IpAddressType").filter(|v| v != "ipv4") {
        return Err(ApiError::validation(format!(
            "IP address type '{v}' is not offered by this double"
        )));
    }
    let scheme = ctx.p.opt("Scheme").unwrap_or_else(|| "internet-facing".to_owned());
    if !["internet-facing", "internal"].contains(&scheme.as_str()) {
        return Err(ApiError::bad(
            "InvalidScheme",
            format!("Scheme '{scheme}' is not valid"),
        ));
    }
    let wishes = wishes(ctx)?;
    let groups = ctx.p.list("SecurityGroups");
    let tags = create_tags(ctx)?;
    if let Some(old) = ctx.st.balancers.values().find(|b| b.name == name) {
        if !same(ctx, old, &scheme, &wishes, &groups, &tags) {
            return Err(ApiError::bad(
                "DuplicateLoadBalancerName",
                format!("A load balancer with the same name '{name}' exists, but with different settings"),
            ));
        }
        return Ok(described(ctx, std::slice::from_ref(&old.clone()), None));
    }
    let (vpc, legs) = legs(ctx, &name, &scheme, &wishes, &groups)?;
    let arn = arn(ctx, &format!("loadbalancer/net/{name}"));
    let end = arn.rsplit('/').next().unwrap_or_default();
    let delay = SignedDuration::try_from(ctx.cfg.delays.of(ctx.cfg.delays.balancer_active, &arn)).unwrap_or_default();
    let flags = [
        ("access_logs.s3.enabled", "false"),
        ("deletion_protection.enabled", "false"),
        ("load_balancing.cross_zone.enabled", "false"),
    ];
    let balancer = Balancer {
        dns: format!("{name}-{end}.elb.{}.amazonaws.com", ctx.cfg.region),
        arn: arn.clone(),
        name,
        vpc,
        groups,
        scheme,
        created: ctx.now,
        active_at: ctx.now + delay,
        attributes: flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        legs,
    };
    for leg in &balancer.legs {
        if let Some(e) = ctx.st.interfaces.get_mut(&leg.interface) {
            e.balancer = Some(arn.clone());
            e.description = format!("ELB {}", arn.split(":loadbalancer/").nth(1).unwrap_or_default());
        }
    }
    ctx.st.tags.insert(arn.clone(), tags);
    ctx.st.balancers.insert(arn, balancer.clone());
    Ok(described(ctx, &[balancer], None))
}

/// Interfaces and addresses of a new load balancer.
fn legs(ctx: &mut Ctx, name: &str, scheme: &str, wishes: &[Wish], groups: &[String]) -> Result<(String, Vec<Leg>)> {
    let mut vpc: Option<String> = None;
    let mut legs: Vec<Leg> = Vec::new();
    for wish in wishes {
        let subnet = ctx.st.subnets.get(&wish.subnet).cloned().ok_or_else(|| {
            ApiError::bad(
                "SubnetNotFound",
                format!("The subnet ID '{}' does not exist", wish.subnet),
            )
        })?;
        if vpc.get_or_insert_with(|| subnet.vpc.clone()) != &subnet.vpc {
            return Err(ApiError::bad(
                "InvalidSubnet",
                "All subnets must belong to the same VPC",
            ));
        }
        if legs.iter().any(|l| l.az == subnet.az) {
            return Err(ApiError::bad(
                "InvalidConfigurationRequest",
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            ));
        }
        let outside = scheme == "internet-facing";
        if outside && ctx.st.gateway_of(&subnet.vpc).is_none() {
            return Err(ApiError::bad(
                "InvalidSubnet",
                format!("VPC {} has no internet gateway", subnet.vpc),
            ));
        }
        if outside && wish.private.is_some() || !outside && wish.allocation.is_some() {
            return Err(ApiError::bad(
                "InvalidConfigurationRequest",
                "Elastic IPs are for internet-facing load balancers, private addresses for internal ones",
            ));
        }
        for group in groups {
            if ctx.st.groups.get(group).is_none_or(|g| g.vpc != subnet.vpc) {
                return Err(ApiError::bad(
                    "InvalidSecurityGroup",
                    format!("One or more security groups are invalid: '{group}'"),
                ));
            }
        }
        let ip = ctx
            .private_address(&subnet, wish.private)
            .map_err(|e| ApiError::bad("InvalidConfigurationRequest", e.message))?;
        let mut e = ctx.interface(&subnet, ip, groups.to_vec());
        e.balancer = Some(name.to_owned());
        e.check = false;
        let public = match (&wish.allocation, outside) {
            (Some(id), _) => Some(elastic(ctx, id, &e.id)?),
            (None, true) => Some(ctx.public_address()?),
            (None, false) => None,
        };
        if wish.allocation.is_none() {
            e.public = public;
        }
        legs.push(Leg {
            subnet: subnet.id,
            az: subnet.az,
            interface: e.id.clone(),
            allocation: wish.allocation.clone(),
            public,
            private: ip,
        });
        ctx.st.interfaces.insert(e.id.clone(), e);
    }
    Ok((vpc.unwrap_or_default(), legs))
}

/// Binds an elastic address to a load balancer's interface.
fn elastic(ctx: &mut Ctx, id: &str, interface: &str) -> Result<std::net::Ipv4Addr> {
    let association = ctx.id("eipassoc");
    let address = ctx.st.addresses.get_mut(id).ok_or_else(|| {
        ApiError::bad(
            "AllocationIdNotFound",
            format!("The allocation IDs '{id}' do not exist"),
        )
    })?;
    if address.bound.is_some() {
        return Err(ApiError::bad(
            "ResourceInUse",
            format!("The Elastic IP address allocation '{id}' is already in use"),
        ));
    }
    address.bound = Some((association, interface.to_owned()));
    Ok(address.ip)
}

fn described(ctx: &Ctx, found: &[Balancer], next: Option<String>) -> String {
    let mut x = Xml::new();
    x.list("LoadBalancers", "member", found, |x, b| xml(x, ctx, b))
        .maybe("NextMarker", next);
    x.finish()
}

/// DescribeLoadBalancers, by ARNs or names.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let (arns, names) = (ctx.p.list("LoadBalancerArns"), ctx.p.list("Names"));
    if !arns.is_empty() && !names.is_empty() {
        return Err(ApiError::validation(
            "Load balancer ARNs and names cannot be specified at the same time",
        ));
    }
    let seen: Vec<Balancer> = ctx
        .st
        .balancers
        .values()
        .filter(|b| ctx.visible(&b.arn))
        .cloned()
        .collect();
    let known = |w: &String| seen.iter().any(|b| b.arn == *w || b.name == *w);
    if let Some(lost) = arns.iter().chain(&names).find(|w| !known(w)) {
        return Err(match names.is_empty() {
            true => none(),
            false => ApiError::bad("LoadBalancerNotFound", format!("Load balancers '[{lost}]' not found")),
        });
    }
    let all = arns.is_empty() && names.is_empty();
    let found = seen
        .into_iter()
        .filter(|b| all || arns.contains(&b.arn) || names.contains(&b.name))
        .collect();
    let (found, next) = page(&ctx.p, found)?;
    Ok(described(ctx, &found, next))
}

/// ModifyLoadBalancerAttributes.
pub fn modify(ctx: &mut Ctx) -> Result<String> {
    let mut b = find(ctx, &ctx.p.req("LoadBalancerArn")?)?;
    change(&ctx.p, &mut b.attributes)?;
    let out = attribute_list(&b.attributes);
    ctx.st.balancers.insert(b.arn.clone(), b);
    Ok(out)
}

/// DescribeLoadBalancerAttributes.
pub fn attributes(ctx: &mut Ctx) -> Result<String> {
    Ok(attribute_list(&find(ctx, &ctx.p.req("LoadBalancerArn")?)?.attributes))
}

/// DeleteLoadBalancer: listeners go with it; its interfaces and addresses are free some time later.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let arn = ctx.p.req("LoadBalancerArn")?;
    // Deleting what does not exist succeeds.
    let Some(b) = ctx.st.balancers.get(&arn) else {
        return Ok(String::new());
    };
    if b.attributes
        .get("deletion_protection.enabled")
        .is_some_and(|v| v == "true")
    {
        return Err(ApiError::bad(
            "OperationNotPermitted",
            format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled"),
        ));
    }
    let until =
        ctx.now + SignedDuration::try_from(ctx.cfg.delays.of(ctx.cfg.delays.balancer_gone, &arn)).unwrap_or_default();
    let st = &mut ctx.st;
    let gone: Vec<String> = st
        .listeners
        .values()
        .filter(|l| l.balancer == arn)
        .map(|l| l.arn.clone())
        .collect();
    for listener in gone {
        st.listeners.remove(&listener);
        st.forget(&listener);
    }
    st.balancers.remove(&arn);
    st.forget(&arn);
    st.leaving.insert(arn, until);
    Ok(String::new())
}

/// What time does to load balancers: the deleted ones give back their interfaces, draining targets go.
pub(crate) fn age(st: &mut State, now: Timestamp) {
    let gone: Vec<String> = st
        .leaving
        .iter()
        .filter(|(_, until)| **until <= now)
        .map(|(a, _)| a.clone())
        .collect();
    for arn in gone {
        st.leaving.remove(&arn);
        let own: Vec<String> = st
            .interfaces
            .values()
            .filter(|e| e.balancer.as_ref() == Some(&arn))
            .map(|e| e.id.clone())
            .collect();
        for interface in own {
            st.drop_interface(&interface);
        }
    }
    for group in st.target_groups.values_mut() {
        group
            .targets
            .retain(|_, t| t.draining_until.is_none_or(|until| until > now));
    }
}
