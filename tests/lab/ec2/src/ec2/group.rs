//! Security groups. Ingress is enforced by the backend; egress is the default "everything" and cannot be changed here.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::reply::{arn, tag_set};
use super::vpc;
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::filter::{Resource, page, select};
use crate::params::Params;
use crate::state::{Group, Peer, Permission, State};
use crate::xml::Xml;
use lab_machines::Protocol;

impl Resource for Group {
    const FILTERS: &'static [&'static str] = &[
        "description",
        "group-id",
        "group-name",
        "ip-permission.cidr",
        "ip-permission.from-port",
        "ip-permission.group-id",
        "ip-permission.protocol",
        "ip-permission.to-port",
        "owner-id",
        "vpc-id",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn values(&self, filter: &str, _: &State) -> Vec<String> {
        let rules = |f: fn(&Permission) -> Option<String>| self.ingress.iter().filter_map(f).collect();
        match filter {
            "description" => vec![self.description.clone()],
            "group-id" => vec![self.id.clone()],
            "group-name" => vec![self.name.clone()],
            "ip-permission.cidr" => rules(|p| match &p.peer {
                Peer::Net(net) => Some(net.to_string()),
                Peer::Group(_) => None,
            }),
            "ip-permission.group-id" => rules(|p| match &p.peer {
                Peer::Group(id) => Some(id.clone()),
                Peer::Net(_) => None,
            }),
            "ip-permission.from-port" => rules(|p| Some(p.from.to_string())),
            "ip-permission.to-port" => rules(|p| Some(p.to.to_string())),
            "ip-permission.protocol" => rules(|p| Some(p.proto.as_str().to_owned())),
            "vpc-id" => vec![self.vpc.clone()],
            _ => Vec::new(),
        }
    }
}

/// The rule that lets everything out.
pub fn everywhere(ctx: &mut Ctx) -> Permission {
    let rule = ctx.id("sgr");
    Permission {
        rule,
        proto: Protocol::All,
        from: -1,
        to: -1,
        peer: Peer::Net(Ipv4Net::default()),
        description: None,
    }
}

fn no_group(ids: &[String]) -> ApiError {
    match ids {
        [one] => ApiError::bad(
            "InvalidGroup.NotFound",
            format!("The security group '{one}' does not exist"),
        ),
        many => ApiError::bad(
            "InvalidGroup.NotFound",
            format!("The security groups '{}' do not exist", many.join(", ")),
        ),
    }
}

fn find(ctx: &Ctx) -> Result<Group> {
    let id = ctx.p.req("GroupId")?;
    Ctx::well_formed(&id, "sg", "InvalidGroupId.Malformed")?;
    ctx.st.groups.get(&id).cloned().ok_or_else(|| no_group(&[id]))
}

/// Rules of the same protocol and ports are one permission with several peers, as EC2 writes them.
fn permissions(x: &mut Xml, ctx: &Ctx, name: &str, rules: &[Permission]) {
    let mut merged: BTreeMap<(Protocol, i32, i32), Vec<&Permission>> = BTreeMap::new();
    for r in rules {
        merged.entry((r.proto, r.from, r.to)).or_default().push(r);
    }
    x.list(name, "item", merged, |x, ((proto, from, to), rules)| {
        x.text("ipProtocol", proto.as_str());
        if proto != Protocol::All {
            x.text("fromPort", from).text("toPort", to);
        }
        let groups = rules.iter().filter(|r| matches!(r.peer, Peer::Group(_)));
        x.list("groups", "item", groups, |x, r| {
            if let Peer::Group(id) = &r.peer {
                x.text("userId", &ctx.cfg.account).text("groupId", id);
            }
            x.maybe("description", r.description.as_ref());
        });
        let nets = rules.iter().filter(|r| matches!(r.peer, Peer::Net(_)));
        x.list("ipRanges", "item", nets, |x, r| {
            if let Peer::Net(net) = &r.peer {
                x.text("cidrIp", net);
            }
            x.maybe("description", r.description.as_ref());
        });
        x.el("ipv6Ranges", |_| {}).el("prefixListIds", |_| {});
    });
}

fn xml(x: &mut Xml, ctx: &Ctx, g: &Group) {
    x.text("ownerId", &ctx.cfg.account)
        .text("groupId", &g.id)
        .text("groupName", &g.name);
    x.text("groupDescription", &g.description).text("vpcId", &g.vpc);
    x.text("securityGroupArn", arn(ctx, "security-group", &g.id));
    permissions(x, ctx, "ipPermissions", &g.ingress);
    permissions(x, ctx, "ipPermissionsEgress", &g.egress);
    tag_set(x, ctx, &g.id);
}

/// CreateSecurityGroup.
pub fn create(ctx: &mut Ctx) -> Result<String> {
    let (name, description) = (ctx.p.req("GroupName")?, ctx.p.req("GroupDescription")?);
    let vpc = vpc::find(ctx, &ctx.p.req("VpcId")?)?.id;
    if name.starts_with("sg-") || name.len() > 255 {
        return Err(ApiError::value(format!(
            "Invalid value '{name}' for groupName. Group name may not be in the format sg-*."
        )));
    }
    if name == "default" {
        return Err(ApiError::value("Cannot use reserved security group name: default"));
    }
    if ctx.st.groups.values().any(|g| g.vpc == vpc && g.name == name) {
        return Err(ApiError::bad(
            "InvalidGroup.Duplicate",
            format!("The security group '{name}' already exists for VPC '{vpc}'"),
        ));
    }
    let id = ctx.id("sg");
    ctx.tag_new(&id, "security-group")?;
    let egress = vec![everywhere(ctx)];
    let group = Group {
        id: id.clone(),
        vpc,
        name,
        description,
        ingress: Vec::new(),
        egress,
    };
    ctx.st.groups.insert(id.clone(), group);
    let mut x = Xml::new();
    x.text("return", true).text("groupId", &id);
    tag_set(&mut x, ctx, &id);
    x.text("securityGroupArn", arn(ctx, "security-group", &id));
    Ok(x.finish())
}

/// DescribeSecurityGroups.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("GroupId");
    let found = select(ctx, &ctx.st.groups, &ids, no_group)?;
    let (found, next) = page(&ctx.p, found, false)?;
    let mut x = Xml::new();
    x.list("securityGroupInfo", "item", &found, |x, g| xml(x, ctx, g))
        .maybe("nextToken", next);
    Ok(x.finish())
}

/// One `IpPermissions.N`, or the flat form, as single rules.
fn read(ctx: &Ctx, p: &Params, group: &Group) -> Result<Vec<Permission>> {
    let text = p.req("IpProtocol")?;
    let proto = match text.as_str() {
        "-1" => Protocol::All,
        "tcp" | "6" => Protocol::Tcp,
        "udp" | "17" => Protocol::Udp,
        "icmp" | "1" => Protocol::Icmp,
        other => {
            return Err(ApiError::bad(
                "InvalidPermission.Malformed",
                format!("Unsupported IP protocol \"{other}\""),
            ));
        }
    };
    let (from, to) = (
        p.parse::<i32>("FromPort", "integer")?,
        p.parse::<i32>("ToPort", "integer")?,
    );
    let (from, to) = match proto {
        Protocol::All => (-1, -1),
        Protocol::Icmp => (from.unwrap_or(-1), to.unwrap_or(-1)),
        _ => {
            let from = from.ok_or_else(|| p.missing("FromPort"))?;
            let to = to.ok_or_else(|| p.missing("ToPort"))?;
            match (from, to) {
                (-1, -1) => (0, 65_535),
                (f, t) if (0..=65_535).contains(&f) && (f..=65_535).contains(&t) => (f, t),
                (f, t) => {
                    return Err(ApiError::value(format!(
                        "Invalid value for portRange. Must specify both from and to ports with {text}: {f}-{t}"
                    )));
                }
            }
        }
    };
    let rule = |peer, description| Permission {
        rule: String::new(),
        proto,
        from,
        to,
        peer,
        description,
    };
    let mut out = Vec::new();
    let net = |text: String| -> Result<Peer> {
        let bad = || ApiError::value(format!("CIDR block {text} is malformed"));
        let net: Ipv4Net = text.parse().map_err(|_| bad())?;
        if net.trunc() == net {
            Ok(Peer::Net(net))
        } else {
            Err(bad())
        }
    };
    for r in p.subs("IpRanges") {
        out.push(rule(net(r.req("CidrIp")?)?, r.opt("Description")));
    }
    if let Some(text) = p.opt("CidrIp") {
        out.push(rule(net(text)?, None));
    }
    for g in p.subs("Groups") {
        let id = g.req("GroupId")?;
        g.opt("UserId");
        g.opt("VpcId");
        if ctx.st.groups.get(&id).is_none_or(|other| other.vpc != group.vpc) {
            return Err(no_group(&[id]));
        }
        out.push(rule(Peer::Group(id), g.opt("Description")));
    }
    match out.is_empty() {
        true => Err(ApiError::bad(
            "MissingParameter",
            "The request must contain the parameter ipRanges or groups",
        )),
        false => Ok(out),
    }
}

fn rules(ctx: &Ctx, group: &Group) -> Result<Vec<Permission>> {
    let listed = ctx.p.subs("IpPermissions");
    if listed.is_empty() {
        if ctx.p.opt("IpProtocol").is_none() {
            return Err(ApiError::bad(
                "MissingParameter",
                "The request must contain the parameter ipPermissions",
            ));
        }
        return read(ctx, &ctx.p, group);
    }
    let each: Result<Vec<Vec<Permission>>> = listed.iter().map(|p| read(ctx, p, group)).collect();
    Ok(each?.into_iter().flatten().collect())
}

fn words(p: &Permission) -> String {
    let peer = match &p.peer {
        Peer::Net(net) => net.to_string(),
        Peer::Group(id) => id.clone(),
    };
    match p.proto {
        Protocol::All => format!("peer: {peer}, ALL, ALLOW"),
        proto => format!(
            "peer: {peer}, {}, from port: {}, to port: {}, ALLOW",
            proto.as_str().to_uppercase(),
            p.from,
            p.to
        ),
    }
}

/// AuthorizeSecurityGroupIngress.
pub fn authorize(ctx: &mut Ctx) -> Result<String> {
    let mut group = find(ctx)?;
    let mut made = rules(ctx, &group)?;
    for rule in &mut made {
        if group.ingress.iter().any(|r| r.same(rule)) {
            return Err(ApiError::bad(
                "InvalidPermission.Duplicate",
                format!("the specified rule \"{}\" already exists", words(rule)),
            ));
        }
        rule.rule = ctx.id("sgr");
        group.ingress.push(rule.clone());
    }
    if group.ingress.len() > 60 {
        return Err(ApiError::bad(
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        ));
    }
    let specs = ctx.tag_specs(&["security-group-rule"])?;
    let mut x = Xml::new();
    x.text("return", true)
        .list("securityGroupRuleSet", "item", &made, |x, r| {
            x.text("securityGroupRuleId", &r.rule)
                .text("groupId", &group.id)
                .text("groupOwnerId", &ctx.cfg.account);
            x.text("isEgress", false)
                .text("ipProtocol", r.proto.as_str())
                .text("fromPort", r.from)
                .text("toPort", r.to);
            match &r.peer {
                Peer::Net(net) => x.text("cidrIpv4", net),
                Peer::Group(id) => x.el("referencedGroupInfo", |x| {
                    x.text("groupId", id).text("userId", &ctx.cfg.account);
                }),
            };
            x.maybe("description", r.description.as_ref());
        });
    for r in &made {
        if let Some(tags) = specs.get("security-group-rule") {
            ctx.st.tags.insert(r.rule.clone(), tags.clone());
        }
    }
    ctx.st.groups.insert(group.id.clone(), group);
    Ok(x.finish())
}

/// RevokeSecurityGroupIngress.
pub fn revoke(ctx: &mut Ctx) -> Result<String> {
    let mut group = find(ctx)?;
    let ids = ctx.p.list("SecurityGroupRuleId");
    let gone = || {
        ApiError::bad(
            "InvalidPermission.NotFound",
            "The specified rule does not exist in this security group.",
        )
    };
    if ids.is_empty() {
        for rule in rules(ctx, &group)? {
            let at = group.ingress.iter().position(|r| r.same(&rule)).ok_or_else(gone)?;
            group.ingress.remove(at);
        }
    }
    for id in ids {
        let at = group.ingress.iter().position(|r| r.rule == id).ok_or_else(|| {
            ApiError::bad(
                "InvalidSecurityGroupRuleId.NotFound",
                format!("The security group rule ID '{id}' does not exist"),
            )
        })?;
        group.ingress.remove(at);
    }
    ctx.st.groups.insert(group.id.clone(), group);
    Ok(Xml::done())
}

/// DeleteSecurityGroup: not the default one, not while an interface or another group's rule needs it.
pub fn delete(ctx: &mut Ctx) -> Result<String> {
    let group = find(ctx)?;
    if group.name == "default" {
        return Err(ApiError::bad(
            "CannotDelete",
            format!(
                "the specified group: \"{}\" name: \"default\" cannot be deleted by a user",
                group.id
            ),
        ));
    }
    let named = |g: &Group| {
        g.id != group.id
            && g.ingress
                .iter()
                .chain(&g.egress)
                .any(|r| r.peer == Peer::Group(group.id.clone()))
    };
    let used = ctx.st.interfaces.values().any(|e| e.groups.contains(&group.id))
        || ctx.st.balancers.values().any(|b| b.groups.contains(&group.id))
        || ctx.st.groups.values().any(named);
    if used {
        return Err(ApiError::dependency(format!(
            "resource {} has a dependent object",
            group.id
        )));
    }
    ctx.st.groups.remove(&group.id);
    ctx.st.forget(&group.id);
    let mut x = Xml::new();
    x.text("return", true).text("groupId", &group.id);
    Ok(x.finish())
}
