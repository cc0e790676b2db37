//! Giving the castle back to Git: what of ours stands between the two is shown, taken away piece by piece, and proven to be gone.

use std::fmt::Write;

use serde::Serialize;

use crate::revision::Revision;

/// What somebody wants to be given back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wish {
    /// Nothing: only see.
    #[default]
    Look,
    /// Patches by their names, `Deployment/web/ddns`; the pin stays.
    These(Vec<String>),
    /// All of it.
    Everything,
}

/// One thing of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// Its name, `Deployment/web/ddns`.
    pub id: String,
    /// Why it is there.
    pub why: String,
    /// What Git would have to say for the castle to stay as it is.
    pub diff: String,
    /// Whether the branch's head says so already (or has the object no more): then taking it away changes nothing.
    pub in_head: bool,
    /// Whether it is a database of an operator: taken away before Git says so, it would archive to where another one did.
    pub database: bool,
}

/// What stands between Git and the castle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The commit that the castle runs, and the branch's head.
    pub revision: Revision,
    /// The pin as a diff; none when the castle follows its branch.
    pub pin: Option<String>,
    /// Files that are not the same at the branch's head.
    pub files: Vec<String>,
    /// Patched objects.
    pub pieces: Vec<Piece>,
}

/// What was given back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Given {
    /// Patches that were taken away.
    pub lifted: Vec<String>,
    /// The commit that Flux follows its branch at now; none when the pin stays.
    pub follows: Option<String>,
    /// Objects that Flux keeps, all of which it has applied once more.
    pub objects: usize,
    /// Those among them that were not the same afterwards.
    pub changed: Vec<String>,
    /// Flux's own objects of which something would go if we took our hands off.
    pub kept: Vec<String>,
}

/// What stays on purpose.
const STAYS: &str = "What stays, because Git does not hold it: the restore gate (a pod whose claim has no restore marker waits), the guard of the \
entry's ports, the pulse, and what castle.yaml makes before Flux (`beforeFlux`).";

impl Shown {
    /// For a screen.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a String can't fail.
        let _ = match &self.pin {
            Some(pin) => writeln!(out, "Flux is pinned. {}\n\n{pin}", self.revision.text()),
            None => writeln!(out, "Flux follows its branch. {}\n", self.revision.text()),
        };
        if self.pin.is_some() && !self.files.is_empty() {
            let _ = writeln!(
                out,
                "At the branch's head these are not the same: {}\n",
                self.files.join(", ")
            );
        }
        for piece in &self.pieces {
            let _ = writeln!(out, "{}", piece.diff);
            let _ = match piece.in_head {
                true => writeln!(out, "  The branch's head says so too: it can go.\n"),
                false if piece.database => writeln!(
                    out,
                    "  Commit this before you lift it: without it the database would archive to where another one did.\n"
                ),
                false => writeln!(
                    out,
                    "  Commit this to keep it so, or lift it: `skykeep release {} --yes`.\n",
                    piece.id
                ),
            };
        }
        if self.pin.is_none() && self.pieces.is_empty() {
            let _ = writeln!(out, "Nothing of ours stands between Git and this castle.");
        }
        out.push_str(STAYS);
        out
    }
}

impl Given {
    /// For a screen.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for id in &self.lifted {
            let _ = writeln!(out, "Lifted: {id}");
        }
        if let Some(commit) = &self.follows {
            let _ = writeln!(out, "Flux follows its branch; every layer is ready at {commit}.");
        }
        let _ = match self.changed.as_slice() {
            [] => writeln!(
                out,
                "Flux has applied all {} objects of the repository once more, and each is the same before and after.",
                self.objects
            ),
            changed => writeln!(
                out,
                "Flux has applied all {} objects of the repository once more; {} of them changed by that: {}. Look at who else writes them.",
                self.objects,
                changed.len(),
                changed.join(", ")
            ),
        };
        if !self.kept.is_empty() {
            let _ = writeln!(
                out,
                "Left as they are, because Git does not hold all of them: {}. Let the root path's kustomization.yaml list gotk-components.yaml and gotk-sync.yaml.",
                self.kept.join(", ")
            );
        }
        out.push_str(STAYS);
        out
    }

    /// Whether Git alone gives this castle.
    pub fn is_git_alone(&self) -> bool {
        self.follows.is_some() && self.changed.is_empty() && self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use skykeep_gitops::{Commit, Distance};

    use super::*;

    fn revision(further: usize) -> Revision {
        let commit = |id: &str| Commit {
            id: id.into(),
            when: "2026-12-01 03:20 UTC".into(),
            subject: "a page".into(),
        };
        let distance = Distance {
            at: commit("0123456789ab"),
            head: commit("fedcba987654"),
            further,
            newest: Vec::new(),
        };
        Revision {
            because: "the last commit at which castle home was all green".into(),
            distance,
            asked: false,
        }
    }

    #[test]
    fn a_person_sees_what_stands_between_git_and_the_castle() {
        let piece = Piece {
            id: "Deployment/web/ddns".into(),
            why: "it writes".into(),
            diff: "--- a\n+++ a\n@@ Deployment/web/ddns: it writes @@\n spec:\n-  replicas: 1\n+  replicas: 0\n".into(),
            in_head: false,
            database: false,
        };
        let database = Piece {
            database: true,
            ..piece.clone()
        };
        let caught_up = Piece {
            in_head: true,
            ..piece.clone()
        };
        let shown = Shown {
            revision: revision(3),
            pin: Some("--- sync\n+++ sync\n+    commit: 0123\n".into()),
            files: vec!["apps/blog.yaml".into()],
            pieces: vec![piece, database, caught_up],
        };
        let nothing = Shown {
            revision: revision(0),
            ..Shown::default()
        };
        insta::assert_snapshot!(format!("{}\n=====\n{}", shown.text(), nothing.text()));
    }

    #[test]
    fn a_person_sees_what_was_given_back_and_what_was_not() {
        let good = Given {
            lifted: vec!["Deployment/web/ddns".into()],
            follows: Some("0123".into()),
            objects: 61,
            ..Given::default()
        };
        let bad = Given {
            changed: vec!["Deployment/web/blog".into()],
            kept: vec!["Namespace/flux-system".into()],
            ..good.clone()
        };
        assert!(good.is_git_alone() && !bad.is_git_alone());
        insta::assert_snapshot!(format!("{}\n=====\n{}", good.text(), bad.text()));
    }
}
