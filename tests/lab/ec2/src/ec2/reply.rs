//! Pieces that many replies share.

use crate::ctx::Ctx;
use crate::error::ApiError;
use crate::xml::Xml;

/// `<tagSet>`.
pub fn tag_set(x: &mut Xml, ctx: &Ctx, id: &str) {
    if let Some(tags) = ctx.st.tags.get(id).filter(|t| !t.is_empty()) {
        x.list("tagSet", "item", tags, |x, (k, v)| {
            x.text("key", k).text("value", v);
        });
    }
}

/// `<groupSet>`.
pub fn group_set(x: &mut Xml, ctx: &Ctx, groups: &[String]) {
    x.list("groupSet", "item", groups, |x, id| {
        x.text("groupId", id)
            .maybe("groupName", ctx.st.groups.get(id).map(|g| &g.name));
    });
}

/// "The vpc ID 'vpc-1' does not exist" and its plural.
pub fn not_found(code: &'static str, what: &'static str) -> impl Fn(&[String]) -> ApiError {
    move |ids| match ids {
        [one] => ApiError::bad(code, format!("The {what} ID '{one}' does not exist")),
        many => ApiError::bad(code, format!("The {what} IDs '{}' do not exist", many.join(", "))),
    }
}

/// "The vpc 'vpc-1' has dependencies and cannot be deleted."
pub fn in_use(what: &str, id: &str) -> ApiError {
    ApiError::dependency(format!("The {what} '{id}' has dependencies and cannot be deleted."))
}

/// A yes or no as a filter's value.
pub fn flag(value: bool) -> Vec<String> {
    vec![value.to_string()]
}

/// `arn:aws:ec2:region:account:kind/id`.
pub fn arn(ctx: &Ctx, kind: &str, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:{kind}/{id}", ctx.cfg.region, ctx.cfg.account)
}
