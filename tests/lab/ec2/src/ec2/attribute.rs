//! Single attributes of an instance.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::instance;
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::xml::Xml;

/// ModifyInstanceAttribute: one attribute at a time.
pub fn modify(ctx: &mut Ctx) -> Result<String> {
    let id = instance::find(ctx, &ctx.p.req("InstanceId")?)?.id;
    let check = ctx.p.attribute_flag("SourceDestCheck")?;
    let keep = ctx.p.attribute_flag("DisableApiTermination")?;
    let groups = ctx.p.list("GroupId");
    let fate = ctx.p.opt("InstanceInitiatedShutdownBehavior.Value");
    let given = [check.is_some(), keep.is_some(), !groups.is_empty(), fate.is_some()];
    match given.iter().filter(|g| **g).count() {
        1 => {}
        0 => return Err(ApiError::bad("InvalidParameterCombination", "No attributes specified.")),
        _ => {
            return Err(ApiError::bad(
                "InvalidParameterCombination",
                "Fields for multiple attribute types specified in one request",
            ));
        }
    }
    let primary = ctx.st.primary(&id).cloned();
    if check.is_some() || !groups.is_empty() {
        let mut e = primary.ok_or_else(|| {
            ApiError::bad(
                "IncorrectInstanceState",
                format!("The instance '{id}' is not in a valid state for this operation."),
            )
        })?;
        e.check = check.unwrap_or(e.check);
        if !groups.is_empty() {
            e.groups = ctx.groups_in(groups, &e.vpc)?;
        }
        ctx.st.interfaces.insert(e.id.clone(), e);
    }
    if let Some(i) = ctx.st.instances.get_mut(&id) {
        i.keep = keep.unwrap_or(i.keep);
        match fate.as_deref() {
            Some("stop") => i.shutdown_terminates = false,
            Some("terminate") => i.shutdown_terminates = true,
            Some(other) => {
                return Err(ApiError::value(format!(
                    "Invalid value '{other}' for InstanceInitiatedShutdownBehavior."
                )));
            }
            None => {}
        }
    }
    Ok(Xml::done())
}

/// DescribeInstanceAttribute.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let i = instance::find(ctx, &ctx.p.req("InstanceId")?)?;
    let name = ctx.p.req("Attribute")?;
    let check = ctx.st.primary(&i.id).is_some_and(|e| e.check);
    let groups = ctx.st.primary(&i.id).map(|e| e.groups.clone()).unwrap_or_default();
    let value = match name.as_str() {
        "userData" => (!i.user_data.is_empty()).then(|| STANDARD.encode(&i.user_data)),
        "sourceDestCheck" => Some(check.to_string()),
        "disableApiTermination" => Some(i.keep.to_string()),
        "instanceType" => Some(i.kind.clone()),
        "rootDeviceName" => Some(i.root_device.clone()),
        "instanceInitiatedShutdownBehavior" => {
            Some(if i.shutdown_terminates { "terminate" } else { "stop" }.to_owned())
        }
        "groupSet" => None,
        other => {
            return Err(ApiError::value(format!(
                "Value ({other}) for parameter attribute is invalid. Unknown attribute."
            )));
        }
    };
    let mut x = Xml::new();
    x.text("instanceId", &i.id);
    match name.as_str() {
        "groupSet" => super::reply::group_set(&mut x, ctx, &groups),
        _ => {
            x.el(&name, |x| {
                x.maybe("value", value);
            });
        }
    }
    Ok(x.finish())
}
