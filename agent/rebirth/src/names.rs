//! The castle's names: how they stood before the cutover and how it left them, kept sealed in the state bucket, and the way
//! back. Several zones are several transactions, in the order of the castle file.

use serde::{Deserialize, Serialize};
use skykeep_aws::{Condition, Put};
use skykeep_core::{
    Deadline, Explained, Generation, Progress, Trouble,
    castle::{Dns, KeyAlgorithm, Others},
};
use skykeep_dns::{Change, Record, Rfc2136, Undo, Zone, also_there, rfc2136::Algorithm};

use crate::{
    estate::Estate,
    keys::{self, OldKey},
    lease::{self, Phase},
    records, sealed,
};

/// Names of one zone and their records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) zone: String,
    pub(crate) state: Undo,
}

/// What is kept: one entry for each zone, in the castle file's order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Format version; 1.
    v: u32,
    pub(crate) zones: Vec<Names>,
}

impl Kept {
    pub(crate) fn new(zones: Vec<Names>) -> Self {
        Kept { v: 1, zones }
    }
}

/// Longer than a lease lives.
const WAIT: std::time::Duration = std::time::Duration::from_secs(200);
/// How the names stood when the generation's first run met them.
const BEFORE: &str = "dns-undo";
/// How the cutover left them, written before it is made.
pub(crate) const AFTER: &str = "dns-moved";

fn object(estate: &Estate, what: &str, generation: &Generation) -> String {
    format!("{}/{what}/{generation}", estate.castle.name)
}

/// The names of a zone that move: those listed and, when the owner wants it, all others that point to the same addresses.
pub(crate) fn moving(others: Others, listed: &[String], records: &[Record]) -> Vec<String> {
    let mut names = listed.to_vec();
    if others == Others::Move {
        names.extend(also_there(records, listed).into_iter().map(|r| r.name));
        names.sort();
        names.dedup();
    }
    names
}

/// Keeps how the names stand now, unless an earlier run of this generation has kept it. Gives what is kept.
pub(crate) async fn keep_before(estate: &Estate, now: Vec<Names>) -> Result<Kept, Trouble> {
    let name = object(estate, BEFORE, estate.generation.get()?);
    let kept = Kept::new(now);
    // The first one stays: a resumed run must not overwrite it with what the first run already changed.
    match records::write(estate, &name, &kept, Condition::Absent).await? {
        Put::Done { .. } => Ok(kept),
        _ => before(estate, estate.generation.get()?)
            .await?
            .ok_or_else(|| sealed::problem(&name, "it vanished while it was being kept").into()),
    }
}

/// How the names stood before this generation.
pub(crate) async fn before(estate: &Estate, generation: &Generation) -> Result<Option<Kept>, Trouble> {
    records::read(estate, &object(estate, BEFORE, generation)).await
}

/// Keeps how the names will stand when the cutover is done.
pub(crate) async fn keep_after(estate: &Estate, zones: Vec<Names>) -> Result<(), Trouble> {
    let name = object(estate, AFTER, estate.generation.get()?);
    records::must_write(estate, &name, &Kept::new(zones), Condition::Always).await
}

/// How an earlier cutover of this generation meant to leave the names.
pub(crate) async fn after(estate: &Estate, generation: &Generation) -> Result<Option<Kept>, Trouble> {
    records::read(estate, &object(estate, AFTER, generation)).await
}

/// What somebody has changed since this generation's cutover, a line each. Changes nothing.
pub(crate) async fn changed(estate: &Estate, generation: &Generation) -> Result<Vec<String>, Trouble> {
    let (Some(dns), Some(after)) = (&estate.castle.dns, after(estate, generation).await?) else {
        return Ok(Vec::new());
    };
    let mut lines = Vec::new();
    for zone in connect(estate, dns).await? {
        if let Some(left) = after.zones.iter().find(|z| z.zone == zone.name()) {
            lines.extend(left.state.changed_since(&zone.records().await?));
        }
    }
    Ok(lines)
}

/// Takes the records as they stand now for what an undo brings back, in place of what was kept. Gives them, a line each.
pub async fn keep_again(estate: &Estate) -> Result<Vec<String>, Trouble> {
    let Some(record) = lease::peek(&*estate.s3, &estate.castle.name).await?.map(|f| f.record) else {
        return Err(nothing("no generation of this castle was ever born").into());
    };
    if record.state == Phase::Destroyed {
        return Err(nothing("the castle was taken down").into());
    }
    let kept = before(estate, &record.generation).await?;
    let (Some(dns), Some(mut kept)) = (&estate.castle.dns, kept) else {
        return Err(nothing("this generation has kept no records").into());
    };
    let mut lines = Vec::new();
    for zone in connect(estate, dns).await? {
        let now = zone.records().await?;
        for names in kept.zones.iter_mut().filter(|z| z.zone == zone.name()) {
            names.state = Undo::of(&now, &names.state.names);
            let records = names.state.records.iter();
            lines.extend(records.map(|r| format!("{} {} {}", r.name, r.kind, r.content)));
        }
    }
    let deadline = Deadline::after(WAIT);
    let (lease, _) = estate.taker().take(deadline, &Progress::silent()).await?;
    let name = object(estate, BEFORE, &record.generation);
    let written = records::must_write(estate, &name, &kept, Condition::Always).await;
    let released = lease.release(None).await;
    written.and(released.map(|()| lines))
}

/// Connects to every zone of the castle file, in its order.
pub(crate) async fn connect(estate: &Estate, dns: &Dns) -> Result<Vec<Box<dyn Zone>>, Trouble> {
    let mut zones = Vec::new();
    if let Some(cloudflare) = &dns.cloudflare {
        let token = estate.secrets.get(&cloudflare.token)?;
        for (zone, _) in cloudflare.zones() {
            let api = skykeep_dns::Cloudflare::new(estate.http.clone(), token);
            zones.push(api.connect(zone).await?);
        }
    }
    if let Some(named) = &dns.rfc2136 {
        let algorithm = match named.algorithm {
            KeyAlgorithm::Sha256 => Algorithm::Sha256,
            KeyAlgorithm::Sha384 => Algorithm::Sha384,
            KeyAlgorithm::Sha512 => Algorithm::Sha512,
        };
        let secret = estate.secrets.get(&named.secret)?;
        let server = Rfc2136::new(&named.server, named.port, &named.key, algorithm, secret)?;
        zones.push(server.connect(&named.zone).await?);
    }
    Ok(zones)
}

/// The way back for one zone.
pub struct Way {
    zone: Box<dyn Zone>,
    change: Change,
    /// The change, a line each.
    pub lines: Vec<String>,
    /// What somebody else changed since the cutover, a line each.
    pub strange: Vec<String>,
}

impl Way {
    /// The zone's name.
    pub fn zone(&self) -> &str {
        self.zone.name()
    }
}

/// The way back for all zones.
pub struct WayBack {
    /// The generation whose cutover is undone.
    pub generation: Generation,
    /// Zone by zone, in the order in which they are written: the last that moved comes back first.
    pub zones: Vec<Way>,
    /// Keys that are given back to the old castle, after the names.
    keys: Vec<OldKey>,
}

impl WayBack {
    /// The keys that are given back, a name each.
    pub fn keys(&self) -> Vec<String> {
        self.keys.iter().map(OldKey::name).collect()
    }

    /// Whether every name already stands as before, and every key.
    pub fn already_done(&self) -> bool {
        self.keys.is_empty() && self.zones.iter().all(|z| z.change.already_done())
    }

    /// What somebody else changed since the cutover; empty when nobody did.
    pub fn strange(&self) -> Vec<String> {
        self.zones.iter().flat_map(|z| z.strange.clone()).collect()
    }
}

/// Plans how the names come back to how they stood before a generation; the castle's present one when none is named. Changes
/// nothing.
pub async fn way_back(estate: &Estate, generation: Option<Generation>) -> Result<WayBack, Trouble> {
    let generation = match generation {
        Some(named) => named,
        None => match lease::peek(&*estate.s3, &estate.castle.name).await? {
            Some(found) => found.record.generation,
            None => return Err(nothing("no generation of this castle was ever born").into()),
        },
    };
    let Some(dns) = &estate.castle.dns else {
        return Err(nothing("castle.yaml has no `dns`, so no name was ever moved").into());
    };
    let Some(before) = before(estate, &generation).await? else {
        return Err(nothing(&format!(
            "generation {generation} has kept no records: it never came near DNS"
        ))
        .into());
    };
    let after = after(estate, &generation).await?;
    let mut zones = Vec::new();
    for zone in connect(estate, dns).await? {
        let of = |kept: &Kept| {
            kept.zones
                .iter()
                .find(|z| z.zone == zone.name())
                .map(|z| z.state.clone())
        };
        let Some(before) = of(&before) else { continue };
        let now = zone.records().await?;
        let change = before.plan(&now);
        zones.push(Way {
            lines: change.lines(&now),
            strange: strange(&before, after.as_ref().and_then(of).as_ref(), &now),
            change,
            zone,
        });
    }
    zones.reverse();
    let keys = keys::taken(estate, &generation).await?;
    Ok(WayBack {
        generation,
        zones,
        keys,
    })
}

/// What stands in a zone and is neither how it was before nor how the cutover left it: somebody else's work, a line each.
pub(crate) fn strange(before: &Undo, after: Option<&Undo>, now: &[Record]) -> Vec<String> {
    let since_before = before.changed_since(now);
    // A batch is made whole or not at all, so only these two states are ours.
    match after {
        _ if since_before.is_empty() => since_before,
        Some(after) => after.changed_since(now),
        None => since_before,
    }
}

/// Makes the way back: under the castle's lease, one transaction for each zone.
pub async fn go_back(estate: &Estate, way: &WayBack) -> Result<(), Trouble> {
    let found = lease::peek(&*estate.s3, &estate.castle.name).await?;
    // A castle that was taken down has no run to keep away, and taking its lease would begin a new generation.
    let lease = match found {
        Some(found) if found.record.state != Phase::Destroyed => {
            let taker = estate.taker();
            Some(taker.take(Deadline::after(WAIT), &Progress::silent()).await?.0)
        }
        _ => None,
    };
    let done = async {
        for zone in &way.zones {
            let write = async { Ok(zone.zone.apply(&zone.change).await?) };
            match &lease {
                Some(lease) => lease.write("putting the DNS records back", write).await?,
                None => write.await?,
            }
        }
        keys::give_back(estate, &way.keys).await
    };
    let done = done.await;
    // Whether it went well or not: nobody has to wait for our lease.
    match lease {
        Some(lease) => done.and(lease.release(None).await),
        None => done,
    }
}

fn nothing(why: &str) -> Explained {
    Explained {
        what: "There is nothing to undo".into(),
        why: why.into(),
        remedy: "Look at the zone itself; `skykeep status` shows which generations there were.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: &str) -> Record {
        serde_json::from_value(
            serde_json::json!({"id": content, "name": "a.example", "type": "A", "content": content, "ttl": 60}),
        )
        .unwrap()
    }

    fn state(content: &str) -> Undo {
        Undo::of(&[record(content)], &["a.example".into()])
    }

    #[test]
    fn both_states_of_ours_are_expected_and_any_other_is_somebody_elses() {
        let (before, after) = (state("192.0.2.1"), state("203.0.113.1"));
        let judge = |after, now| strange(&before, after, &[record(now)]);
        assert!(judge(Some(&after), "192.0.2.1").is_empty() && judge(Some(&after), "203.0.113.1").is_empty());
        assert_eq!(judge(Some(&after), "198.51.100.7").len(), 2);
        assert_eq!(
            judge(None, "203.0.113.1").len(),
            2,
            "a cutover that was never planned did not write this"
        );
    }

    #[test]
    fn names_at_the_same_address_move_only_when_the_owner_wants_it() {
        let mut vpn = record("192.0.2.1");
        vpn.name = "vpn.example".into();
        let records = [record("192.0.2.1"), vpn];
        assert_eq!(moving(Others::Show, &["a.example".into()], &records), ["a.example"]);
        assert_eq!(
            moving(Others::Move, &["a.example".into()], &records),
            ["a.example", "vpn.example"]
        );
    }
}
