//! How long a run still takes, and what it hangs on, from budgets and from what has happened so far.

use std::{collections::BTreeMap, time::Duration};

use super::{Outline, schedule};

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Running {
        /// For how long.
        elapsed: Duration,
        /// What is left by its own count of bytes, when it counts any.
        counted: Option<Duration>,
    },
    /// It has ended, well or badly.
    Ended,
}

/// What is to be expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Until the last step ends.
    pub left: Duration,
    /// The chain of steps that decides it; the first one runs now and blocks the rest.
    pub path: Vec<String>,
    /// When the first one of the path has used up its budget: by how much it is over.
    pub late: Option<Duration>,
}

/// Looks ahead. Steps that `standing` does not name have not begun.
///
/// A step that has used up its budget is taken to need a quarter of what it has had so far: no budget is a reason to
/// promise an end that nothing speaks for.
pub fn outlook(outline: &[Outline], standing: &BTreeMap<String, Standing>) -> Outlook {
    let takes = |step: &Outline| match standing.get(&step.id) {
        Some(Standing::Ended) => None,
        Some(Standing::Running {
            counted: Some(counted), ..
        }) => Some(*counted),
        Some(Standing::Running { elapsed, counted: None }) if *elapsed < step.budget => Some(step.budget - *elapsed),
        Some(Standing::Running { elapsed, counted: None }) => Some((*elapsed / 4).max(Duration::from_secs(1))),
        None => Some(step.budget),
    };
    let tasks: Vec<schedule::Task> = outline
        .iter()
        .filter_map(|step| {
            Some(schedule::Task {
                id: &step.id,
                needs: &step.needs,
                takes: takes(step)?,
            })
        })
        .collect();
    let (path, left) = schedule::longest_chain(&tasks);
    let late = path.first().and_then(|id| {
        let budget = outline.iter().find(|s| s.id == *id)?.budget;
        match standing.get(*id)? {
            Standing::Running { elapsed, .. } if *elapsed > budget => Some(*elapsed - budget),
            _ => None,
        }
    });
    Outlook {
        left,
        path: path.into_iter().map(str::to_owned).collect(),
        late,
    }
}
