//! Health through the real entry, and only then DNS.

use std::{net::IpAddr, sync::Arc, time::Duration};

use skykeep_core::{Deadline, Explained, Progress, Trouble, castle::Castle, poll, way::Way};
use skykeep_dns::{Expected, Undo, Zone, also_there, lower_ttl, plan, verify, verify_by_https};

use super::step;
use crate::{
    engine::Step,
    estate::Estate,
    health,
    lease::Phase,
    names::{self, Names},
};

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
    let mut end = vec!["cluster.whole", "cluster.guard"];
    if castle.pulse.is_some() {
        end.push("cluster.pulse");
    }
    if castle.dns.is_some() {
        steps.push(step(
            "dns.prepare",
            "undo record kept, TTL lowered",
            &["lease"],
            (2, 120),
            prepare,
        ));
        steps.push(super::fence::gate(castle));
        let keys = castle.old_castle.take_away.as_ref().map(|_| super::fence::keys());
        let last = keys.as_ref().map_or("dns.fence", |_| "dns.keys");
        steps.extend(keys);
        steps.push(step("dns.switch", "the names move", &[last], (2, 120), switch).once());
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

async fn prepare(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let Some(dns) = &estate.castle.dns else {
        return Ok("none".into());
    };
    let mut now = Vec::new();
    for (zone, (_, listed)) in estate.zones.get()?.iter().zip(dns.zones()) {
        let records = zone.records().await?;
        let names = names::moving(dns.others(), listed, &records);
        for other in also_there(&records, &names) {
            progress.note(format!(
                "{} {} {} points to the same place and is not listed: it stays",
                other.name, other.kind, other.content
            ));
        }
        now.push(Names {
            zone: zone.name().to_owned(),
            state: Undo::of(&records, &names),
        });
    }
    let kept = names::keep_before(&estate, now).await?;
    let mut count = 0;
    for zone in estate.zones.get()? {
        let before = of(&kept, &**zone)?;
        count += before.records.len();
        let lower = lower_ttl(&zone.records().await?, &before.names);
        let write = async { Ok(zone.apply(&lower).await?) };
        estate
            .lease
            .get()?
            .write("lowering the TTL of the DNS records", write)
            .await?;
    }
    Ok(format!("{count} records kept"))
}

/// What was kept of a zone.
fn of<'a>(kept: &'a names::Kept, zone: &dyn Zone) -> Result<&'a Undo, Trouble> {
    let found = kept.zones.iter().find(|z| z.zone == zone.name());
    let missing = || Explained {
        what: format!("The names of {} can't be moved", zone.name()),
        why: "the zone was added to castle.yaml after this generation's records were kept".into(),
        remedy: "Take it out of castle.yaml for this generation, or move it by hand.".into(),
    };
    Ok(found.map(|z| &z.state).ok_or_else(missing)?)
}

async fn switch(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let kept = names::before(&estate, estate.generation.get()?).await?;
    let Some(kept) = kept.filter(|_| estate.castle.dns.is_some()) else {
        return Ok("none".into());
    };
    // What an earlier run of ours wrote is not somebody else's work.
    let earlier = names::after(&estate, estate.generation.get()?).await?;
    let addresses = &estate.entry.get()?.addresses;
    let (mut changes, mut after, mut strange) = (Vec::new(), Vec::new(), Vec::new());
    for zone in estate.zones.get()? {
        let before = of(&kept, &**zone)?;
        let now = zone.records().await?;
        let change = plan(zone.name(), &now, &before.names, addresses)?;
        for line in change.notes.iter().cloned().chain(change.lines(&now)) {
            progress.note(line);
        }
        after.push(Names {
            zone: zone.name().to_owned(),
            state: before.after(&now, &change),
        });
        if !change.already_done() {
            strange.extend(names::strange(
                before,
                earlier.as_ref().map(|e| of(e, &**zone)).transpose()?,
                &now,
            ));
            changes.push((zone, change, before.names.len()));
        }
    }
    if !strange.is_empty() {
        return Err(changed(&strange).into());
    }
    if changes.is_empty() {
        return Ok("already there: nothing was written".into());
    }
    // Before the write: who undoes it must know what is ours, also when we die in the middle.
    names::keep_after(&estate, after).await?;
    let (mut moved, zones) = (0, changes.len());
    for (i, (zone, change, names)) in changes.into_iter().enumerate() {
        let write = async { Ok(zone.apply(&change).await?) };
        estate.lease.get()?.write("moving the DNS records", write).await?;
        moved += names;
        if zones > 1 {
            progress.note(format!("{} has moved, zone {} of {zones}", zone.name(), i + 1));
        }
    }
    Ok(format!("{moved} names in {zones} transactions, one for each zone"))
}

/// Somebody works in the zone: moving on would overwrite it.
fn changed(strange: &[String]) -> Explained {
    Explained {
        what: "The names were not moved: somebody has changed their records since this rebirth began".into(),
        why: strange.join("; "),
        remedy: "Find out who (the old castle may be awake and write them). Put them back as they were and start again; or, when \
            the change is right, `skykeep dns keep` takes it as what an undo brings back."
            .into(),
    }
}

async fn verified(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let kept = names::before(&estate, estate.generation.get()?).await?;
    let Some(kept) = kept.filter(|_| estate.castle.dns.is_some()) else {
        return Ok("none".into());
    };
    let addresses = &estate.entry.get()?.addresses;
    let deadline = Deadline::after(Duration::from_secs(590));
    for zone in estate.zones.get()? {
        let before = of(&kept, &**zone)?;
        let change = plan(zone.name(), &zone.records().await?, &before.names, addresses)?;
        let names: Vec<String> = before
            .names
            .iter()
            .filter(|n| !change.proxied.contains(n))
            .cloned()
            .collect();
        let expected = Expected {
            zone: zone.name(),
            names: &names,
            addresses,
        };
        // Where the way out is not straight, port 53 of IPv4 is not on it.
        if *estate.trust.way() == Way::default() {
            verify(&expected, &RESOLVERS, deadline, &progress).await?;
        } else {
            verify_by_https(&expected, &estate.http, deadline, &progress).await?;
        }
    }
    Ok("authoritative and public resolvers agree".into())
}

async fn alive(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    estate.lease.get()?.renew(Some(Phase::Alive)).await?;
    Ok(format!("generation {}", estate.generation.get()?))
}
