//! What the types alone can't say about a castle file.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::{Aws, Backup, Castle, Cloud, Hetzner, SecretRef};
use crate::explain::Explained;

/// Checks everything that needs more than one field, or a range.
pub(super) fn check(castle: &Castle) -> Result<(), Explained> {
    name(castle)?;
    networks(castle)?;
    nodes(castle)?;
    references(castle)?;
    treasures(castle)?;
    entry(castle)?;
    registries(castle)?;
    let one = |dns: &super::Dns| dns.cloudflare.is_some() != dns.rfc2136.is_some();
    ensure(
        castle.dns.as_ref().is_none_or(one),
        "dns",
        "it names no supplier, or two",
        "Name one: `dns.cloudflare` or `dns.rfc2136`.",
    )?;
    super::keys::check(castle)?;
    let commit = |text: &String| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    ensure(
        castle.gitops.revision.as_ref().is_none_or(commit),
        "gitops.revision",
        "it is no commit's full name",
        "Give all 40 hex digits (`git rev-parse`): Flux takes no shorter ones.",
    )?;
    let limit = castle.pulse.as_ref().map_or(5, |pulse| pulse.limit_minutes);
    ensure(
        (2..=60).contains(&limit),
        "pulse.limitMinutes",
        format!("{limit} is outside 2 to 60"),
        "The job writes once a minute, so a living castle's pulse may be a minute old; 5 without this field.",
    )?;
    ensure(
        (1..=240).contains(&castle.laptop.idle_minutes),
        "laptop.idleMinutes",
        format!("{} is outside 1 to 240", castle.laptop.idle_minutes),
        "Use the minutes that the passphrase prompt may stand unanswered; 15 without this field.",
    )?;
    let tag = castle.laptop.vlan.unwrap_or(1);
    ensure(
        (1..=4094).contains(&tag),
        "laptop.vlan",
        format!("{tag} is outside 1 to 4094"),
        "Use the VLAN's number, as the network's owner says it, or leave the field out for sockets without a tag.",
    )?;
    let country = castle.laptop.wifi_country.as_deref().unwrap_or("IT");
    ensure(
        country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase()),
        "laptop.wifiCountry",
        format!("{country} is not two capital letters"),
        "Use the code of ISO 3166, such as IT or DE, or leave the field out.",
    )
}

pub(super) fn bad(field: &str, why: impl Into<String>, remedy: impl Into<String>) -> Explained {
    Explained {
        what: format!("castle.yaml: `{field}` can't be used"),
        why: why.into(),
        remedy: remedy.into(),
    }
}

pub(super) fn ensure(
    ok: bool,
    field: &str,
    why: impl Into<String>,
    remedy: impl Into<String>,
) -> Result<(), Explained> {
    if ok { Ok(()) } else { Err(bad(field, why, remedy)) }
}

fn is_label(text: &str, longest: usize) -> bool {
    !text.is_empty()
        && text.len() <= longest
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn name(castle: &Castle) -> Result<(), Explained> {
    ensure(
        is_label(&castle.name, 20),
        "name",
        "a castle's name becomes part of the names of cloud resources",
        "Use 1 to 20 lower-case letters, digits and hyphens.",
    )
}

fn registries(castle: &Castle) -> Result<(), Explained> {
    let mut seen = BTreeSet::new();
    for registry in &castle.registries {
        let host = registry.host.as_str();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':');
        ensure(
            !host.is_empty() && host.bytes().all(plain) && seen.insert(host),
            "registries.host",
            format!("`{host}` is no host, or stands twice"),
            "Write the host as image names begin with it, once, for example docker.io.",
        )?;
        ensure(
            registry.username.is_some() == registry.password.is_some(),
            "registries.username",
            format!("of {host} only one of user name and password is given"),
            "Give both or none.",
        )?;
        ensure(
            registry.mirror.as_ref().is_none_or(|url| url.scheme() == "https"),
            "registries.mirror",
            format!("the mirror of {host} is not reached over HTTPS"),
            "Use an https:// address.",
        )?;
        ensure(
            registry.mirror.is_some() || registry.username.is_some(),
            "registries.host",
            format!("{host} has neither a mirror nor a login"),
            "Give one, or leave the registry out.",
        )?;
    }
    Ok(())
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn networks(castle: &Castle) -> Result<(), Explained> {
    let vpc = castle.cloud.range();
    let vpc_field = castle.cloud.field(castle.cloud.words().0);
    let pods = castle.cluster.pod_cidr;
    let services = castle.cluster.service_cidr;
    let nets = [
        (vpc_field.as_str(), vpc),
        ("cluster.podCidr", pods),
        ("cluster.serviceCidr", services),
    ];
    for (field, net) in nets {
        ensure(
            net.trunc() == net,
            field,
            format!("{net} has bits set behind its prefix"),
            format!("Write {} instead.", net.trunc()),
        )?;
    }
    ensure(
        (16..=20).contains(&vpc.prefix_len()),
        &vpc_field,
        format!("{vpc} is a /{}", vpc.prefix_len()),
        "Use a network of /16 to /20: each zone gets a 1/16 of it.",
    )?;
    ensure(
        pods.prefix_len() <= 20,
        "cluster.podCidr",
        format!("{pods} is too small for a /24 on each node"),
        "Use a /20 or larger, for example 10.244.0.0/16.",
    )?;
    for (i, (field_a, a)) in nets.iter().enumerate() {
        for (field_b, b) in nets.iter().skip(i + 1) {
            ensure(
                !overlap(a, b),
                field_b,
                format!("{b} overlaps `{field_a}` {a}"),
                "Choose three networks that have no address in common.",
            )?;
        }
    }
    Ok(())
}

fn nodes(castle: &Castle) -> Result<(), Explained> {
    let cloud = &castle.cloud;
    ensure(
        matches!(cloud.control_planes(), 1 | 3 | 5),
        &cloud.field("controlPlanes.count"),
        format!("{} control planes can't keep a quorum well", cloud.control_planes()),
        "Use 3 (or 1, or 5).",
    )?;
    ensure(
        (1..=50).contains(&cloud.workers()),
        &cloud.field("workers.count"),
        format!("{} workers are outside 1 to 50", cloud.workers()),
        "Use at least one worker: applications do not run on control planes.",
    )?;
    let (zones, word) = (cloud.zones(), cloud.words().1);
    ensure(
        (1..=6).contains(&zones.len()),
        &cloud.field(word),
        format!("{} {word} are listed", zones.len()),
        format!("List one to six {word}, three for three control planes."),
    )?;
    let distinct: BTreeSet<_> = zones.iter().collect();
    ensure(
        distinct.len() == zones.len(),
        &cloud.field(word),
        "one is listed twice",
        "List each once.",
    )?;
    for (group, types) in ["controlPlanes", "workers"].into_iter().zip(cloud.types()) {
        let all: BTreeSet<_> = types.iter().collect();
        ensure(
            all.len() == types.len(),
            &cloud.field(&format!("{group}.alternatives")),
            "a machine type is listed twice",
            "List each type once, the one you like best before the `alternatives`.",
        )?;
    }
    match cloud {
        Cloud::Aws(aws) => at_aws(aws),
        Cloud::Hetzner(hetzner) => at_hetzner(hetzner),
    }
}

fn at_aws(aws: &Aws) -> Result<(), Explained> {
    ensure(
        aws.image.starts_with("ami-") || aws.image.starts_with("ssm:/"),
        "cloud.aws.image",
        "it is no image id",
        "Use the `ami-...` of a stock Debian 12 image in your region, or `ssm:/aws/service/debian/release/12/latest/amd64`.",
    )?;
    ensure(
        !aws.control_planes.spot,
        "cloud.aws.controlPlanes.spot",
        "AWS may take spot machines away at any moment, all of them at once; etcd would be lost",
        "Use `spot: true` for workers only.",
    )?;
    let role = aws.assume_role.as_deref().unwrap_or("arn:aws:iam::1:role/x");
    ensure(
        role.starts_with("arn:aws") && role.contains(":iam::") && role.contains(":role/"),
        "cloud.aws.assumeRole",
        "it is no ARN of a role",
        "Write `arn:aws:iam::<account>:role/<name>`, as IAM shows it.",
    )
}

fn at_hetzner(hetzner: &Hetzner) -> Result<(), Explained> {
    let mut names = vec![
        ("networkZone", &hetzner.network_zone),
        ("loadBalancerType", &hetzner.load_balancer_type),
    ];
    names.extend(hetzner.locations.iter().map(|name| ("locations", name)));
    for group in [&hetzner.control_planes, &hetzner.workers] {
        names.push(("serverType", &group.server_type));
        names.extend(group.alternatives.iter().map(|name| ("alternatives", name)));
    }
    for (field, name) in names {
        ensure(
            is_label(name, 40),
            &format!("cloud.hetzner.{field}"),
            format!("`{name}` is no name that Hetzner gives"),
            "Hetzner's names are small letters, digits and hyphens: `eu-central`, `fsn1`, `cpx31`, `lb11`.",
        )?;
    }
    ensure(
        hetzner.image == "debian-12",
        "cloud.hetzner.image",
        format!("`{}` was never tried", hetzner.image),
        "Use `debian-12`, Hetzner's stock image.",
    )
}

fn references(castle: &Castle) -> Result<(), Explained> {
    let needs_infisical = castle
        .secret_refs()
        .iter()
        .any(|r| matches!(r, SecretRef::Infisical(_)));
    ensure(
        !needs_infisical || castle.secrets.infisical.is_some(),
        "secrets.infisical",
        "secrets are taken from Infisical, but no project is named",
        "Add `secrets.infisical`, or take those secrets from the vault.",
    )?;
    if let Some(infisical) = &castle.secrets.infisical {
        from_vault(
            "secrets.infisical.clientId",
            &infisical.client_id,
            "the key to Infisical",
        )?;
        from_vault(
            "secrets.infisical.clientSecret",
            &infisical.client_secret,
            "the key to Infisical",
        )?;
        ensure(
            infisical.url.scheme() == "https",
            "secrets.infisical.url",
            "it is not https",
            "Secrets travel over TLS only: use https://.",
        )?;
    }
    sops(castle)?;
    if let Some(copy) = &castle.vault.s3 {
        let what = "the key to the vault's copy";
        from_vault("vault.s3.accessKeyId", &copy.access_key_id, what)?;
        from_vault("vault.s3.secretAccessKey", &copy.secret_access_key, what)?;
    }
    ensure(
        castle.vault.url.as_ref().is_none_or(|url| url.scheme() == "https"),
        "vault.url",
        "it is not https",
        "Use an https:// address; a copy in a bucket goes into `vault.s3`.",
    )?;
    ensure(
        castle.gitops.url.scheme() == "https",
        "gitops.url",
        "it is not https",
        "Use the https:// URL of the repository and a token.",
    )
}

/// What is needed before any store is asked must lie in the vault itself.
fn from_vault(field: &str, reference: &SecretRef, what: &str) -> Result<(), Explained> {
    ensure(
        matches!(reference, SecretRef::Vault(_)),
        field,
        format!("{what} is needed before any other store is open"),
        "Take it from the vault: `vault:<path>`.",
    )
}

fn sops(castle: &Castle) -> Result<(), Explained> {
    let in_sops = |r: &SecretRef| matches!(r, SecretRef::Sops { .. });
    ensure(
        !in_sops(&castle.gitops.token),
        "gitops.token",
        "the key to the repository can't lie in the repository",
        "Take it from the vault or from Infisical.",
    )?;
    ensure(
        castle.secrets.sops.is_some() || !castle.secret_refs().iter().any(in_sops),
        "secrets.sops",
        "secrets are taken from SOPS files, but no age identity is named",
        "Add `secrets.sops: {ageIdentity: \"vault:<path>\"}`, or take those secrets from the vault.",
    )?;
    match &castle.secrets.sops {
        Some(sops) => from_vault("secrets.sops.ageIdentity", &sops.age_identity, "the age identity"),
        None => Ok(()),
    }
}

fn treasures(castle: &Castle) -> Result<(), Explained> {
    let mut names = BTreeSet::new();
    let mut claims = BTreeSet::new();
    for treasure in &castle.treasures {
        ensure(
            is_label(&treasure.name, 40),
            "treasures.name",
            format!("`{}` is no plain name", treasure.name),
            "Use lower-case letters, digits and hyphens.",
        )?;
        ensure(
            names.insert(&treasure.name),
            "treasures.name",
            format!("two treasures are called `{}`", treasure.name),
            "Give each its own name.",
        )?;
        ensure(
            claims.insert((&treasure.namespace, &treasure.claim)),
            "treasures.claim",
            format!("two treasures go into {}/{}", treasure.namespace, treasure.claim),
            "One claim receives one treasure.",
        )?;
        ensure(
            treasure.rpo_hours != Some(0) && (treasure.rpo_hours.is_some() || !treasure.strict_rpo),
            "treasures.rpoHours",
            format!(
                "`{}` has none that a backup's age could be compared with",
                treasure.name
            ),
            "Write the hours of work that may be lost at most, 1 or more; `strictRpo` needs them.",
        )?;
        ensure(
            treasure
                .budget_minutes
                .is_none_or(|minutes| (1..=1440).contains(&minutes)),
            "treasures.budgetMinutes",
            format!("that of `{}` is outside 1 to 1440", treasure.name),
            "Write the minutes that its restore is planned to take, a day at most.",
        )?;
        match treasure.backup() {
            Some(Backup::Restic(restic)) => ensure(
                restic.path.starts_with('/'),
                "treasures.restic.path",
                format!("`{}` is not absolute", restic.path),
                "Write the path as restic shows it in the snapshot, beginning with /.",
            )?,
            Some(Backup::Longhorn(longhorn)) => longhorn.check()?,
            Some(Backup::Postgres(postgres)) => postgres.check()?,
            None => {
                let several = treasure.restic.is_some() || treasure.longhorn.is_some();
                let why = if several {
                    "has several backups"
                } else {
                    "has no backup"
                };
                return Err(bad(
                    "treasures",
                    format!("the treasure `{}` {why}", treasure.name),
                    "Give it exactly one of `restic`, `longhorn` and `postgres`.",
                ));
            }
        }
    }
    Ok(())
}

fn entry(castle: &Castle) -> Result<(), Explained> {
    for port in &castle.entry.ports {
        ensure(
            (30000..=32767).contains(&port.node_port),
            "entry.ports.nodePort",
            format!("{} is outside Kubernetes' node port range", port.node_port),
            "Use a port from 30000 to 32767.",
        )?;
    }
    let ports: BTreeSet<_> = castle.entry.ports.iter().map(|p| p.port).collect();
    let node_ports: BTreeSet<_> = castle.entry.ports.iter().map(|p| p.node_port).collect();
    ensure(
        !castle.entry.ports.is_empty() && ports.len() == castle.entry.ports.len() && node_ports.len() == ports.len(),
        "entry.ports",
        "there is no port, or one is listed twice",
        "List each port once, for example {port: 443, nodePort: 30443}.",
    )?;
    for health in &castle.health {
        ensure(
            health.url.scheme() == "https" && health.url.host_str().is_some(),
            "health.url",
            format!("`{}` is no https URL", health.url),
            "Health is asked over HTTPS with the real name.",
        )?;
    }
    Ok(())
}
