//! What the region offers: zones, images, machines.

use super::subnet::zone_id;
use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::filter::{Filters, page};
use crate::xml::Xml;

/// DescribeAvailabilityZones.
pub fn zones(ctx: &mut Ctx) -> Result<String> {
    let names = ctx.p.list("ZoneName");
    ctx.p.flag("AllAvailabilityZones")?;
    let filters = Filters::read(&ctx.p)?;
    filters.check(&[
        "group-name",
        "opt-in-status",
        "region-name",
        "state",
        "zone-id",
        "zone-name",
        "zone-type",
    ])?;
    if let Some(bad) = names.iter().find(|n| !ctx.cfg.zones.contains(n)) {
        return Err(ApiError::value(format!("Invalid availability zone: [{bad}]")));
    }
    let region = &ctx.cfg.region;
    let found = ctx
        .cfg
        .zones
        .iter()
        .filter(|z| names.is_empty() || names.contains(z))
        .filter(|z| {
            filters.matches(None, |f| {
                vec![match f {
                    "group-name" | "region-name" => region.clone(),
                    "opt-in-status" => "opt-in-not-required".to_owned(),
                    "state" => "available".to_owned(),
                    "zone-id" => zone_id(z),
                    "zone-name" => (*z).clone(),
                    _ => "availability-zone".to_owned(),
                }]
            })
        });
    let mut x = Xml::new();
    x.list("availabilityZoneInfo", "item", found, |x, z| {
        x.text("optInStatus", "opt-in-not-required")
            .el("messageSet", |_| {})
            .text("regionName", region);
        x.text("zoneName", z)
            .text("zoneId", zone_id(z))
            .text("groupName", region);
        x.text("networkBorderGroup", region)
            .text("zoneType", "availability-zone")
            .text("zoneState", "available");
    });
    Ok(x.finish())
}

/// DescribeRegions: this one.
pub fn regions(ctx: &mut Ctx) -> Result<String> {
    ctx.p.flag("AllRegions")?;
    let names = ctx.p.list("RegionName");
    let region = &ctx.cfg.region;
    if let Some(bad) = names.iter().find(|n| *n != region) {
        return Err(ApiError::value(format!("Invalid region provided: {bad}")));
    }
    let mut x = Xml::new();
    x.list("regionInfo", "item", [region], |x, r| {
        x.text("regionName", r)
            .text("regionEndpoint", format!("ec2.{r}.amazonaws.com"));
        x.text("optInStatus", "opt-in-not-required");
    });
    Ok(x.finish())
}

/// DescribeAccountAttributes: quotas of addresses and instances.
pub fn account(ctx: &mut Ctx) -> Result<String> {
    let names = ctx.p.list("AttributeName");
    let q = &ctx.cfg.quotas;
    let all = [
        ("supported-platforms", "VPC".to_owned()),
        ("default-vpc", "none".to_owned()),
        ("max-elastic-ips", "5".to_owned()),
        ("vpc-max-elastic-ips", q.addresses.to_string()),
        ("vpc-max-security-groups-per-interface", "5".to_owned()),
        ("max-instances", "20".to_owned()),
    ];
    if let Some(bad) = names.iter().find(|n| !all.iter().any(|(k, _)| k == n)) {
        return Err(ApiError::value(format!(
            "Value ({bad}) for parameter attributeName is invalid."
        )));
    }
    let found = all
        .iter()
        .filter(|(k, _)| names.is_empty() || names.iter().any(|n| n == k));
    let mut x = Xml::new();
    x.list("accountAttributeSet", "item", found, |x, (k, v)| {
        x.text("attributeName", k)
            .list("attributeValueSet", "item", [v], |x, v| {
                x.text("attributeValue", v);
            });
    });
    Ok(x.finish())
}

/// DescribeImages.
pub fn images(ctx: &mut Ctx) -> Result<String> {
    let ids = ctx.p.list("ImageId");
    let owners = ctx.p.list("Owner");
    ctx.p.flag("IncludeDeprecated")?;
    let filters = Filters::read(&ctx.p)?;
    filters.check(&[
        "architecture",
        "creation-date",
        "image-id",
        "image-type",
        "is-public",
        "name",
        "owner-alias",
        "owner-id",
        "root-device-type",
        "state",
        "virtualization-type",
    ])?;
    for id in &ids {
        Ctx::well_formed(id, "ami", "InvalidAMIID.Malformed")?;
        if !ctx.cfg.images.iter().any(|i| i.id == *id) {
            return Err(ApiError::bad(
                "InvalidAMIID.NotFound",
                format!("The image id '[{id}]' does not exist"),
            ));
        }
    }
    let images: Vec<_> = ctx
        .cfg
        .images
        .iter()
        .filter(|i| ids.is_empty() || ids.contains(&i.id))
        .filter(|i| owners.is_empty() || owners.contains(&i.owner))
        .filter(|i| {
            filters.matches(None, |f| match f {
                "architecture" => vec![i.architecture.clone()],
                "creation-date" => vec![i.created.clone()],
                "image-id" => vec![i.id.clone()],
                "image-type" => vec!["machine".to_owned()],
                "is-public" => vec!["true".to_owned()],
                "name" => vec![i.name.clone()],
                "owner-id" => vec![i.owner.clone()],
                "root-device-type" => vec!["ebs".to_owned()],
                "state" => vec!["available".to_owned()],
                "virtualization-type" => vec!["hvm".to_owned()],
                _ => Vec::new(),
            })
        })
        .collect();
    let (images, next) = page(&ctx.p, images, !ids.is_empty())?;
    let mut x = Xml::new();
    x.list("imagesSet", "item", images, |x, i| {
        x.text("imageId", &i.id)
            .text("imageLocation", format!("{}/{}", i.owner, i.name));
        x.text("imageState", "available")
            .text("imageOwnerId", &i.owner)
            .text("creationDate", &i.created);
        x.text("isPublic", true)
            .text("architecture", &i.architecture)
            .text("imageType", "machine");
        x.text("name", &i.name)
            .text("description", "Debian 12")
            .text("rootDeviceType", "ebs");
        x.text("rootDeviceName", &i.root_device);
        x.list("blockDeviceMapping", "item", [()], |x, ()| {
            x.text("deviceName", &i.root_device).el("ebs", |x| {
                x.text("snapshotId", i.id.replace("ami-", "snap-"))
                    .text("volumeSize", i.size);
                x.text("deleteOnTermination", true)
                    .text("volumeType", "gp3")
                    .text("encrypted", false);
            });
        });
        x.text("virtualizationType", "hvm")
            .text("hypervisor", "xen")
            .text("enaSupport", true);
    });
    x.maybe("nextToken", next);
    Ok(x.finish())
}

/// DescribeInstanceTypes.
pub fn types(ctx: &mut Ctx) -> Result<String> {
    let names = ctx.p.list("InstanceType");
    let filters = Filters::read(&ctx.p)?;
    filters.check(&[
        "current-generation",
        "instance-type",
        "processor-info.supported-architecture",
    ])?;
    let unknown: Vec<&String> = names
        .iter()
        .filter(|n| !ctx.cfg.types.iter().any(|t| t.name == **n))
        .collect();
    if let [bad, ..] = unknown.as_slice() {
        return Err(ApiError::bad(
            "InvalidInstanceType",
            format!("The following supplied instance types do not exist: [{bad}]"),
        ));
    }
    let found: Vec<_> = ctx
        .cfg
        .types
        .iter()
        .filter(|t| names.is_empty() || names.contains(&t.name))
        .filter(|t| {
            filters.matches(None, |f| {
                vec![match f {
                    "current-generation" => "true".to_owned(),
                    "instance-type" => t.name.clone(),
                    _ => t.architecture.clone(),
                }]
            })
        })
        .collect();
    let (found, next) = page(&ctx.p, found, !names.is_empty())?;
    let mut x = Xml::new();
    x.list("instanceTypeSet", "item", found, |x, t| {
        x.text("instanceType", &t.name)
            .text("currentGeneration", true)
            .text("bareMetal", false);
        x.el("processorInfo", |x| {
            x.values("supportedArchitectures", "item", [&t.architecture]);
        });
        x.el("vCpuInfo", |x| {
            x.text("defaultVCpus", t.vcpus)
                .text("defaultCores", (t.vcpus / 2).max(1))
                .text("defaultThreadsPerCore", 2);
        });
        x.el("memoryInfo", |x| {
            x.text("sizeInMiB", t.memory);
        });
        x.el("networkInfo", |x| {
            x.text("maximumNetworkInterfaces", 3)
                .text("ipv4AddressesPerInterface", 12);
        });
    });
    x.maybe("nextToken", next);
    Ok(x.finish())
}

/// DescribeInstanceTypeOfferings: every type in every zone.
pub fn offerings(ctx: &mut Ctx) -> Result<String> {
    let by = ctx.p.opt("LocationType").unwrap_or_else(|| "region".to_owned());
    let filters = Filters::read(&ctx.p)?;
    filters.check(&["instance-type", "location"])?;
    let places: Vec<String> = match by.as_str() {
        "region" => vec![ctx.cfg.region.clone()],
        "availability-zone" => ctx.cfg.zones.clone(),
        other => {
            return Err(ApiError::value(format!(
                "Value ({other}) for parameter locationType is invalid."
            )));
        }
    };
    let mut found = Vec::new();
    for t in &ctx.cfg.types {
        for place in &places {
            let hit = filters.matches(None, |f| {
                vec![if f == "location" { place.clone() } else { t.name.clone() }]
            });
            if hit {
                found.push((t.name.clone(), place.clone()));
            }
        }
    }
    let (found, next) = page(&ctx.p, found, false)?;
    let mut x = Xml::new();
    x.list("instanceTypeOfferingSet", "item", &found, |x, (t, place)| {
        x.text("instanceType", t)
            .text("locationType", &by)
            .text("location", place);
    });
    x.maybe("nextToken", next);
    Ok(x.finish())
}
