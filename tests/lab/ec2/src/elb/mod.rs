//! Elastic Load Balancing v2: network load balancers only, one file per family.

pub(crate) mod balancer;
mod listener;
mod tags;
mod target;
mod target_group;

use std::collections::BTreeMap;

use crate::ctx::{Ctx, random_hex, read_tags};
use crate::error::{ApiError, Result};
use crate::params::Params;
use crate::xml::Xml;

/// Carries an action out; the answer is the inside of the result element.
pub(crate) fn call(ctx: &mut Ctx, action: &str) -> Result<String> {
    match action {
        "CreateLoadBalancer" => balancer::create(ctx),
        "DescribeLoadBalancers" => balancer::describe(ctx),
        "ModifyLoadBalancerAttributes" => balancer::modify(ctx),
        "DescribeLoadBalancerAttributes" => balancer::attributes(ctx),
        "DeleteLoadBalancer" => balancer::delete(ctx),
        "CreateTargetGroup" => target_group::create(ctx),
        "DescribeTargetGroups" => target_group::describe(ctx),
        "ModifyTargetGroupAttributes" => target_group::modify(ctx),
        "DescribeTargetGroupAttributes" => target_group::attributes(ctx),
        "DeleteTargetGroup" => target_group::delete(ctx),
        "RegisterTargets" => target::register(ctx),
        "DeregisterTargets" => target::deregister(ctx),
        "DescribeTargetHealth" => target::health(ctx),
        "CreateListener" => listener::create(ctx),
        "DescribeListeners" => listener::describe(ctx),
        "DeleteListener" => listener::delete(ctx),
        "AddTags" => tags::add(ctx),
        "RemoveTags" => tags::remove(ctx),
        "DescribeTags" => tags::describe(ctx),
        other => Err(ApiError::bad(
            "InvalidAction",
            format!("Could not find operation {other} for version 2015-12-01"),
        )),
    }
}

/// A new ARN, born now. `path` stands between the account and the random end.
fn arn(ctx: &mut Ctx, path: &str) -> String {
    let arn = format!(
        "arn:aws:elasticloadbalancing:{}:{}:{path}/{}",
        ctx.cfg.region,
        ctx.cfg.account,
        random_hex(16)
    );
    ctx.st.born.insert(arn.clone(), ctx.now);
    arn
}

/// ELB's time format.
fn time(t: jiff::Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Names have 1 to 32 letters, digits and hyphens, none at the ends.
fn check_name(name: &str, what: &str) -> Result<()> {
    if name.len() > 32 {
        return Err(ApiError::validation(format!(
            "{what} name '{name}' cannot be longer than '32' characters"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') || name.starts_with("internal-") {
        return Err(ApiError::validation(format!(
            "{what} name '{name}' cannot begin or end with '-' or begin with 'internal-'"
        )));
    }
    match name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        true => Ok(()),
        false => Err(ApiError::validation(format!(
            "{what} name '{name}' can only contain characters that are alphanumeric characters and hyphens(-)"
        ))),
    }
}

/// `Tags.member.N` of a create call.
fn create_tags(ctx: &Ctx) -> Result<BTreeMap<String, String>> {
    read_tags(&ctx.p, "Tags").map_err(|e| ApiError::validation(e.message))
}

/// `Attributes.member.N.Key/Value` over what holds; every key must be known.
fn change(p: &Params, attributes: &mut BTreeMap<String, String>) -> Result<()> {
    let listed = p.subs("Attributes");
    if listed.is_empty() {
        return Err(p.missing("Attributes"));
    }
    for a in listed {
        let (key, value) = (a.req("Key")?, a.opt("Value").unwrap_or_default());
        let Some(old) = attributes.get_mut(&key) else {
            return Err(ApiError::validation(format!("Attribute key '{key}' is not recognized")));
        };
        let flag = |v: &str| v == "true" || v == "false";
        if flag(old) && !flag(&value) {
            return Err(ApiError::validation(format!(
                "Attribute value '{value}' is not valid for '{key}'; it must be 'true' or 'false'"
            )));
        }
        *old = value;
    }
    Ok(())
}

/// `<Attributes>`.
fn attribute_list(attributes: &BTreeMap<String, String>) -> String {
    let mut x = Xml::new();
    x.list("Attributes", "member", attributes, |x, (k, v)| {
        x.text("Key", k).text("Value", v);
    });
    x.finish()
}

/// One page of ELB's kind (`PageSize`, `Marker`).
fn page<T>(p: &Params, items: Vec<T>) -> Result<(Vec<T>, Option<String>)> {
    let size = p.int("PageSize")?.unwrap_or(400);
    if !(1..=400).contains(&size) {
        return Err(ApiError::validation(format!(
            "1 validation error detected: Value '{size}' at 'pageSize' failed to satisfy constraint: Member must be between 1 and 400"
        )));
    }
    crate::filter::cut(items, size, p.opt("Marker"), || {
        ApiError::validation("The marker is not valid")
    })
}
