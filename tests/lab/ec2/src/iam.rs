//! IAM, as far as users' access keys can be listed and switched.

use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::xml::Xml;

/// ListAccessKeys, UpdateAccessKey.
pub fn call(ctx: &mut Ctx, action: &str) -> Result<String> {
    match action {
        "ListAccessKeys" => list(ctx),
        "UpdateAccessKey" => update(ctx),
        _ => Err(ApiError::bad(
            "InvalidAction",
            format!("Could not find operation {action} for version 2010-05-08"),
        )),
    }
}

/// Access keys of a user, by the ARNs of the configuration.
fn of(ctx: &Ctx, user: &str) -> Result<Vec<String>> {
    let arn = format!("arn:aws:iam::{}:user/{user}", ctx.cfg.account);
    let permanent = ctx.cfg.credentials.iter().filter(|c| c.session_token.is_none());
    let keys: Vec<String> = permanent
        .filter(|c| c.arn == arn)
        .map(|c| c.access_key.clone())
        .collect();
    match keys.is_empty() {
        false => Ok(keys),
        true => Err(ApiError::new(
            404,
            "NoSuchEntity",
            format!("The user with name {user} cannot be found."),
        )),
    }
}

fn list(ctx: &mut Ctx) -> Result<String> {
    let user = ctx.p.req("UserName")?;
    let keys = of(ctx, &user)?;
    let mut x = Xml::new();
    x.text("IsTruncated", false).el("AccessKeyMetadata", |x| {
        for key in &keys {
            let status = if ctx.st.inactive.contains(key) {
                "Inactive"
            } else {
                "Active"
            };
            x.el("member", |x| {
                x.text("UserName", &user)
                    .text("AccessKeyId", key)
                    .text("Status", status)
                    .text("CreateDate", "2025-01-01T05:20:00Z");
            });
        }
    });
    Ok(x.finish())
}

fn update(ctx: &mut Ctx) -> Result<String> {
    let (user, key, status) = (ctx.p.req("UserName")?, ctx.p.req("AccessKeyId")?, ctx.p.req("Status")?);
    if !of(ctx, &user)?.contains(&key) {
        return Err(ApiError::new(
            404,
            "NoSuchEntity",
            format!("The Access Key with id {key} cannot be found."),
        ));
    }
    match status.as_str() {
        "Active" => ctx.st.inactive.remove(&key),
        "Inactive" => ctx.st.inactive.insert(key),
        _ => {
            return Err(ApiError::validation(format!(
                "1 validation error detected: Value '{status}' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive, Expired]"
            )));
        }
    };
    Ok(String::new())
}
