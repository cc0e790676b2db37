//! Looking at instances and their disks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::interface::in_instance;
use super::reply::{group_set, not_found, tag_set};
use crate::ctx::{Ctx, time};
use crate::error::{ApiError, Result};
use crate::filter::{Resource, page, select};
use crate::state::{Instance, Life, State, Volume};
use crate::xml::Xml;

impl Resource for Instance {
    const FILTERS: &'static [&'static str] = &[
        "architecture",
        "availability-zone",
        "client-token",
        "image-id",
        "instance-id",
        "instance-state-code",
        "instance-state-name",
        "instance-type",
        "instance.group-id",
        "ip-address",
        "network-interface.network-interface-id",
        "owner-id",
        "private-dns-name",
        "private-ip-address",
        "reservation-id",
        "subnet-id",
        "vpc-id",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn values(&self, filter: &str, st: &State) -> Vec<String> {
        let e = st.primary(&self.id);
        match filter {
            "architecture" => vec![self.architecture.clone()],
            "availability-zone" => vec![self.az.clone()],
            "client-token" => self.token.clone().into_iter().collect(),
            "image-id" => vec![self.image.clone()],
            "instance-id" => vec![self.id.clone()],
            "instance-state-code" => vec![self.life.code().0.to_string()],
            "instance-state-name" => vec![self.life.code().1.to_owned()],
            "instance-type" => vec![self.kind.clone()],
            "instance.group-id" => e.map(|e| e.groups.clone()).unwrap_or_default(),
            "ip-address" => e
                .and_then(|e| st.public_of(e))
                .map(|ip| ip.to_string())
                .into_iter()
                .collect(),
            "network-interface.network-interface-id" => e.map(|e| e.id.clone()).into_iter().collect(),
            "private-ip-address" => e.map(|e| e.ip.to_string()).into_iter().collect(),
            "reservation-id" => vec![self.reservation.clone()],
            "subnet-id" => e.map(|e| e.subnet.clone()).into_iter().collect(),
            "vpc-id" => e.map(|e| e.vpc.clone()).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

impl Resource for Volume {
    const FILTERS: &'static [&'static str] = &[
        "attachment.instance-id",
        "availability-zone",
        "encrypted",
        "status",
        "volume-id",
        "volume-type",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn values(&self, filter: &str, st: &State) -> Vec<String> {
        match filter {
            "attachment.instance-id" if bound(self, st) => vec![self.instance.clone()],
            "availability-zone" => vec![self.az.clone()],
            "encrypted" => vec![self.encrypted.to_string()],
            "status" => vec![if bound(self, st) { "in-use" } else { "available" }.to_owned()],
            "volume-id" => vec![self.id.clone()],
            "volume-type" => vec![self.kind.clone()],
            _ => Vec::new(),
        }
    }
}

fn bound(v: &Volume, st: &State) -> bool {
    st.instances.get(&v.instance).is_some_and(|i| i.life.exists())
}

fn missing(ids: &[String]) -> ApiError {
    not_found("InvalidInstanceID.NotFound", "instance")(ids)
}

/// All of these instances, or InvalidInstanceID.NotFound.
pub fn all(ctx: &Ctx, ids: &[String]) -> Result<Vec<Instance>> {
    for id in ids {
        Ctx::well_formed(id, "i", "InvalidInstanceID.Malformed")?;
    }
    let lost: Vec<String> = ids
        .iter()
        .filter(|id| !ctx.st.instances.contains_key(*id))
        .cloned()
        .collect();
    match lost.is_empty() {
        true => Ok(ids.iter().filter_map(|id| ctx.st.instances.get(id).cloned()).collect()),
        false => Err(missing(&lost)),
    }
}

/// One instance.
pub fn find(ctx: &Ctx, id: &str) -> Result<Instance> {
    let found = all(ctx, &[id.to_owned()])?;
    found.into_iter().next().ok_or_else(|| missing(&[id.to_owned()]))
}

/// `<code>`, `<name>`.
pub fn life(x: &mut Xml, life: Life) {
    let (code, name) = life.code();
    x.text("code", code).text("name", name);
}

fn xml(x: &mut Xml, ctx: &Ctx, i: &Instance) {
    let (e, gone) = (ctx.st.primary(&i.id), !i.life.exists());
    let public = e.and_then(|e| ctx.st.public_of(e));
    x.text("instanceId", &i.id)
        .text("imageId", &i.image)
        .el("instanceState", |x| life(x, i.life));
    x.text(
        "privateDnsName",
        if gone { String::new() } else { ctx.private_dns(i.ip) },
    );
    x.text("dnsName", public.map(|ip| ctx.public_dns(ip)).unwrap_or_default());
    x.text("reason", i.reason.as_ref().map_or("", |(_, text)| text));
    x.text("amiLaunchIndex", i.index).el("productCodes", |_| {});
    x.text("instanceType", &i.kind).text("launchTime", time(i.since));
    x.el("placement", |x| {
        x.text("availabilityZone", &i.az)
            .text("groupName", "")
            .text("tenancy", "default");
    });
    x.el("monitoring", |x| {
        x.text("state", "disabled");
    });
    if let Some(e) = e {
        x.text("subnetId", &e.subnet)
            .text("vpcId", &e.vpc)
            .text("privateIpAddress", e.ip)
            .maybe("ipAddress", public);
        x.text("sourceDestCheck", e.check);
        group_set(x, ctx, &e.groups);
    }
    if let Some((code, message)) = &i.reason {
        x.el("stateReason", |x| {
            x.text("code", code).text("message", message);
        });
    }
    x.text("architecture", &i.architecture)
        .text("rootDeviceType", "ebs")
        .text("rootDeviceName", &i.root_device);
    let disks = i.volumes.iter().filter(|_| !gone).filter_map(|v| ctx.st.volumes.get(v));
    x.list("blockDeviceMapping", "item", disks, |x, v| {
        x.text("deviceName", &v.device).el("ebs", |x| {
            x.text("volumeId", &v.id)
                .text("status", "attached")
                .text("attachTime", time(v.since));
            x.text("deleteOnTermination", v.delete_on_termination);
        });
    });
    x.text("virtualizationType", "hvm")
        .text("clientToken", i.token.as_deref().unwrap_or_default());
    tag_set(x, ctx, &i.id);
    x.text("hypervisor", "xen");
    x.list("networkInterfaceSet", "item", ctx.st.interfaces_of(&i.id), |x, e| {
        in_instance(x, ctx, e)
    });
    x.text("ebsOptimized", false).text("enaSupport", true);
    let vcpus = ctx.cfg.types.iter().find(|t| t.name == i.kind).map_or(2, |t| t.vcpus);
    x.el("cpuOptions", |x| {
        x.text("coreCount", (vcpus / 2).max(1))
            .text("threadsPerCore", if vcpus > 1 { 2 } else { 1 });
    });
    x.el("metadataOptions", |x| {
        x.text("state", "applied")
            .text("httpTokens", if i.tokens_required { "required" } else { "optional" });
        x.text("httpPutResponseHopLimit", i.hop_limit)
            .text("httpEndpoint", "enabled");
        x.text("httpProtocolIpv6", "disabled")
            .text("instanceMetadataTags", "disabled");
    });
}

/// The inside of a reservation.
pub fn reservation(x: &mut Xml, ctx: &Ctx, instances: &[&Instance]) {
    let id = instances.first().map_or("", |i| i.reservation.as_str());
    x.text("reservationId", id)
        .text("ownerId", &ctx.cfg.account)
        .el("groupSet", |_| {});
    x.list("instancesSet", "item", instances, |x, i| xml(x, ctx, i));
}

/// DescribeInstances.
pub fn describe(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("InstanceId");
    for id in &ids {
        Ctx::well_formed(id, "i", "InvalidInstanceID.Malformed")?;
    }
    let found = select(ctx, &ctx.st.instances, &ids, missing)?;
    let (found, next) = page(&ctx.p, found, !ids.is_empty())?;
    let mut reservations: Vec<Vec<&Instance>> = Vec::new();
    for i in &found {
        match reservations
            .iter_mut()
            .find(|r| r.iter().any(|o| o.reservation == i.reservation))
        {
            Some(r) => r.push(i),
            None => reservations.push(vec![i]),
        }
    }
    let mut x = Xml::new();
    x.list("reservationSet", "item", &reservations, |x, r| reservation(x, ctx, r))
        .maybe("nextToken", next);
    Ok(x.finish())
}

/// DescribeInstanceStatus: running instances, unless all are asked for.
pub fn status(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("InstanceId");
    let every = ctx.p.flag("IncludeAllInstances")?.unwrap_or(false);
    let mut found = select(ctx, &ctx.st.instances, &ids, missing)?;
    found.retain(|i| every || i.life == Life::Running);
    let (found, next) = page(&ctx.p, found, !ids.is_empty())?;
    let mut x = Xml::new();
    x.list("instanceStatusSet", "item", &found, |x, i| {
        let word = if i.life == Life::Running {
            "ok"
        } else {
            "not-applicable"
        };
        x.text("instanceId", &i.id).text("availabilityZone", &i.az);
        x.el("instanceState", |x| life(x, i.life));
        for name in ["systemStatus", "instanceStatus"] {
            x.el(name, |x| {
                x.text("status", word);
            });
        }
    });
    x.maybe("nextToken", next);
    Ok(x.finish())
}

/// DescribeVolumes.
pub fn volumes(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("VolumeId");
    let found = select(ctx, &ctx.st.volumes, &ids, |ids| {
        ApiError::bad(
            "InvalidVolume.NotFound",
            format!("The volume '{}' does not exist.", ids.join(", ")),
        )
    })?;
    let (found, next) = page(&ctx.p, found, !ids.is_empty())?;
    let mut x = Xml::new();
    x.list("volumeSet", "item", &found, |x, v| {
        let used = bound(v, &ctx.st);
        x.text("volumeId", &v.id)
            .text("size", v.size)
            .text("availabilityZone", &v.az);
        x.text("status", if used { "in-use" } else { "available" })
            .text("createTime", time(v.since));
        x.list("attachmentSet", "item", used.then_some(v), |x, v| {
            x.text("volumeId", &v.id)
                .text("instanceId", &v.instance)
                .text("device", &v.device);
            x.text("status", "attached").text("attachTime", time(v.since));
            x.text("deleteOnTermination", v.delete_on_termination);
        });
        tag_set(x, ctx, &v.id);
        x.text("volumeType", &v.kind).text("encrypted", v.encrypted);
    });
    x.maybe("nextToken", next);
    Ok(x.finish())
}

/// GetConsoleOutput: the last 64 KiB; nothing until something was printed.
pub fn console(ctx: &mut Ctx) -> Result<String> {
    let i = find(ctx, &ctx.p.req("InstanceId")?)?;
    let nitro = ctx.cfg.types.iter().any(|t| t.name == i.kind && t.nitro);
    if ctx.p.flag("Latest")?.unwrap_or(false) && !nitro {
        return Err(ApiError::bad(
            "UnsupportedOperation",
            "This instance type does not support retrieving the latest console logs. Only instance types on Nitro hypervisor support this feature.",
        ));
    }
    let text = ctx.backend.console(&i.id);
    let tail = &text.as_bytes()[text.len().saturating_sub(65_536)..];
    let mut x = Xml::new();
    x.text("instanceId", &i.id).text("timestamp", time(ctx.now));
    x.maybe("output", (!tail.is_empty()).then(|| STANDARD.encode(tail)));
    Ok(x.finish())
}
