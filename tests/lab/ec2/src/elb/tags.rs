//! Tags of load balancers, target groups and listeners.

use crate::ctx::{Ctx, read_tags};
use crate::error::{ApiError, Result};
use crate::xml::Xml;

fn resources(ctx: &Ctx) -> Result<Vec<String>> {
    let arns = ctx.p.list("ResourceArns");
    if arns.is_empty() {
        return Err(ctx.p.missing("ResourceArns"));
    }
    if arns.len() > 20 {
        return Err(ApiError::validation("A maximum of '20' resource ARNs can be specified"));
    }
    for arn in &arns {
        let st = &ctx.st;
        let there =
            st.balancers.contains_key(arn) || st.target_groups.contains_key(arn) || st.listeners.contains_key(arn);
        if there && ctx.visible(arn) {
            continue;
        }
        let (code, what) = match arn {
            a if a.contains(":loadbalancer/") => ("LoadBalancerNotFound", "Load balancer"),
            a if a.contains(":targetgroup/") => ("TargetGroupNotFound", "Target group"),
            a if a.contains(":listener/") => ("ListenerNotFound", "Listener"),
            a => return Err(ApiError::validation(format!("'{a}' is not a valid ARN"))),
        };
        return Err(ApiError::bad(code, format!("{what} '{arn}' not found")));
    }
    Ok(arns)
}

/// AddTags: adds and overwrites.
pub fn add(ctx: &mut Ctx) -> Result<String> {
    let arns = resources(ctx)?;
    let tags = read_tags(&ctx.p, "Tags").map_err(|e| ApiError::validation(e.message))?;
    if tags.is_empty() {
        return Err(ctx.p.missing("Tags"));
    }
    for arn in arns {
        let own = ctx.st.tags.entry(arn).or_default();
        own.extend(tags.clone());
        if own.len() > 50 {
            return Err(ApiError::bad(
                "TooManyTags",
                "The maximum number of tags has been reached",
            ));
        }
    }
    Ok(String::new())
}

/// RemoveTags.
pub fn remove(ctx: &mut Ctx) -> Result<String> {
    let arns = resources(ctx)?;
    let keys = ctx.p.list("TagKeys");
    for arn in arns {
        ctx.st.tags.entry(arn).or_default().retain(|k, _| !keys.contains(k));
    }
    Ok(String::new())
}

/// DescribeTags.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let arns = resources(ctx)?;
    let mut x = Xml::new();
    x.list("TagDescriptions", "member", &arns, |x, arn| {
        x.text("ResourceArn", arn).list(
            "Tags",
            "member",
            ctx.st.tags.get(arn).into_iter().flatten(),
            |x, (k, v)| {
                x.text("Key", k).text("Value", v);
            },
        );
    });
    Ok(x.finish())
}
