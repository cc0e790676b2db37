//! Health through the real entry, and only then DNS.

use std::{net::IpAddr, sync::Arc, time::Duration};

use skykeep_aws::Condition;
use skykeep_core::{Deadline, Progress, Trouble, castle::Castle, poll};
use skykeep_dns::{Expected, Undo, lower_ttl, plan, verify};

use super::step;
use crate::{engine::Step, estate::Estate, health, lease::Phase, sealed};

/// Public resolvers that must see the new addresses: Cloudflare's and Google's.
const RESOLVERS: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8)),
];

pub(super) fn steps(castle: &Castle) -> Vec<Step<Estate>> {
    let mut health_needs: Vec<String> = castle.treasures.iter().map(|t| format!("restore.{}", t.name)).collect();
    health_needs.extend(["flux.sync".into(), "entry.ready".into()]);
    let health_needs: Vec<&str> = health_needs.iter().map(String::as_str).collect();
    let mut steps = vec![step(
        "health",
        "the castle answers through its entry",
        &health_needs,
        (15, 900),
        healthy,
    )];
    let mut end = vec!["health", "apps", "node.sealed", "cluster.guard"];
    if castle.dns.is_some() {
        steps.push(step(
            "dns.prepare",
            "undo record kept, TTL lowered",
            &["lease"],
            (2, 120),
            prepare,
        ));
        steps.push(
            step(
                "dns.switch",
                "the names move",
                &["health", "dns.prepare"],
                (2, 120),
                switch,
            )
            .once(),
        );
        steps.push(step(
            "dns.verify",
            "every server says the new addresses",
            &["dns.switch"],
            (10, 600),
            verified,
        ));
        end.push("dns.verify");
    }
    steps.push(step("alive", "the castle is alive", &end, (1, 60), alive));
    steps
}

async fn healthy(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let entry = estate.entry.get()?;
    let deadline = Deadline::after(Duration::from_secs(880));
    let mut good = 0;
    for rule in &estate.castle.health {
        for address in &entry.addresses {
            poll(
                &format!("{} at {address}", rule.url),
                deadline,
                Duration::from_millis(500),
                || health::ask(&estate.trust, rule, Some((*address).into())),
            )
            .await?;
            good += 1;
        }
        progress.note(format!("{} is right at every address", rule.url));
    }
    Ok(format!("{good} answers, each as its owner wants it"))
}

async fn prepare(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let Some(dns) = &estate.castle.dns else {
        return Ok("none".into());
    };
    let zone = estate.zone.get()?;
    let records = zone.records().await?;
    let undo = Undo::of(&records, &dns.cloudflare.records);
    let name = format!("{}/dns-undo/{}", estate.castle.name, estate.generation.get()?);
    let plain = serde_json::to_vec(&undo).unwrap_or_default();
    let key = skykeep_vault::derive_lasting(estate.vault.root(), "journal");
    // The first one stays: a resumed run must not overwrite it with what the first run already changed.
    let _kept_already = estate
        .s3
        .put(&name, sealed::seal(&key, &name, &plain)?, Condition::Absent)
        .await?;
    let lower = lower_ttl(&records, &dns.cloudflare.records);
    let write = async { Ok(zone.apply(&lower).await?) };
    estate
        .lease
        .get()?
        .write("lowering the TTL of the DNS records", write)
        .await?;
    Ok(format!("{} records kept", undo.records.len()))
}

async fn switch(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let Some(dns) = &estate.castle.dns else {
        return Ok("none".into());
    };
    let zone = estate.zone.get()?;
    let addresses = &estate.entry.get()?.addresses;
    let change = plan(
        &dns.cloudflare.zone,
        &zone.records().await?,
        &dns.cloudflare.records,
        addresses,
    )?;
    for note in &change.notes {
        progress.note(note.clone());
    }
    if change.already_done() {
        return Ok("already there: nothing was written".into());
    }
    let write = async { Ok(zone.apply(&change).await?) };
    estate.lease.get()?.write("moving the DNS records", write).await?;
    Ok(format!("{} names in one batch", dns.cloudflare.records.len()))
}

async fn verified(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let Some(dns) = &estate.castle.dns else {
        return Ok("none".into());
    };
    let addresses = &estate.entry.get()?.addresses;
    let change = plan(
        &dns.cloudflare.zone,
        &estate.zone.get()?.records().await?,
        &dns.cloudflare.records,
        addresses,
    )?;
    let names: Vec<String> = dns
        .cloudflare
        .records
        .iter()
        .filter(|n| !change.proxied.contains(n))
        .cloned()
        .collect();
    let expected = Expected {
        zone: &dns.cloudflare.zone,
        names: &names,
        addresses,
    };
    verify(
        &expected,
        &RESOLVERS,
        Deadline::after(Duration::from_secs(590)),
        &progress,
    )
    .await?;
    Ok("authoritative and public resolvers agree".into())
}

async fn alive(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    estate.lease.get()?.renew(Some(Phase::Alive)).await?;
    Ok(format!("generation {}", estate.generation.get()?))
}
