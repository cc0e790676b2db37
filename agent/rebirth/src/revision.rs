//! Which commit of the repository a castle is reborn from. Decided without I/O in [`choose`].
//!
//! The last one at which the castle before was all green, as its pulse said: what its branch has since, nobody has seen work.

use std::time::Duration;

use serde::Serialize;
use skykeep_core::{Deadline, Explained, Trouble, castle::RebornFrom};
use skykeep_gitops::{Distance, GitopsError, Repository};

use crate::{
    error::RebirthError,
    estate::Estate,
    journal::{self, Chosen, Entries},
    lease::{self, Phase},
    pulse::{self, Sign},
};

const FETCH: Duration = Duration::from_secs(150);

/// The commit that a castle is reborn from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Revision {
    /// Why this one.
    pub because: String,
    /// Which, and how far from the branch's head.
    pub distance: Distance,
    /// Whether somebody has asked for it: then it also replaces what the journal says.
    #[serde(skip)]
    pub(crate) asked: bool,
}

impl Revision {
    /// For people: a line, and lines for what the branch has since.
    pub fn text(&self) -> String {
        format!("{}: {}", self.because, self.distance.text())
    }

    pub(crate) fn chosen(&self) -> Chosen {
        Chosen {
            commit: self.distance.at.id.clone(),
            because: self.because.clone(),
        }
    }
}

/// Why a commit was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Because {
    /// The castle follows its branch again.
    GivenBack,
    /// castle.yaml names it.
    Named,
    /// Somebody wants the head.
    Asked(&'static str),
    /// Runs before this one took it.
    Journal(String),
    /// A castle was all green at it.
    Green(String),
    /// No castle has ever said one.
    NeverSaid,
}

impl Because {
    fn text(&self) -> String {
        match self {
            Because::GivenBack => "the castle was given back to Git and follows its branch".into(),
            Because::Named => "castle.yaml names this commit (`gitops.revision`)".into(),
            Because::Asked(by) => format!("{by} asks for the branch's head"),
            // Told once, not once more for each run.
            Because::Journal(first) => first.clone(),
            Because::Green(who) => format!("the last commit at which castle {who} was all green"),
            Because::NeverSaid => {
                "the branch's head, because no castle has ever said at which commit it was all green".into()
            }
        }
    }
}

/// What the choice depends on.
struct Facts<'a> {
    /// `gitops.revision`.
    named: Option<&'a str>,
    /// `--head`, or typed when asked.
    head: bool,
    /// `gitops.from`.
    from: RebornFrom,
    /// The journal of the generation that stands.
    journal: Option<&'a Entries>,
    /// What other castles said.
    signs: &'a [Sign],
}

/// The commit, `None` for the branch's head, and why.
fn choose(facts: &Facts<'_>) -> (Option<String>, Because) {
    if facts.journal.is_some_and(|j| j.given_back) {
        return (None, Because::GivenBack);
    }
    if let Some(named) = facts.named {
        return (Some(named.to_owned()), Because::Named);
    }
    if facts.head {
        return (None, Because::Asked("`--head`"));
    }
    if let Some(chosen) = facts.journal.and_then(|j| j.revision.as_ref()) {
        return (Some(chosen.commit.clone()), Because::Journal(chosen.because.clone()));
    }
    if facts.from == RebornFrom::Head {
        return (None, Because::Asked("castle.yaml (`gitops.from`)"));
    }
    let green = |sign: &Sign| {
        Some((
            sign.age,
            sign.who.clone(),
            sign.testament.as_ref()?.commit()?.to_owned(),
        ))
    };
    match facts.signs.iter().filter_map(green).min() {
        Some((_, who, commit)) => (Some(commit), Because::Green(who)),
        None => (None, Because::NeverSaid),
    }
}

/// Reads the repository at the commit of this rebirth, once.
pub(crate) async fn read(estate: &Estate) -> Result<&Repository, Trouble> {
    if estate.repository.get().is_err() {
        let (wanted, because) = look(estate).await?;
        let gitops = &estate.castle.gitops;
        let token = estate.secrets.get(&gitops.token)?;
        let fetched = skykeep_gitops::fetch(gitops, wanted.as_deref(), token, &estate.trust, Deadline::after(FETCH));
        let fetched = match (fetched.await, &because) {
            (Err(GitopsError::NotOnBranch { revision, branch, .. }), Because::Green(_) | Because::Journal(_)) => {
                estate.revision_is_gone();
                let because = because.text();
                return Err(RebirthError::RevisionGone {
                    revision,
                    branch,
                    because,
                }
                .into());
            }
            (fetched, _) => fetched?,
        };
        estate.revision.give(Revision {
            asked: matches!(because, Because::Named | Because::Asked(_)),
            because: because.text(),
            distance: fetched.distance,
        });
        estate.repository.give(fetched.repository);
    }
    Ok(estate.repository.get()?)
}

/// Collects what the choice depends on, and chooses.
async fn look(estate: &Estate) -> Result<(Option<String>, Because), Trouble> {
    let castle = &estate.castle;
    let found = lease::peek(&*estate.s3, &castle.name).await?;
    let me = found
        .filter(|f| f.record.state != Phase::Destroyed)
        .map(|f| f.record.generation);
    let journal = match &me {
        Some(me) => {
            let key = journal::key(&castle.name, me);
            Some(journal::read(&*estate.s3, &key, &estate.journal_key()).await?.0)
        }
        None => None,
    };
    let signs = pulse::signs(estate, me).await?;
    Ok(choose(&Facts {
        named: castle.gitops.revision.as_deref(),
        head: estate.wants_head(),
        from: castle.gitops.from,
        journal: journal.as_ref(),
        signs: &signs,
    }))
}

/// Keeps the choice in the journal, so that every later run of this generation makes the same.
pub(crate) async fn keep(estate: &Estate) -> Result<(), Trouble> {
    // Runs that read no repository have made no choice.
    let Ok(revision) = estate.revision.get() else {
        return Ok(());
    };
    let chosen = revision.chosen();
    let kept = estate.journal.get()?.update(|entries| {
        let other = entries
            .revision
            .as_ref()
            .filter(|r| r.commit != chosen.commit && !revision.asked);
        let other = other.cloned();
        if other.is_none() && !entries.given_back {
            entries.revision = Some(chosen.clone());
        }
        other
    });
    match kept.await? {
        None => Ok(()),
        // It was written between our look and our lease.
        Some(other) => Err(Explained {
            what: "Another run of this generation has chosen another commit meanwhile".into(),
            why: format!(
                "it is reborn from {}, and this run has read {}",
                other.commit, chosen.commit
            ),
            remedy: "Start again: it goes on from here, with that commit.".into(),
        }
        .into()),
    }
}

#[cfg(test)]
#[path = "revision_tests.rs"]
mod tests;
