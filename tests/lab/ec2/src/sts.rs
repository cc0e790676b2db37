//! STS: who am I.

use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::xml::Xml;

/// GetCallerIdentity.
pub fn call(ctx: &mut Ctx, action: &str) -> Result<String> {
    if action != "GetCallerIdentity" {
        return Err(ApiError::bad(
            "InvalidAction",
            format!("Could not find operation {action} for version 2011-06-15"),
        ));
    }
    let mut x = Xml::new();
    x.text("Arn", &ctx.who.arn)
        .text("UserId", &ctx.who.user_id)
        .text("Account", &ctx.cfg.account);
    Ok(x.finish())
}
