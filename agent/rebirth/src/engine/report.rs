//! What a run did, and what the time went to.

use std::{fmt::Write, time::Duration};

use serde::{Deserialize, Serialize};
use skykeep_core::Explained;

/// How a step ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Well, with one line on the outcome.
    Done(String),
    /// Badly.
    Failed(Explained),
}

/// One step of a run. Times count from the run's start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepReport {
    /// Id.
    pub id: String,
    /// What a person reads.
    pub title: String,
    /// When it began.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// How long it was expected to take.
    pub budget: Duration,
    /// The need that ended last, if it had any.
    pub waited_for: Option<String>,
    /// How it ended.
    pub verdict: Verdict,
}

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    steps: Vec<StepReport>,
    elapsed: Duration,
    failure: Option<(String, Explained)>,
}

impl Report {
    pub(super) fn new(mut steps: Vec<StepReport>, elapsed: Duration, failure: Option<(String, Explained)>) -> Self {
        steps.sort_by(|a, b| a.began.cmp(&b.began).then_with(|| a.id.cmp(&b.id)));
        Report {
            steps,
            elapsed,
            failure,
        }
    }

    /// The steps in the order in which they began.
    pub fn steps(&self) -> &[StepReport] {
        &self.steps
    }

    /// One step.
    pub fn step(&self, id: &str) -> Option<&StepReport> {
        self.steps.iter().find(|s| s.id == id)
    }

    /// From start to end.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The step that failed and why, if one did.
    pub fn failure(&self) -> Option<&(String, Explained)> {
        self.failure.as_ref()
    }

    /// The chain of steps that ended last, each having waited for the one before it; first one first.
    pub fn critical_path(&self) -> Vec<&StepReport> {
        let mut path = Vec::new();
        let mut next = self.steps.iter().max_by_key(|s| s.began + s.took);
        while let Some(step) = next {
            path.push(step);
            next = step.waited_for.as_deref().and_then(|id| self.step(id));
        }
        path.reverse();
        path
    }

    /// Time spent inside the steps of the critical path; the rest of [`Report::elapsed`] is the engine's own.
    pub fn critical_path_time(&self) -> Duration {
        self.critical_path().iter().map(|s| s.took).sum()
    }

    /// The report as text for a screen of 80 columns.
    pub fn text(&self) -> String {
        let on_path: Vec<&str> = self.critical_path().iter().map(|s| s.id.as_str()).collect();
        let mut out = String::from("   step                     began    took  waited for\n");
        for step in &self.steps {
            let mark = if on_path.contains(&step.id.as_str()) { '*' } else { ' ' };
            let word = match &step.verdict {
                Verdict::Done(_) => "",
                Verdict::Failed(_) => "FAILED ",
            };
            // Writing into a String can't fail.
            let _ = writeln!(
                out,
                " {mark} {:<22} {:>6.1}s {:>6.1}s  {word}{}",
                step.id,
                step.began.as_secs_f64(),
                step.took.as_secs_f64(),
                step.waited_for.as_deref().unwrap_or("-"),
            );
        }
        let path = self.critical_path_time().as_secs_f64();
        let total = self.elapsed.as_secs_f64();
        let own = if total > 0.0 {
            (total - path).max(0.0) / total * 100.0
        } else {
            0.0
        };
        let _ = writeln!(
            out,
            "whole run {total:.1} s; steps of the critical path (*) {path:.1} s; between steps {own:.1} %"
        );
        out
    }
}
