//! Listeners of network load balancers: TCP, forwarding to one target group.

use super::{arn, create_tags, page};
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::params::Params;
use crate::state::Listener;
use crate::xml::Xml;

fn described(found: &[Listener], next: Option<String>) -> String {
    let mut x = Xml::new();
    x.list("Listeners", "member", found, |x, l| {
        x.text("ListenerArn", &l.arn).text("LoadBalancerArn", &l.balancer);
        x.text("Port", l.port).text("Protocol", &l.protocol);
        x.list("DefaultActions", "member", [()], |x, ()| {
            x.text("Type", "forward")
                .text("TargetGroupArn", &l.group)
                .text("Order", 1);
            x.el("ForwardConfig", |x| {
                x.list("TargetGroups", "member", [()], |x, ()| {
                    x.text("TargetGroupArn", &l.group).text("Weight", 1);
                });
            });
        });
    });
    x.maybe("NextMarker", next);
    x.finish()
}

/// The one target group of the default action.
fn forward(p: &Params) -> Result<String> {
    let actions = p.subs("DefaultActions");
    let [action] = actions.as_slice() else {
        return Err(match actions.len() {
            0 => p.missing("DefaultActions"),
            _ => ApiError::validation("A listener of a network load balancer has exactly one default action"),
        });
    };
    let kind = action.req("Type")?;
    if kind != "forward" {
        return Err(ApiError::bad(
            "InvalidLoadBalancerAction",
            format!("The action type '{kind}' is not valid with network load balancers"),
        ));
    }
    action.int("Order")?;
    let config = action
        .sub("ForwardConfig")
        .map(|c| c.subs("TargetGroups"))
        .unwrap_or_default();
    if config.len() > 1 {
        return Err(ApiError::validation(
            "A listener of a network load balancer forwards to one target group",
        ));
    }
    let nested = match config.first() {
        Some(g) => {
            g.int("Weight")?;
            Some(g.req("TargetGroupArn")?)
        }
        None => None,
    };
    match (action.opt("TargetGroupArn"), nested) {
        (Some(a), Some(b)) if a != b => Err(ApiError::validation("Two different target groups are specified")),
        (a, b) => a
            .or(b)
            .ok_or_else(|| ApiError::validation("A target group ARN must be specified")),
    }
}

/// CreateListener.
pub fn create(ctx: &mut Ctx) -> Result<String> {
    let balancer = super::balancer::find(ctx, &ctx.p.req("LoadBalancerArn")?)?;
    let protocol = ctx.p.req("Protocol")?;
    if protocol != "TCP" {
        return Err(ApiError::bad(
            "UnsupportedProtocol",
            format!("This double has only listeners of protocol TCP, not '{protocol}'"),
        ));
    }
    let port = ctx.p.int("Port")?.ok_or_else(|| ctx.p.missing("Port"))?;
    if !(1..=65_535).contains(&port) {
        return Err(ApiError::validation(format!(
            "Port '{port}' must be between 1 and 65535"
        )));
    }
    let group = super::target_group::find(ctx, &forward(&ctx.p)?)?;
    let tags = create_tags(ctx)?;
    if group.vpc != balancer.vpc {
        return Err(ApiError::bad(
            "InvalidConfigurationRequest",
            format!(
                "The target group '{}' and the load balancer belong to different VPCs",
                group.arn
            ),
        ));
    }
    let mine = |l: &&Listener| l.balancer == balancer.arn && l.port == port;
    if let Some(old) = ctx.st.listeners.values().find(mine).cloned() {
        return match old.group == group.arn {
            true => Ok(described(&[old], None)),
            false => Err(ApiError::bad(
                "DuplicateListener",
                format!(
                    "A listener already exists on this port for this load balancer '{}'",
                    balancer.arn
                ),
            )),
        };
    }
    if ctx
        .st
        .listeners
        .values()
        .any(|l| l.group == group.arn && l.balancer != balancer.arn)
    {
        return Err(ApiError::bad(
            "TargetGroupAssociationLimit",
            format!(
                "The following target groups cannot be associated with more than one load balancer: {}",
                group.arn
            ),
        ));
    }
    let path = balancer.arn.split(":loadbalancer/").nth(1).unwrap_or_default();
    let arn = arn(ctx, &format!("listener/{path}"));
    let listener = Listener {
        arn: arn.clone(),
        balancer: balancer.arn,
        port,
        protocol,
        group: group.arn,
    };
    ctx.st.tags.insert(arn.clone(), tags);
    ctx.st.listeners.insert(arn, listener.clone());
    Ok(described(&[listener], None))
}

/// DescribeListeners, of a load balancer or by ARNs.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let (arns, balancer) = (ctx.p.list("ListenerArns"), ctx.p.opt("LoadBalancerArn"));
    if arns.is_empty() && balancer.is_none() {
        return Err(ApiError::validation(
            "You must specify either listener ARNs or a load balancer ARN",
        ));
    }
    if let Some(arn) = &balancer {
        super::balancer::find(ctx, arn)?;
    }
    if arns
        .iter()
        .any(|a| !ctx.st.listeners.contains_key(a) || !ctx.visible(a))
    {
        return Err(ApiError::bad("ListenerNotFound", "One or more listeners not found"));
    }
    let found = ctx
        .st
        .listeners
        .values()
        .filter(|l| ctx.visible(&l.arn))
        .filter(|l| arns.is_empty() || arns.contains(&l.arn))
        .filter(|l| balancer.as_ref().is_none_or(|b| *b == l.balancer))
        .cloned()
        .collect();
    let (found, next) = page(&ctx.p, found)?;
    Ok(described(&found, next))
}

/// DeleteListener.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let arn = ctx.p.req("ListenerArn")?;
    if ctx.st.listeners.remove(&arn).is_none() {
        return Err(ApiError::bad("ListenerNotFound", format!("Listener '{arn}' not found")));
    }
    ctx.st.forget(&arn);
    Ok(String::new())
}
