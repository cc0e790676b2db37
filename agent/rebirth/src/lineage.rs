//! The lineage of a database: which generation archived where, kept sealed in the state bucket. A castle file that was never
//! updated still leads to the newest data: a restore follows the lineage's head, and a reborn database archives to a path of its own.

use serde::{Deserialize, Serialize};
use skykeep_aws::Condition;
use skykeep_core::{Generation, Trouble};

use crate::{estate::Estate, records};

/// All that is known of a treasure's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Format version; 1.
    v: u32,
    /// Databases that came back and archive (or archived) on their own, the last one at the end.
    pub links: Vec<Link>,
    /// A restore that was begun and whose end is not known yet.
    pub begun: Option<Begun>,
}

/// A database that came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The generation that brought it back.
    pub generation: String,
    /// The repository's path that it archives to.
    pub path: String,
    /// The claim's uid.
    pub uid: String,
    /// Its first backup there.
    pub backup: String,
    /// The last WAL segment there when it was handed over.
    pub last_wal: String,
    /// When, RFC 3339, by the clock of that laptop.
    pub at: String,
}

/// A restore on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The generation.
    pub generation: String,
    /// The path that its database will archive to.
    pub path: String,
}

/// What is to be done for a generation.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// It is back and archives: only the ledger was not told.
    Finish,
    /// Restore it from `source`; it will archive to `archive`.
    Restore {
        /// The path to restore from.
        source: String,
        /// The path to archive to.
        archive: String,
    },
}

impl Default for Lineage {
    fn default() -> Self {
        Lineage {
            v: 1,
            links: Vec::new(),
            begun: None,
        }
    }
}

impl Lineage {
    /// The path that holds the newest data: the last link's, else the castle file's.
    pub fn head<'a>(&'a self, castle: &'a str) -> &'a str {
        self.links.last().map_or(castle, |link| &link.path)
    }

    /// What a run of this generation has to do for the claim with this uid. `again`: its owner wants a second restore.
    pub fn next(&self, castle: &str, generation: &str, uid: Option<&str>, again: bool) -> Next {
        let source = self.head(castle).to_owned();
        let begun = self.begun.as_ref().filter(|b| b.generation == generation);
        if let Some(begun) = begun {
            let archive = begun.path.clone();
            return Next::Restore { source, archive };
        }
        let last = self.links.last().filter(|l| l.generation == generation);
        if last.is_some_and(|l| Some(l.uid.as_str()) == uid) && !again {
            return Next::Finish;
        }
        let taken = |path: &str| self.links.iter().any(|l| l.path == path);
        let mut archive = format!("{castle}/{generation}");
        let mut number = 1;
        while taken(&archive) {
            number += 1;
            archive = format!("{castle}/{generation}-{number}");
        }
        Next::Restore { source, archive }
    }
}

fn name(castle: &str, treasure: &str) -> String {
    format!("{castle}/lineage/{treasure}")
}

/// The lineage of a treasure. One that can't be opened is an error: the castle file's path may be generations old.
pub async fn read(estate: &Estate, treasure: &str) -> Result<Lineage, Trouble> {
    let found = records::read(estate, &name(&estate.castle.name, treasure)).await?;
    Ok(found.unwrap_or_default())
}

pub(crate) async fn write(estate: &Estate, treasure: &str, lineage: &Lineage) -> Result<(), Trouble> {
    // Only who holds the lease writes it, and it was renewed for this step.
    estate.lease.get()?.renew(None).await?;
    records::must_write(estate, &name(&estate.castle.name, treasure), lineage, Condition::Always).await
}

/// The generation's own link, when it has one.
pub(crate) fn own<'a>(lineage: &'a Lineage, generation: &Generation) -> Option<&'a Link> {
    lineage.links.iter().rfind(|l| l.generation == generation.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(generation: &str, path: &str) -> Link {
        Link {
            generation: generation.into(),
            path: path.into(),
            uid: "u".into(),
            backup: "b".into(),
            last_wal: "w".into(),
            at: "2026-11-30T00:00:00Z".into(),
        }
    }

    fn restore(source: &str, archive: &str) -> Next {
        Next::Restore {
            source: source.into(),
            archive: archive.into(),
        }
    }

    #[test]
    fn three_rebirths_from_one_castle_file_follow_one_another() {
        let mut lineage = Lineage::default();
        let mut source = "repo".to_owned();
        for generation in ["A", "B", "C"] {
            let archive = format!("repo/{generation}");
            assert_eq!(
                lineage.next("repo", generation, None, false),
                restore(&source, &archive)
            );
            lineage.links.push(link(generation, &archive));
            source = archive;
        }
        assert_eq!(lineage.head("repo"), "repo/C");
    }

    #[test]
    fn a_run_that_was_killed_goes_on_with_the_same_path() {
        let mut lineage = Lineage::default();
        lineage.links.push(link("A", "repo/A"));
        let begun = |generation: &str, path: &str| {
            Some(Begun {
                generation: generation.into(),
                path: path.into(),
            })
        };
        lineage.begun = begun("B", "repo/B");
        assert_eq!(lineage.next("repo", "B", None, false), restore("repo/A", "repo/B"));
        // The next generation does not care where a dead one stood: that one never was on the line.
        assert_eq!(lineage.next("repo", "C", None, false), restore("repo/A", "repo/C"));
        // A second restore that was killed is not taken for the first one's end.
        lineage.begun = begun("A", "repo/A-2");
        assert_eq!(
            lineage.next("repo", "A", Some("u"), false),
            restore("repo/A", "repo/A-2")
        );
    }

    #[test]
    fn killed_between_lineage_and_ledger_nothing_is_restored_twice() {
        let mut lineage = Lineage::default();
        lineage.links.push(link("A", "repo/A"));
        assert_eq!(lineage.next("repo", "A", Some("u"), false), Next::Finish);
        // Another claim, or an owner who wants it: from its own archive, to a path that nobody used.
        assert_eq!(
            lineage.next("repo", "A", Some("v"), false),
            restore("repo/A", "repo/A-2")
        );
        assert_eq!(
            lineage.next("repo", "A", Some("u"), true),
            restore("repo/A", "repo/A-2")
        );
    }
}
