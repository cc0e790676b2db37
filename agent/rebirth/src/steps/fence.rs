//! Is the old castle dead? Looked at before anything is made, and decided at the last moment before the names move.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use skykeep_core::{Deadline, Generation, Progress, Trouble, castle::Castle, deadline::Look, poll};
use skykeep_dns::{Record, Undo};

use super::step;
use crate::{
    engine::Step,
    error::RebirthError,
    estate::Estate,
    keys::{self, Switch},
    lease::{self, Phase},
    names,
    pulse::{self, Facts, Sign, Target, Verdict, judge},
};

/// How often a young pulse is looked at again.
const LOOK: Duration = Duration::from_secs(5);
/// More than one look takes, with every address silent and a slow bucket.
const SLACK: Duration = Duration::from_secs(60);

pub(super) fn check() -> Step<Estate> {
    let title = "whether the old castle lives";
    step("check.pulse", title, &["check.dns"], (4, 60), look)
}

pub(super) fn gate(castle: &Castle) -> Step<Estate> {
    let deadline = (limit(castle) + SLACK).as_secs();
    let needs = ["health", "dns.prepare"];
    step("dns.fence", "the old castle is silent", &needs, (4, deadline), decide)
}

/// Looks at the old castle's keys before anything is made.
pub(super) fn check_keys() -> Step<Estate> {
    let title = "the old castle's keys, which it will lose";
    step("check.keys", title, &[], (2, 60), look_at_keys)
}

/// Takes from the old castle what it could write with, should it wake up where nobody reaches it.
pub(super) fn keys() -> Step<Estate> {
    step(
        "dns.keys",
        "the old castle's keys are switched off",
        &["dns.fence"],
        (2, 120),
        take_keys,
    )
}

fn limit(castle: &Castle) -> Duration {
    let minutes = castle.pulse.as_ref().map_or(5, |pulse| pulse.limit_minutes);
    Duration::from_secs(u64::from(minutes) * 60)
}

/// The castle that the names point to, as far as it can be asked.
pub(crate) struct Old {
    me: Option<Generation>,
    targets: BTreeSet<Target>,
    /// Who gave which pulse when we looked first.
    first: Mutex<Option<BTreeMap<String, String>>>,
}

impl Old {
    /// Finds out where it would be. `None` when no name moves, or all have moved to this generation.
    pub(crate) async fn find(estate: &Estate) -> Result<Option<Self>, Trouble> {
        let Some(dns) = &estate.castle.dns else {
            return Ok(None);
        };
        if estate.zones.get().is_err() {
            estate.zones.give(names::connect(estate, dns).await?);
        }
        let stands = lease::peek(&*estate.s3, &estate.castle.name).await?;
        let me = stands
            .filter(|f| f.record.state != Phase::Destroyed)
            .map(|f| f.record.generation);
        let (before, after) = match &me {
            Some(me) => (names::before(estate, me).await?, names::after(estate, me).await?),
            None => (None, None),
        };
        let of = |kept: &Option<names::Kept>, zone: &str| {
            let zones = kept.iter().flat_map(|k| k.zones.iter());
            zones.into_iter().find(|z| z.zone == zone).map(|z| z.state.clone())
        };
        let (mut targets, mut moved) = (BTreeSet::new(), true);
        for (zone, (_, listed)) in estate.zones.get()?.iter().zip(dns.zones()) {
            let now = zone.records().await?;
            moved &= of(&after, zone.name()).is_some_and(|after| after.changed_since(&now).is_empty());
            let kept = of(&before, zone.name());
            let kept = kept.unwrap_or_else(|| Undo::of(&now, &names::moving(dns.others(), listed, &now)));
            targets.extend(behind(estate, &kept, &now));
        }
        let first = Mutex::new(None);
        Ok((!moved).then_some(Old { me, targets, first }))
    }

    /// Looks once, at everything at the same time.
    pub(crate) async fn judge(&self, estate: &Estate) -> Result<Verdict, Trouble> {
        let targets: Vec<Target> = self.targets.iter().cloned().collect();
        let (signs, answers) = tokio::join!(pulse::signs(estate, self.me), pulse::knock(&estate.trust, &targets));
        let signs = signs?;
        let facts = Facts {
            renewed: self.renewed(&signs),
            signs,
            answers,
        };
        Ok(judge(&facts, limit(&estate.castle), estate.castle.old_castle.pulse))
    }

    fn renewed(&self, signs: &[Sign]) -> BTreeSet<String> {
        let now: BTreeMap<String, String> = signs.iter().map(|s| (s.who.clone(), s.tag.clone())).collect();
        let Ok(mut first) = self.first.lock() else {
            return BTreeSet::new();
        };
        let before = first.get_or_insert_with(|| now.clone());
        let new = now.iter().filter(|(who, tag)| before.get(*who) != Some(*tag));
        new.map(|(who, _)| who.clone()).collect()
    }
}

/// Where the kept records lead, but for our own entry.
fn behind(estate: &Estate, kept: &Undo, now: &[Record]) -> Vec<Target> {
    let own = estate.entry.get().map(|e| e.addresses.as_slice()).unwrap_or_default();
    let mut targets = Vec::new();
    for (address, names) in skykeep_dns::addresses(kept, now) {
        if own.iter().all(|o| IpAddr::V4(*o) != address) {
            targets.extend(
                names
                    .iter()
                    .filter_map(|name| Target::of(&estate.castle, name, address)),
            );
        }
    }
    targets
}

async fn look(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let Some(old) = Old::find(&estate).await? else {
        return Ok("the names are here".into());
    };
    for sign in pulse::signs(&estate, old.me).await? {
        if let Some(testament) = sign.testament {
            progress.note(format!("castle {} last said: {}", sign.who, testament.text()));
        }
    }
    let castle = &estate.castle.name;
    let said = match old.judge(&estate).await? {
        Verdict::Silent(why) => return Ok(format!("silent: {why}")),
        Verdict::Watch(_, seen) => format!("{seen}; should another come, the names will not move"),
        Verdict::Lives(why) => format!("THE OLD CASTLE LIVES, so the names will not move: {why}"),
        Verdict::Unknown(why) => format!(
            "{why}; so the names will not move before somebody says that it is dead: `--old-castle-is-dead {castle}`, or \
             `oldCastle: {{pulse: none}}` in castle.yaml"
        ),
    };
    progress.note(said.clone());
    Ok(said)
}

/// Lets the names go only when the old castle is silent, or somebody has said so.
async fn decide(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let Some(old) = Old::find(&estate).await? else {
        return Ok("the names are here".into());
    };
    let castle = estate.castle.name.clone();
    let deadline = Deadline::after(limit(&estate.castle) + SLACK / 2);
    poll("the old castle to be surely silent", deadline, LOOK, || async {
        if estate.is_said_dead() {
            return Ok(Look::Ready("somebody has said that it is dead".to_owned()));
        }
        match old.judge(&estate).await? {
            Verdict::Silent(why) => Ok(Look::Ready(why)),
            Verdict::Watch(left, seen) => Ok(Look::NotYet(format!(
                "{seen}; {} s more without another",
                left.as_secs()
            ))),
            Verdict::Lives(why) => Err(RebirthError::OldCastleLives {
                castle: castle.clone(),
                why,
            }
            .into()),
            Verdict::Unknown(why) => Err(RebirthError::OldCastleUnknown {
                castle: castle.clone(),
                why,
            }
            .into()),
        }
    })
    .await
}

async fn look_at_keys(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let Some(switch) = Switch::of(&estate)? else {
        return Ok("none".into());
    };
    switch.spare_our_own(&estate).await?;
    let seen = switch.look().await?;
    for key in &seen {
        progress.note(format!("before the names move the old castle loses its {}", key.name()));
    }
    Ok(format!("{} that can be switched off", seen.len()))
}

async fn take_keys(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    Ok(match keys::take(&estate, &progress).await? {
        0 => "they were off already".into(),
        taken => format!("{taken} switched off; `skykeep dns undo` gives them back"),
    })
}
