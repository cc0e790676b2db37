//! STS: who am I, and being somebody else for an hour.

use crate::config::Credential;
use crate::ctx::{Ctx, random_hex, time};
use crate::error::{ApiError, Result};
use crate::xml::Xml;

/// GetCallerIdentity, AssumeRole.
pub fn call(ctx: &mut Ctx, action: &str) -> Result<String> {
    match action {
        "GetCallerIdentity" => Ok(identity(ctx)),
        "AssumeRole" => assume(ctx),
        _ => Err(ApiError::bad(
            "InvalidAction",
            format!("Could not find operation {action} for version 2011-06-15"),
        )),
    }
}

fn identity(ctx: &Ctx) -> String {
    let mut x = Xml::new();
    x.text("Arn", &ctx.who.arn)
        .text("UserId", &ctx.who.user_id)
        .text("Account", &ctx.cfg.account);
    x.finish()
}

fn assume(ctx: &mut Ctx) -> Result<String> {
    let (arn, session) = (ctx.p.req("RoleArn")?, ctx.p.req("RoleSessionName")?);
    let life = ctx.p.int("DurationSeconds")?.unwrap_or(3600);
    if !(900..=3600).contains(&life) {
        return Err(ApiError::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    let role = ctx
        .cfg
        .roles
        .iter()
        .find(|r| **r == arn && ctx.who.session_token.is_none());
    let Some(role) = role else {
        return Err(ApiError::new(
            403,
            "AccessDenied",
            format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}",
                ctx.who.arn
            ),
        ));
    };
    let name = role.rsplit('/').next().unwrap_or_default();
    let (id, until) = (
        format!("AROA{}", random_hex(17).to_uppercase()),
        ctx.now + ctx.cfg.session_life,
    );
    let as_role = Credential {
        access_key: format!("ASIA{}", random_hex(16).to_uppercase()),
        secret_key: random_hex(40),
        session_token: Some(format!("FwoGZXIvYXdzE{}", random_hex(64))),
        expires: Some(until),
        arn: format!("arn:aws:sts::{}:assumed-role/{name}/{session}", ctx.cfg.account),
        user_id: format!("{id}:{session}"),
        denied: Vec::new(),
    };
    let mut x = Xml::new();
    x.el("AssumedRoleUser", |x| {
        x.text("AssumedRoleId", &as_role.user_id).text("Arn", &as_role.arn);
    });
    x.el("Credentials", |x| {
        x.text("AccessKeyId", &as_role.access_key)
            .text("SecretAccessKey", &as_role.secret_key)
            .text("SessionToken", as_role.session_token.as_deref().unwrap_or_default())
            .text("Expiration", time(until));
    });
    ctx.st.sessions.push(as_role);
    Ok(x.finish())
}
