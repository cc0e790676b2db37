//! Target groups.

use super::{arn, attribute_list, change, check_name, create_tags, page};
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::state::{Health, TargetGroup};
use crate::xml::Xml;

/// The target group, or TargetGroupNotFound.
pub fn find(ctx: &Ctx, arn: &str) -> Result<TargetGroup> {
    if !arn.contains(":targetgroup/") {
        return Err(ApiError::validation(format!("'{arn}' is not a valid target group ARN")));
    }
    let found = ctx.st.target_groups.get(arn).cloned();
    found.ok_or_else(|| ApiError::bad("TargetGroupNotFound", "One or more target groups not found"))
}

fn xml(x: &mut Xml, ctx: &Ctx, g: &TargetGroup) {
    x.text("TargetGroupArn", &g.arn)
        .text("TargetGroupName", &g.name)
        .text("Protocol", &g.protocol);
    x.text("Port", g.port)
        .text("VpcId", &g.vpc)
        .text("HealthCheckProtocol", &g.health.protocol);
    x.text("HealthCheckPort", &g.health.port)
        .text("HealthCheckEnabled", true);
    x.text("HealthCheckIntervalSeconds", g.health.interval)
        .text("HealthCheckTimeoutSeconds", g.health.timeout);
    x.text("HealthyThresholdCount", g.health.healthy)
        .text("UnhealthyThresholdCount", g.health.unhealthy);
    if let Some(path) = &g.health.path {
        x.text("HealthCheckPath", path).el("Matcher", |x| {
            x.text("HttpCode", "200-399");
        });
    }
    let users: std::collections::BTreeSet<_> = ctx
        .st
        .listeners
        .values()
        .filter(|l| l.group == g.arn)
        .map(|l| &l.balancer)
        .collect();
    x.values("LoadBalancerArns", "member", users)
        .text("TargetType", &g.kind)
        .text("IpAddressType", "ipv4");
}

fn health(ctx: &Ctx) -> Result<Health> {
    let p = &ctx.p;
    let protocol = p.opt("HealthCheckProtocol").unwrap_or_else(|| "TCP".to_owned());
    if !["TCP", "HTTP", "HTTPS"].contains(&protocol.as_str()) {
        return Err(ApiError::validation(format!(
            "Health check protocol '{protocol}' is not supported"
        )));
    }
    if protocol == "HTTPS" {
        return Err(ApiError::validation(
            "Health checks by HTTPS are not offered by this double",
        ));
    }
    if p.flag("HealthCheckEnabled")? == Some(false) {
        return Err(ApiError::validation(
            "Health check enabled must be true for target groups with target type 'instance'",
        ));
    }
    let within = |name: &str, default: i64, low: i64, high: i64| -> Result<i64> {
        let v = p.int(name)?.unwrap_or(default);
        match (low..=high).contains(&v) {
            true => Ok(v),
            false => Err(ApiError::validation(format!(
                "{name} '{v}' must be between {low} and {high}"
            ))),
        }
    };
    let port = p.opt("HealthCheckPort").unwrap_or_else(|| "traffic-port".to_owned());
    if port != "traffic-port" && port.parse::<u16>().is_err() {
        return Err(ApiError::validation(format!(
            "Health check port '{port}' must be 'traffic-port' or a port"
        )));
    }
    let path = p.opt("HealthCheckPath");
    if path.is_some() && protocol == "TCP" {
        return Err(ApiError::validation(
            "Health check path is not supported for health checks with protocol TCP",
        ));
    }
    let path = path.or_else(|| (protocol == "HTTP").then(|| "/".to_owned()));
    Ok(Health {
        interval: within("HealthCheckIntervalSeconds", 30, 5, 300)?,
        timeout: within(
            "HealthCheckTimeoutSeconds",
            if protocol == "TCP" { 10 } else { 6 },
            2,
            120,
        )?,
        healthy: within("HealthyThresholdCount", 5, 2, 10)?,
        unhealthy: within("UnhealthyThresholdCount", 2, 2, 10)?,
        protocol,
        port,
        path,
    })
}

fn described(ctx: &Ctx, found: &[TargetGroup], next: Option<String>) -> String {
    let mut x = Xml::new();
    x.list("TargetGroups", "member", found, |x, g| xml(x, ctx, g))
        .maybe("NextMarker", next);
    x.finish()
}

/// CreateTargetGroup.
pub fn create(ctx: &mut Ctx) -> Result<String> {
    let name = ctx.p.req("Name")?;
    check_name(&name, "Target group")?;
    let protocol = ctx.p.req("Protocol")?;
    if protocol != "TCP" {
        return Err(ApiError::validation(format!(
            "This double has only target groups of protocol TCP, not '{protocol}'"
        )));
    }
    let port = ctx.p.int("Port")?.ok_or_else(|| ctx.p.missing("Port"))?;
    if !(1..=65_535).contains(&port) {
        return Err(ApiError::validation(format!(
            "Port '{port}' must be between 1 and 65535"
        )));
    }
    let vpc = ctx.p.req("VpcId")?;
    if !ctx.st.vpcs.contains_key(&vpc) {
        return Err(ApiError::validation(format!("The VPC ID '{vpc}' is not found")));
    }
    let kind = ctx.p.opt("TargetType").unwrap_or_else(|| "instance".to_owned());
    if !["instance", "ip"].contains(&kind.as_str()) {
        return Err(ApiError::validation(format!(
            "Target type '{kind}' is not offered by this double"
        )));
    }
    if let Some(v) = ctx.p.opt("IpAddressType").filter(|v| v != "ipv4") {
        return Err(ApiError::validation(format!(
            "IP address type '{v}' is not offered by this double"
        )));
    }
    let health = health(ctx)?;
    let tags = create_tags(ctx)?;
    if let Some(old) = ctx.st.target_groups.values().find(|g| g.name == name).cloned() {
        let same = (&old.protocol, old.port, &old.vpc, &old.kind, &old.health)
            == (&protocol, port, &vpc, &kind, &health)
            && ctx.st.tags.get(&old.arn) == Some(&tags);
        return match same {
            true => Ok(described(ctx, &[old], None)),
            false => Err(ApiError::bad(
                "DuplicateTargetGroupName",
                format!("A target group with the same name '{name}' exists, but with different settings"),
            )),
        };
    }
    let arn = arn(ctx, &format!("targetgroup/{name}"));
    let preserve = if kind == "instance" { "true" } else { "false" };
    let defaults = [
        ("deregistration_delay.timeout_seconds", "300"),
        ("deregistration_delay.connection_termination.enabled", "false"),
        ("preserve_client_ip.enabled", preserve),
        ("proxy_protocol_v2.enabled", "false"),
        ("stickiness.enabled", "false"),
        ("stickiness.type", "source_ip"),
    ];
    let group = TargetGroup {
        arn: arn.clone(),
        name,
        protocol,
        port,
        vpc,
        kind,
        health,
        targets: std::collections::BTreeMap::new(),
        attributes: defaults
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    };
    ctx.st.tags.insert(arn.clone(), tags);
    ctx.st.target_groups.insert(arn, group.clone());
    Ok(described(ctx, &[group], None))
}

/// DescribeTargetGroups, by ARNs, by names, or of a load balancer.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let (arns, names) = (ctx.p.list("TargetGroupArns"), ctx.p.list("Names"));
    let user = ctx.p.opt("LoadBalancerArn");
    if let Some(arn) = &user {
        super::balancer::find(ctx, arn)?;
    }
    let seen: Vec<TargetGroup> = ctx
        .st
        .target_groups
        .values()
        .filter(|g| ctx.visible(&g.arn))
        .cloned()
        .collect();
    let known = |w: &String| seen.iter().any(|g| g.arn == *w || g.name == *w);
    if !arns.iter().chain(&names).all(known) {
        return Err(ApiError::bad(
            "TargetGroupNotFound",
            "One or more target groups not found",
        ));
    }
    let used = |g: &TargetGroup, lb: &String| ctx.st.listeners.values().any(|l| l.group == g.arn && l.balancer == *lb);
    let found = seen
        .into_iter()
        .filter(|g| arns.is_empty() || arns.contains(&g.arn))
        .filter(|g| names.is_empty() || names.contains(&g.name))
        .filter(|g| user.as_ref().is_none_or(|lb| used(g, lb)))
        .collect();
    let (found, next) = page(&ctx.p, found)?;
    Ok(described(ctx, &found, next))
}

/// ModifyTargetGroupAttributes.
pub fn modify(ctx: &mut Ctx) -> Result<String> {
    let mut g = find(ctx, &ctx.p.req("TargetGroupArn")?)?;
    change(&ctx.p, &mut g.attributes)?;
    let out = attribute_list(&g.attributes);
    ctx.st.target_groups.insert(g.arn.clone(), g);
    Ok(out)
}

/// DescribeTargetGroupAttributes.
pub fn attributes(ctx: &mut Ctx) -> Result<String> {
    Ok(attribute_list(&find(ctx, &ctx.p.req("TargetGroupArn")?)?.attributes))
}

/// DeleteTargetGroup: not while a listener forwards to it.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let arn = ctx.p.req("TargetGroupArn")?;
    if ctx.st.listeners.values().any(|l| l.group == arn) {
        return Err(ApiError::bad(
            "ResourceInUse",
            format!("Target group '{arn}' is currently in use by a listener or a rule"),
        ));
    }
    // Deleting what does not exist succeeds.
    ctx.st.target_groups.remove(&arn);
    ctx.st.forget(&arn);
    Ok(String::new())
}
