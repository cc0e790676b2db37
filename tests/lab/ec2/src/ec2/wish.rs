//! What a launch asks for, read and judged: interface, user data, metadata service, disks, image.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{interface, subnet};
use crate::config::Image;
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::params::Params;
use crate::state::{Interface, Life, Subnet, Volume};

const USER_DATA: usize = 16_384;

pub(super) struct Net {
    pub subnet: Subnet,
    /// An interface made beforehand.
    pub ready: Option<Interface>,
    pub wanted: Option<std::net::Ipv4Addr>,
    pub public: bool,
    pub groups: Vec<String>,
    pub delete: bool,
    pub description: String,
}

/// The one interface of the new instances, from `NetworkInterface.1` or from the plain parameters.
pub(super) fn network(ctx: &Ctx) -> Result<Net> {
    let listed = ctx.p.subs("NetworkInterface");
    let (plain_subnet, plain_groups) = (ctx.p.opt("SubnetId"), ctx.p.list("SecurityGroupId"));
    let Some(p) = listed.first() else {
        let id = plain_subnet.ok_or_else(|| {
            ApiError::bad(
                "MissingInput",
                "No subnets found for the default VPC. Please specify a subnet.",
            )
        })?;
        let subnet = subnet::find(ctx, &id)?;
        let groups = ctx.groups_in(plain_groups, &subnet.vpc)?;
        let wanted = ctx.p.ip("PrivateIpAddress")?;
        let public = subnet.map_public;
        return Ok(Net {
            subnet,
            ready: None,
            wanted,
            public,
            groups,
            delete: true,
            description: String::new(),
        });
    };
    let both = |what: &str| {
        ApiError::bad(
            "InvalidParameterCombination",
            format!("Network interfaces and an instance-level {what} may not be specified on the same request"),
        )
    };
    if plain_subnet.is_some() {
        return Err(both("subnet ID"));
    }
    if !plain_groups.is_empty() {
        return Err(both("security groups"));
    }
    if ctx.p.opt("PrivateIpAddress").is_some() {
        return Err(both("private address"));
    }
    if listed.len() > 1 || p.int("DeviceIndex")? != Some(0) {
        return Err(match p.int("DeviceIndex")? {
            None => p.missing("DeviceIndex"),
            Some(_) => ApiError::bad(
                "UnsupportedOperation",
                "This double makes instances with one interface, at device index 0.",
            ),
        });
    }
    let public = p.flag("AssociatePublicIpAddress")?;
    let delete = p.flag("DeleteOnTermination")?;
    let description = p.opt("Description").unwrap_or_default();
    let groups = p.list("SecurityGroupId");
    if let Some(id) = p.opt("NetworkInterfaceId") {
        let e = interface::find(ctx, &id)?;
        if e.attachment.is_some() || e.balancer.is_some() {
            return Err(ApiError::bad(
                "InvalidNetworkInterface.InUse",
                format!("Interface: [{id}] in use."),
            ));
        }
        let more = public.is_some()
            || !groups.is_empty()
            || p.opt("SubnetId").is_some()
            || p.opt("PrivateIpAddress").is_some();
        if more {
            return Err(ApiError::bad(
                "InvalidParameterCombination",
                "A network interface may not specify both a network interface ID and a subnet, address, security group or public address",
            ));
        }
        let subnet = subnet::find(ctx, &e.subnet)?;
        return Ok(Net {
            subnet,
            wanted: None,
            public: false,
            groups: e.groups.clone(),
            // An interface made beforehand outlives its instance unless told otherwise.
            delete: delete.unwrap_or(false),
            description: e.description.clone(),
            ready: Some(e),
        });
    }
    let subnet = subnet::find(ctx, &p.req("SubnetId")?)?;
    let groups = ctx.groups_in(groups, &subnet.vpc)?;
    let public = public.unwrap_or(subnet.map_public);
    let wanted = p.ip("PrivateIpAddress")?;
    Ok(Net {
        subnet,
        ready: None,
        wanted,
        public,
        groups,
        delete: delete.unwrap_or(true),
        description,
    })
}

pub(super) fn user_data(ctx: &Ctx) -> Result<Vec<u8>> {
    let text = ctx.p.opt("UserData").unwrap_or_default();
    let raw = STANDARD
        .decode(text.as_bytes())
        .map_err(|_| ApiError::bad("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data."))?;
    match raw.len() > USER_DATA {
        true => Err(ApiError::value("User data is limited to 16384 bytes")),
        false => Ok(raw),
    }
}

pub(super) fn one_of(p: &Params, name: &str, allowed: &[&str]) -> Result<Option<String>> {
    match p.opt(name) {
        Some(v) if !allowed.contains(&v.as_str()) => Err(ApiError::value(format!(
            "Invalid value '{v}' for {name}; allowed: {}",
            allowed.join(", ")
        ))),
        v => Ok(v),
    }
}

/// (tokens required, hop limit).
pub(super) fn metadata(ctx: &Ctx) -> Result<(bool, u8)> {
    let Some(p) = ctx.p.sub("MetadataOptions") else {
        return Ok((false, 1));
    };
    let tokens = one_of(&p, "HttpTokens", &["optional", "required"])?;
    if one_of(&p, "HttpEndpoint", &["enabled", "disabled"])?.as_deref() == Some("disabled") {
        return Err(ApiError::bad(
            "UnsupportedOperation",
            "This double has no instances without metadata service.",
        ));
    }
    one_of(&p, "InstanceMetadataTags", &["disabled"])?;
    one_of(&p, "HttpProtocolIpv6", &["disabled"])?;
    let hops = p.int("HttpPutResponseHopLimit")?.unwrap_or(1);
    let hops = u8::try_from(hops)
        .ok()
        .filter(|h| (1..=64).contains(h))
        .ok_or_else(|| {
            ApiError::value(format!(
                "Value ({hops}) for parameter HttpPutResponseHopLimit is invalid. It must be between 1 and 64."
            ))
        })?;
    Ok((tokens.as_deref() == Some("required"), hops))
}

/// The disks of one instance: the image's root, changed and extended by the mappings.
pub(super) fn disks(ctx: &Ctx, image: &Image, az: &str) -> Result<Vec<Volume>> {
    let disk = |device: String, size| Volume {
        id: String::new(),
        instance: String::new(),
        device,
        size,
        kind: "gp3".to_owned(),
        encrypted: false,
        delete_on_termination: true,
        az: az.to_owned(),
        since: ctx.now,
    };
    let mut out = vec![disk(image.root_device.clone(), image.size)];
    for p in ctx.p.subs("BlockDeviceMapping") {
        let device = p.req("DeviceName")?;
        let root = device == image.root_device;
        let Some(ebs) = p.sub("Ebs") else {
            return Err(ApiError::bad(
                "UnsupportedOperation",
                "This double maps only EBS volumes.",
            ));
        };
        let size = ebs.int("VolumeSize")?;
        let mut v = disk(device.clone(), size.unwrap_or(image.size));
        if root && v.size < image.size {
            return Err(ApiError::bad(
                "InvalidBlockDeviceMapping",
                format!(
                    "Volume of size {}GB is smaller than snapshot 'snap-{}', expect size >= {}GB",
                    v.size,
                    &image.id[4..],
                    image.size
                ),
            ));
        }
        if !root && size.is_none() {
            return Err(ApiError::bad(
                "MissingParameter",
                "The request must contain the parameter size or snapshotId",
            ));
        }
        v.kind = one_of(
            &ebs,
            "VolumeType",
            &["gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"],
        )?
        .unwrap_or(v.kind);
        v.encrypted = ebs.flag("Encrypted")?.unwrap_or(false);
        v.delete_on_termination = ebs.flag("DeleteOnTermination")?.unwrap_or(true);
        ebs.int("Iops")?;
        ebs.int("Throughput")?;
        if ebs.opt("KmsKeyId").is_some() && !v.encrypted {
            return Err(ApiError::bad(
                "InvalidParameterDependency",
                "The parameter KmsKeyId requires the parameter Encrypted to be set.",
            ));
        }
        if root {
            out[0] = v;
        } else if out.iter().any(|o| o.device == device) {
            return Err(ApiError::bad(
                "InvalidBlockDeviceMapping",
                format!("Duplicate device name {device}"),
            ));
        } else {
            out.push(v);
        }
    }
    Ok(out)
}

pub(super) fn image(ctx: &Ctx) -> Result<Image> {
    let id = ctx.p.req("ImageId")?;
    Ctx::well_formed(&id, "ami", "InvalidAMIID.Malformed")?;
    ctx.cfg
        .images
        .iter()
        .find(|i| i.id == id)
        .cloned()
        .ok_or_else(|| ApiError::bad("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist")))
}

/// Processors in use by instances that exist.
pub(super) fn vcpus(ctx: &Ctx) -> i64 {
    let of = |kind: &str| ctx.cfg.types.iter().find(|t| t.name == kind).map_or(0, |t| t.vcpus);
    ctx.st
        .instances
        .values()
        .filter(|i| i.life.exists() && i.life != Life::Stopped)
        .map(|i| of(&i.kind))
        .sum()
}
