//! The pulse: the sign of life that a castle writes to the state bucket once a minute, and what a rebirth reads from those of
//! other castles before it moves the names.
//!
//! How old a pulse is, is told by the store's own clock alone (`Date` less `Last-Modified`): the writer's clock may be wrong,
//! and a copied object must not make a dead castle young or a living one old.

mod fence;
mod judge;
mod pen;
mod probe;

use serde::{Deserialize, Serialize};
use skykeep_aws::{Condition, S3};
use skykeep_core::{Generation, Secret, Trouble};

use crate::{estate::Estate, sealed};

pub use fence::{Stop, must_stop};
pub use judge::{Answer, Facts, Sign, Verdict, judge};
pub use pen::{KEYS, Pen, SPEC, Spec};
pub use probe::{Target, knock};

/// More signs than castles anybody has; an endless listing must not keep us for ever.
const MOST: usize = 100;

/// What a castle says of itself. Sealed with a key that opens nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Format version; 1.
    pub v: u32,
    /// How the castle stands to its names.
    #[serde(default)]
    pub stance: Stance,
    /// What stood there when its API answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub testament: Option<Testament>,
}

/// How a castle that gives a pulse stands to its names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stance {
    /// It may have them.
    #[default]
    Holds,
    /// It has stopped its writers for a newer castle.
    SteppedBack,
    /// It was taken down on purpose; this is its last pulse.
    TakenDown,
}

/// What a castle is made of while it is well: what a rebirth would want to know when it is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testament {
    /// Version of Kubernetes.
    pub kubernetes: String,
    /// The last revision at which every Kustomization of Flux was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub green: Option<String>,
    /// Its claims.
    #[serde(default)]
    pub claims: Vec<Claim>,
}

/// A claim and how large it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// `namespace/name`.
    pub name: String,
    /// As Kubernetes says it, `10Gi`.
    pub size: String,
}

impl Testament {
    /// The commit of the green revision, as Flux writes it: `main@sha1:<40 hex digits>`. `None` when it is not Git's.
    pub fn commit(&self) -> Option<&str> {
        let (_, commit) = self.green.as_deref()?.rsplit_once("sha1:")?;
        (commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit())).then_some(commit)
    }

    /// One line.
    pub fn text(&self) -> String {
        let green = self.green.as_deref().unwrap_or("no revision was ever all green");
        format!(
            "Kubernetes {}, last all-green revision {green}, {} claims",
            self.kubernetes,
            self.claims.len()
        )
    }
}

/// Where all pulses of a castle lie.
fn folder(castle: &str) -> String {
    format!("{castle}/pulse/")
}

/// Where the pulse of one lies: a generation, or the name that a castle which Skykeep did not make was given.
fn object(castle: &str, who: &str) -> String {
    format!("{}{who}", folder(castle))
}

/// Every sign of life of this castle but that of `me`.
pub(crate) async fn signs(estate: &Estate, me: Option<Generation>) -> Result<Vec<Sign>, Trouble> {
    let castle = &estate.castle.name;
    let (folder, me) = (folder(castle), me.map(|g| g.to_string()));
    let mut signs = Vec::new();
    for entry in estate.s3.list(&folder).await?.into_iter().take(MOST) {
        let Some(who) = entry
            .key
            .strip_prefix(&folder)
            .filter(|who| Some(*who) != me.as_deref())
        else {
            continue;
        };
        let Some(object) = estate.s3.get(&entry.key).await? else {
            continue;
        };
        // What can't be opened was written by somebody all the same: its age counts.
        let record = open(&estate.pulse_key(), &entry.key, &object.bytes).unwrap_or_default();
        signs.push(Sign {
            who: who.to_owned(),
            age: object.age.unwrap_or_default(),
            tag: object.etag,
            stance: record.stance,
            testament: record.testament,
        });
    }
    Ok(signs)
}

/// The claims of the castle that said last what it is made of, this one too, as `<namespace>/<name>`, and who that is.
pub async fn last_claims(estate: &Estate) -> Result<Option<(String, Vec<String>)>, Trouble> {
    let signs = signs(estate, None).await?.into_iter();
    let said = signs.filter_map(|sign| Some((sign.age, sign.who, sign.testament?)));
    let last = said.min_by_key(|(age, ..)| *age);
    Ok(last.map(|(_, who, testament)| (who, testament.claims.into_iter().map(|c| c.name).collect())))
}

/// Says that a generation was taken down, so that nobody waits for its pulse to get old.
pub(crate) async fn end(estate: &Estate, generation: &Generation) -> Result<(), Trouble> {
    let castle = &estate.castle.name;
    let name = object(castle, &generation.to_string());
    let Some(object) = estate.s3.get(&name).await? else {
        return Ok(());
    };
    // The next rebirth wants to know at which revision it was well.
    let last = open(&estate.pulse_key(), &name, &object.bytes).and_then(|record| record.testament);
    let record = Record {
        v: 1,
        stance: Stance::TakenDown,
        testament: last,
    };
    write(&estate.s3, &estate.pulse_key(), &name, &record).await
}

async fn write(s3: &S3, key: &Secret, name: &str, record: &Record) -> Result<(), Trouble> {
    let plain = serde_json::to_vec(record).map_err(|e| sealed::problem(name, &e.to_string()))?;
    let sealed = sealed::seal(key, name, &plain)?;
    // Nobody else writes this object: the newest one counts.
    match s3.put(name, sealed, Condition::Always).await? {
        skykeep_aws::Put::Done { .. } => Ok(()),
        other => Err(sealed::problem(name, &format!("the bucket answered {other:?}")).into()),
    }
}

fn open(key: &Secret, name: &str, bytes: &[u8]) -> Option<Record> {
    let plain = sealed::open(key, name, bytes).ok()?;
    serde_json::from_slice(&plain).ok()
}
