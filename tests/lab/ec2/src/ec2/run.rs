//! The beginning and the end of instances.

use jiff::Timestamp;

use super::instance;
use super::wish::{disks, image, metadata, network, one_of, user_data, vcpus};
use crate::ctx::{Ctx, Effect, host_name};
use crate::error::{ApiError, Result};
use crate::state::{Attachment, Instance, Life, State, Volume};
use crate::xml::Xml;
use lab_machines::InstanceSpec;

/// RunInstances.
pub fn run(ctx: &mut Ctx) -> Result<String> {
    let token = ctx.p.opt("ClientToken");
    let earlier = match &token {
        Some(t) => ctx.replay("RunInstances", t)?,
        None => None,
    };
    if let Some(made) = earlier {
        ctx.seen_all();
        return again(ctx, &made);
    }
    let image = image(ctx)?;
    let name = ctx.p.opt("InstanceType").unwrap_or_else(|| "m1.small".to_owned());
    let kind = ctx.cfg.types.iter().find(|t| t.name == name).cloned();
    let kind = kind.ok_or_else(|| ApiError::value(format!("Invalid value '{name}' for InstanceType.")))?;
    if kind.architecture != image.architecture {
        return Err(ApiError::value(format!(
            "The architecture '{}' of the specified instance type does not match the architecture '{}' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.",
            kind.architecture, image.architecture
        )));
    }
    let (min, max) = (ctx.p.req("MinCount")?, ctx.p.req("MaxCount")?);
    let (Ok(min), Ok(max)) = (min.parse::<usize>(), max.parse::<usize>()) else {
        return Err(ApiError::value("MinCount and MaxCount must be whole numbers"));
    };
    if min == 0 || max < min {
        return Err(ApiError::value(format!(
            "Invalid value '{max}' for maxCount. Must be at least {min} and greater than 0."
        )));
    }
    let data = user_data(ctx)?;
    let (tokens_required, hop_limit) = metadata(ctx)?;
    let net = network(ctx)?;
    if max > 1 && (net.wanted.is_some() || net.ready.is_some()) {
        return Err(ApiError::bad(
            "InvalidParameterCombination",
            "Multiple instances cannot be launched with one private address or network interface.",
        ));
    }
    let az = net.subnet.az.clone();
    if let Some(p) = ctx.p.sub("Placement") {
        if p.opt("AvailabilityZone").is_some_and(|z| z != az) {
            return Err(ApiError::value(format!(
                "The availability zone does not match the subnet's ({az})"
            )));
        }
        one_of(&p, "Tenancy", &["default"])?;
    }
    if let Some(p) = ctx.p.sub("Monitoring") {
        p.flag("Enabled")?;
    }
    if let Some(p) = ctx.p.sub("CreditSpecification") {
        one_of(&p, "CpuCredits", &["standard", "unlimited"])?;
    }
    ctx.p.flag("EbsOptimized")?;
    if let Some(key) = ctx.p.opt("KeyName") {
        return Err(ApiError::bad(
            "InvalidKeyPair.NotFound",
            format!("The key pair '{key}' does not exist"),
        ));
    }
    let mut spot = false;
    if let Some(p) = ctx.p.sub("InstanceMarketOptions") {
        spot = one_of(&p, "MarketType", &["spot"])?.is_some();
        if let Some(p) = p.sub("SpotOptions") {
            one_of(&p, "SpotInstanceType", &["one-time"])?;
            one_of(&p, "InstanceInterruptionBehavior", &["terminate"])?;
        }
    }
    let keep = ctx.p.flag("DisableApiTermination")?.unwrap_or(false);
    let shutdown = one_of(&ctx.p, "InstanceInitiatedShutdownBehavior", &["stop", "terminate"])?;
    let tags = ctx.tag_specs(&["instance", "network-interface", "volume"])?;
    let disks = disks(ctx, &image, &az)?;
    let none_left =
        |(zone, full): &(String, String)| *zone == az && (full == "*" || *full == kind.name || spot && full == "spot");
    // A dry run does not look for a machine.
    if ctx.full.iter().any(none_left) && ctx.p.opt("DryRun").as_deref() != Some("true") {
        return Err(crate::faults::no_capacity(&az, &kind.name));
    }
    let limit = ctx.cfg.quotas.vcpus;
    let room = usize::try_from((limit - vcpus(ctx)) / kind.vcpus.max(1)).unwrap_or(0);
    if room < min {
        return Err(ApiError::bad(
            "VcpuLimitExceeded",
            format!(
                "You have requested more vCPU capacity than your current vCPU limit of {limit} allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
            ),
        ));
    }
    let reservation = ctx.id("r");
    let mut made = Vec::new();
    for index in 0..max.min(room) {
        let id = ctx.id("i");
        let mut e = match &net.ready {
            Some(e) => e.clone(),
            None => {
                let ip = ctx.private_address(&net.subnet, net.wanted)?;
                let mut e = ctx.interface(&net.subnet, ip, net.groups.clone());
                e.description.clone_from(&net.description);
                if net.public {
                    e.public = Some(ctx.public_address()?);
                }
                let own = tags.get("network-interface").cloned().unwrap_or_default();
                ctx.st.tags.insert(e.id.clone(), own);
                e
            }
        };
        e.attachment = Some(Attachment {
            id: ctx.id("eni-attach"),
            instance: id.clone(),
            device: 0,
            since: ctx.now,
            delete_on_termination: net.delete,
        });
        let mut volumes = Vec::new();
        for disk in &disks {
            let v = Volume {
                id: ctx.id("vol"),
                instance: id.clone(),
                ..disk.clone()
            };
            ctx.st
                .tags
                .insert(v.id.clone(), tags.get("volume").cloned().unwrap_or_default());
            volumes.push(v.id.clone());
            ctx.st.volumes.insert(v.id.clone(), v);
        }
        ctx.st
            .tags
            .insert(id.clone(), tags.get("instance").cloned().unwrap_or_default());
        ctx.effects.push(Effect::Launch(Box::new(InstanceSpec {
            supplier: lab_machines::Supplier::Ec2,
            id: id.clone(),
            vpc_id: net.subnet.vpc.clone(),
            subnet_id: net.subnet.id.clone(),
            private_ip: e.ip,
            subnet_cidr: net.subnet.cidr,
            hostname: host_name(e.ip),
            image_id: image.id.clone(),
            instance_type: kind.name.clone(),
            az: az.clone(),
            region: ctx.cfg.region.clone(),
            account_id: ctx.cfg.account.clone(),
            user_data: data.clone(),
            mac: e.mac.clone(),
            imds_hop_limit: hop_limit,
            imds_tokens_required: tokens_required,
        })));
        let instance = Instance {
            id: id.clone(),
            reservation: reservation.clone(),
            index,
            image: image.id.clone(),
            kind: kind.name.clone(),
            az: az.clone(),
            vpc: net.subnet.vpc.clone(),
            ip: e.ip,
            life: Life::Pending,
            since: ctx.now,
            token: token.clone(),
            user_data: data.clone(),
            keep,
            shutdown_terminates: spot || shutdown.as_deref() == Some("terminate"),
            hop_limit,
            tokens_required,
            ended: None,
            reason: None,
            volumes,
            root_device: image.root_device.clone(),
            architecture: image.architecture.clone(),
        };
        ctx.st.interfaces.insert(e.id.clone(), e);
        ctx.st.instances.insert(id.clone(), instance);
        made.push(id);
    }
    if let Some(t) = &token {
        ctx.remember("RunInstances", t, made.clone());
    }
    Ok(reply(ctx, &made))
}

/// The same token with the same parameters: the same instances, unless they are gone.
fn again(ctx: &Ctx, made: &[String]) -> Result<String> {
    let living = |id: &String| {
        ctx.st
            .instances
            .get(id)
            .is_some_and(|i| i.life.exists() && i.life != Life::ShuttingDown)
    };
    match made.iter().all(living) {
        true => Ok(reply(ctx, made)),
        false => Err(ApiError::bad(
            "IdempotentInstanceTerminated",
            "The request to launch an instance uses the client token of an already terminated instance.",
        )),
    }
}

fn reply(ctx: &Ctx, made: &[String]) -> String {
    let instances: Vec<&Instance> = made.iter().filter_map(|id| ctx.st.instances.get(id)).collect();
    let mut x = Xml::new();
    instance::reservation(&mut x, ctx, &instances);
    x.finish()
}

/// TerminateInstances: all or none.
pub fn terminate(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("InstanceId");
    if ids.is_empty() {
        return Err(ctx.p.missing("InstanceId"));
    }
    let found = instance::all(ctx, &ids)?;
    if let Some(i) = found.iter().find(|i| i.keep && i.life.exists()) {
        return Err(ApiError::bad(
            "OperationNotPermitted",
            format!(
                "The instance '{}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
                i.id
            ),
        ));
    }
    let mut changes = Vec::new();
    for i in found {
        let after = if i.life.exists() {
            Life::ShuttingDown
        } else {
            Life::Terminated
        };
        changes.push((i.id.clone(), after, i.life));
        if !matches!(i.life, Life::ShuttingDown | Life::Terminated) {
            ctx.effects.push(Effect::Terminate(i.id.clone()));
        }
        if let Some(i) = ctx.st.instances.get_mut(&i.id).filter(|i| i.life.exists()) {
            i.life = Life::ShuttingDown;
            i.reason = Some((
                "Client.UserInitiatedShutdown".to_owned(),
                "Client.UserInitiatedShutdown: User initiated shutdown".to_owned(),
            ));
        }
    }
    let mut x = Xml::new();
    x.list("instancesSet", "item", &changes, |x, (id, after, before)| {
        x.text("instanceId", id);
        x.el("currentState", |x| instance::life(x, *after))
            .el("previousState", |x| instance::life(x, *before));
    });
    Ok(x.finish())
}

/// The instance is gone: its interface, disks and addresses follow.
pub(crate) fn bury(st: &mut State, id: &str, now: Timestamp) {
    let Some(i) = st.instances.get_mut(id) else { return };
    i.life = Life::Terminated;
    i.ended = Some(now);
    let mine: Vec<(String, bool)> = st
        .interfaces_of(id)
        .iter()
        .map(|e| {
            (
                e.id.clone(),
                e.attachment.as_ref().is_some_and(|a| a.delete_on_termination),
            )
        })
        .collect();
    for (interface, delete) in mine {
        if delete {
            st.drop_interface(&interface);
        } else if let Some(e) = st.interfaces.get_mut(&interface) {
            e.attachment = None;
        }
    }
    let disks: Vec<String> = st
        .volumes
        .values()
        .filter(|v| v.instance == id && v.delete_on_termination)
        .map(|v| v.id.clone())
        .collect();
    for disk in disks {
        st.volumes.remove(&disk);
        st.forget(&disk);
    }
}
