//! Where a commit stands in its branch's history, for people who have to trust it.

use std::fmt::Write;

use gix::{ObjectId, bstr::ByteSlice, revision::walk::Sorting, traverse::commit::simple::CommitTimeOrder};
use serde::Serialize;

/// How many of the commits between are told one by one.
const TOLD: usize = 5;
/// A subject that is longer is cut.
const SUBJECT: usize = 60;

/// A commit as people know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// 40 hex digits.
    pub id: String,
    /// When it was committed, `2026-12-01 03:20 UTC`.
    pub when: String,
    /// The first line of its message.
    pub subject: String,
}

/// How far a commit is from its branch's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Distance {
    /// The commit.
    pub at: Commit,
    /// The branch's head.
    pub head: Commit,
    /// How many commits the head has that the commit has not.
    pub further: usize,
    /// The newest of these, the head first.
    pub newest: Vec<Commit>,
}

impl Commit {
    /// `0123456789ab (2026-12-01 03:20 UTC, subject)`
    pub fn text(&self) -> String {
        let short = self.id.get(..12).unwrap_or(&self.id);
        format!("{short} ({}, {})", self.when, self.subject)
    }
}

impl Distance {
    /// A line for the commit, and lines for what the branch has since.
    pub fn text(&self) -> String {
        let mut out = self.at.text();
        if self.further == 0 {
            out.push_str(", the branch's head");
            return out;
        }
        let commits = if self.further == 1 { "commit" } else { "commits" };
        // Writing into a String can't fail.
        let _ = write!(out, "; the branch's head is {} {commits} further:", self.further);
        for commit in &self.newest {
            let _ = write!(out, "\n  {}", commit.text());
        }
        match self.further.saturating_sub(self.newest.len()) {
            0 => {}
            more => drop(write!(out, "\n  and {more} more")),
        }
        out
    }
}

/// Finds the wanted commit in the history of the repository's head; `None` when it is not there, as far as that was fetched.
pub(crate) fn find(
    repository: &gix::Repository,
    wanted: Option<&str>,
) -> Result<Option<(ObjectId, Distance)>, gix::Error> {
    let head = repository.head_id()?.detach();
    let at = match wanted.map(|w| ObjectId::from_hex(w.as_bytes())) {
        None => head,
        Some(Ok(id)) if is_before(repository, head, id)? => id,
        Some(_) => return Ok(None),
    };
    let mut distance = Distance {
        at: describe(repository, at)?,
        head: describe(repository, head)?,
        ..Distance::default()
    };
    // Newest first, so that those that are told are the last ones somebody made.
    let between = repository
        .rev_walk([head])
        .with_hidden([at])
        .sorting(Sorting::ByCommitTime(CommitTimeOrder::NewestFirst))
        .all()?;
    for commit in between {
        let id = commit?.id;
        if distance.further < TOLD {
            distance.newest.push(describe(repository, id)?);
        }
        distance.further += 1;
    }
    Ok(Some((at, distance)))
}

/// A commit that is merely there may be another branch's.
fn is_before(repository: &gix::Repository, head: ObjectId, wanted: ObjectId) -> Result<bool, gix::Error> {
    for commit in repository.rev_walk([head]).all()? {
        if commit?.id == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

fn describe(repository: &gix::Repository, id: ObjectId) -> Result<Commit, gix::Error> {
    let commit = repository.find_commit(id)?;
    let seconds = commit.time()?.seconds;
    let when = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let message = commit.message_raw()?;
    let line = message.lines().next().unwrap_or_default().to_str_lossy();
    // Whoever commits chooses these characters: none may move the cursor of a console.
    let subject = line.chars().filter(|c| !c.is_control()).take(SUBJECT).collect();
    Ok(Commit {
        id: id.to_string(),
        when: when.strftime("%F %H:%M UTC").to_string(),
        subject,
    })
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
