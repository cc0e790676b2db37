//! The ledger's second copy: which treasures a generation has brought back, kept sealed in the state bucket. The first copy
//! lives in the cluster and can be lost with it; together they keep a treasure from being restored over newer data.

use serde::{Deserialize, Serialize};
use skykeep_aws::Condition;
use skykeep_core::{Explained, Generation, Trouble};

use crate::{estate::Estate, lease, records};

/// A treasure that came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Format version; 1.
    pub v: u32,
    /// The treasure's name.
    pub treasure: String,
    /// Namespace of its claim.
    pub namespace: String,
    /// Its claim.
    pub claim: String,
    /// The claim's uid: one that was made anew has another.
    pub uid: String,
    /// From which backup and how much, in words.
    pub what: String,
    /// When, RFC 3339, by the clock of that laptop.
    pub at: String,
}

/// What is to be done about a treasure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It never came back here: restore it.
    Restore,
    /// It is back: leave it alone. Says whether the cluster's ledger has to be told, and whether the journal has.
    Back { tell_ledger: bool, tell_journal: bool },
    /// It came back into a claim that is not there any more.
    Gone,
}

/// Judges by both copies and by the claim that stands now. In doubt nothing is restored.
pub(crate) fn judge(journal: Option<&Restored>, ledger_done: bool, uid: Option<&str>) -> Verdict {
    match (journal, uid) {
        (Some(entry), uid) if uid != Some(entry.uid.as_str()) => Verdict::Gone,
        (None, None) if ledger_done => Verdict::Gone,
        (None, _) if !ledger_done => Verdict::Restore,
        (entry, _) => Verdict::Back {
            tell_ledger: !ledger_done,
            tell_journal: entry.is_none(),
        },
    }
}

/// Why a treasure whose claim was lost is not simply restored.
pub(crate) fn gone(treasure: &str, namespace: &str, claim: &str) -> Explained {
    Explained {
        what: format!("`{treasure}` is not restored by itself a second time"),
        why: format!(
            "it was restored into {namespace}/{claim} before, and that claim is gone or was made anew: whatever was written \
             to it since is newer than the backup. Pods that mount it are held"
        ),
        remedy: format!(
            "If the old volume can't be had back, restore the backup again on purpose: skykeep restore {treasure} --again {treasure}"
        ),
    }
}

fn name(estate: &Estate, generation: &Generation, treasure: &str) -> String {
    format!("{}/ledger/{generation}/{treasure}", estate.castle.name)
}

pub(crate) async fn read(estate: &Estate, treasure: &str) -> Result<Option<Restored>, Trouble> {
    records::read(estate, &name(estate, estate.generation.get()?, treasure)).await
}

pub(crate) async fn write(estate: &Estate, entry: &Restored) -> Result<(), Trouble> {
    let name = name(estate, estate.generation.get()?, &entry.treasure);
    records::must_write(estate, &name, entry, Condition::Always).await
}

pub(crate) async fn forget(estate: &Estate, treasure: &str) -> Result<(), Trouble> {
    let name = name(estate, estate.generation.get()?, treasure);
    Ok(estate.s3.delete(&name).await?)
}

/// What the castle's present generation has brought back of a treasure, if anything. Changes nothing.
pub async fn restored(estate: &Estate, treasure: &str) -> Result<Option<Restored>, Trouble> {
    match lease::peek(&*estate.s3, &estate.castle.name).await? {
        Some(found) => records::read(estate, &name(estate, &found.record.generation, treasure)).await,
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uid: &str) -> Restored {
        Restored {
            v: 1,
            treasure: "site".into(),
            namespace: "web".into(),
            claim: "site-content".into(),
            uid: uid.into(),
            what: "x".into(),
            at: "2026-11-24T00:00:00Z".into(),
        }
    }

    fn back(tell_ledger: bool, tell_journal: bool) -> Verdict {
        Verdict::Back {
            tell_ledger,
            tell_journal,
        }
    }

    #[test]
    fn a_treasure_that_never_came_back_is_restored() {
        assert_eq!(judge(None, false, None), Verdict::Restore);
        assert_eq!(judge(None, false, Some("a")), Verdict::Restore);
    }

    #[test]
    fn a_second_run_and_a_second_laptop_leave_it_alone() {
        assert_eq!(judge(Some(&entry("a")), true, Some("a")), back(false, false));
        assert_eq!(
            judge(None, true, Some("a")),
            back(false, true),
            "killed between ledger and journal"
        );
    }

    #[test]
    fn a_lost_ledger_is_written_again_and_nothing_is_restored() {
        assert_eq!(judge(Some(&entry("a")), false, Some("a")), back(true, false));
    }

    #[test]
    fn a_recreated_namespace_is_never_filled_by_itself() {
        for ledger_done in [true, false] {
            assert_eq!(judge(Some(&entry("a")), ledger_done, Some("b")), Verdict::Gone);
            assert_eq!(judge(Some(&entry("a")), ledger_done, None), Verdict::Gone);
        }
        assert_eq!(judge(None, true, None), Verdict::Gone);
        insta::assert_snapshot!(gone("site", "web", "site-content").to_string());
    }
}
