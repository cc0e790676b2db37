//! Targets and their health.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use jiff::SignedDuration;

use super::target_group::find;
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::state::{Life, Target, TargetGroup};
use crate::sync::target_address;
use crate::xml::Xml;

/// `Targets.member.N.Id/Port`; the group's port is the default.
fn read(ctx: &Ctx, group: &TargetGroup) -> Result<Vec<(String, Option<i64>)>> {
    let mut out = Vec::new();
    for p in ctx.p.subs("Targets") {
        let port = p.int("Port")?;
        if port.is_some_and(|n| !(1..=65_535).contains(&n)) {
            return Err(ApiError::validation("Target port must be between 1 and 65535"));
        }
        let id = p.req("Id")?;
        if let Some(zone) = p.opt("AvailabilityZone").filter(|_| group.kind == "instance") {
            return Err(ApiError::validation(format!(
                "You cannot specify an Availability Zone ('{zone}') for target type 'instance'"
            )));
        }
        out.push((id, port));
    }
    Ok(out)
}

/// RegisterTargets: instances must run, addresses must lie in the network.
pub fn register(ctx: &mut Ctx) -> Result<String> {
    let mut group = find(ctx, &ctx.p.req("TargetGroupArn")?)?;
    let targets = read(ctx, &group)?;
    if targets.is_empty() {
        return Err(ctx.p.missing("Targets"));
    }
    for (id, port) in targets {
        match group.kind.as_str() {
            "instance" => {
                let i = ctx
                    .st
                    .instances
                    .get(&id)
                    .filter(|i| i.vpc == group.vpc)
                    .ok_or_else(|| {
                        ApiError::bad(
                            "InvalidTarget",
                            format!(
                                "The following targets are not in the target group VPC '{}': '{id}'",
                                group.vpc
                            ),
                        )
                    })?;
                if i.life != Life::Running {
                    return Err(ApiError::bad(
                        "InvalidTarget",
                        format!("The following targets are not in a running state and cannot be registered: '{id}'"),
                    ));
                }
            }
            _ => {
                let ip: std::net::Ipv4Addr = id
                    .parse()
                    .map_err(|_| ApiError::validation(format!("The IP address '{id}' is not a valid IPv4 address")))?;
                if ctx.st.vpcs.get(&group.vpc).is_none_or(|v| !v.cidr.contains(&ip)) {
                    return Err(ApiError::validation(format!(
                        "You must specify an Availability Zone for the IP address '{id}', which is not in the VPC"
                    )));
                }
            }
        }
        let target = Target { draining_until: None };
        let old = group.targets.remove(&(id.clone(), port.unwrap_or(group.port)));
        let target = old.filter(|o| o.draining_until.is_none()).unwrap_or(target);
        group.targets.insert((id, port.unwrap_or(group.port)), target);
    }
    ctx.st.target_groups.insert(group.arn.clone(), group);
    Ok(String::new())
}

/// DeregisterTargets: they drain for a while; without a port all ports of the target.
pub fn deregister(ctx: &mut Ctx) -> Result<String> {
    let mut group = find(ctx, &ctx.p.req("TargetGroupArn")?)?;
    let targets = read(ctx, &group)?;
    if targets.is_empty() {
        return Err(ctx.p.missing("Targets"));
    }
    let until = ctx.now + SignedDuration::try_from(ctx.cfg.delays.draining).unwrap_or_default();
    let used = ctx.st.listeners.values().any(|l| l.group == group.arn);
    for (id, port) in targets {
        let hit = |key: &(String, i64)| key.0 == id && port.is_none_or(|p| p == key.1);
        if !group.targets.keys().any(hit) && group.kind == "instance" && !ctx.st.instances.contains_key(&id) {
            return Err(ApiError::bad(
                "InvalidTarget",
                format!("The following targets do not exist: '{id}'"),
            ));
        }
        if !used {
            group.targets.retain(|key, _| !hit(key));
        }
        for (_, t) in group.targets.iter_mut().filter(|(key, _)| hit(key)) {
            t.draining_until.get_or_insert(until);
        }
    }
    ctx.st.target_groups.insert(group.arn.clone(), group);
    Ok(String::new())
}

type Verdict = (&'static str, Option<(&'static str, &'static str)>);

fn judge(
    ctx: &Ctx,
    group: &TargetGroup,
    id: &str,
    port: i64,
    target: &Target,
    seen: &BTreeMap<SocketAddrV4, bool>,
) -> Verdict {
    if target.draining_until.is_some() {
        return (
            "draining",
            Some((
                "Target.DeregistrationInProgress",
                "Target deregistration is in progress",
            )),
        );
    }
    if !ctx.st.listeners.values().any(|l| l.group == group.arn) {
        return (
            "unused",
            Some((
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer",
            )),
        );
    }
    let Some(ip) = target_address(&ctx.st, &group.kind, id) else {
        return (
            "unused",
            Some(("Target.InvalidState", "Target is in the terminated or stopped state")),
        );
    };
    let here = u16::try_from(port)
        .ok()
        .and_then(|port| seen.get(&SocketAddrV4::new(ip, port)));
    match here {
        Some(true) => ("healthy", None),
        Some(false) => ("unhealthy", Some(("Target.FailedHealthChecks", "Health checks failed"))),
        None => (
            "initial",
            Some(("Elb.RegistrationInProgress", "Target registration is in progress")),
        ),
    }
}

/// DescribeTargetHealth: the backend's own checks decide.
pub fn health(ctx: &mut Ctx) -> Result<String> {
    let group = find(ctx, &ctx.p.req("TargetGroupArn")?)?;
    let asked = read(ctx, &group)?;
    let mut seen = BTreeMap::new();
    for l in ctx.st.listeners.values().filter(|l| l.group == group.arn) {
        if let Ok(port) = u16::try_from(l.port) {
            seen.extend(ctx.backend.target_health(&l.balancer, port));
        }
    }
    let mut out: Vec<(String, i64, Verdict)> = Vec::new();
    for ((id, port), t) in &group.targets {
        let wanted = |(a, p): &(String, Option<i64>)| a == id && p.is_none_or(|p| p == *port);
        if asked.is_empty() || asked.iter().any(wanted) {
            out.push((id.clone(), *port, judge(ctx, &group, id, *port, t, &seen)));
        }
    }
    for (id, port) in asked {
        let port = port.unwrap_or(group.port);
        if !out.iter().any(|(a, _, _)| *a == id) {
            let not = ("Target.NotRegistered", "Target is not registered to the target group");
            out.push((id, port, ("unused", Some(not))));
        }
    }
    let mut x = Xml::new();
    x.list(
        "TargetHealthDescriptions",
        "member",
        &out,
        |x, (id, port, (state, reason))| {
            x.el("Target", |x| {
                x.text("Id", id).text("Port", port);
            });
            let check = match group.health.port.as_str() {
                "traffic-port" => port.to_string(),
                fixed => fixed.to_owned(),
            };
            x.text("HealthCheckPort", check).el("TargetHealth", |x| {
                x.text("State", state);
                if let Some((code, text)) = reason {
                    x.text("Reason", code).text("Description", text);
                }
            });
        },
    );
    Ok(x.finish())
}
