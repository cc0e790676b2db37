//! What a run did, and what the time went to.

use std::{fmt::Write, time::Duration};

use serde::{Deserialize, Serialize};
use skykeep_core::Explained;

use super::schedule::{Task, longest_chain};

/// How a step ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Well, with one line on the outcome.
    Done(String),
    /// Badly.
    Failed(Explained),
    /// It was still at work when the run ended.
    Cut,
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
    /// What it needed.
    pub needs: Vec<String>,
    /// The need that ended last, if it had any.
    pub waited_for: Option<String>,
    /// How often it was begun; more than once after passing troubles.
    pub tries: u32,
    /// How it ended.
    pub verdict: Verdict,
}

/// What a run would have saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Saving {
    /// The step of the critical path.
    pub step: String,
    /// How long it took.
    pub took: Duration,
    /// How long it was expected to take.
    pub budget: Duration,
    /// By how much the whole run would have been shorter had it taken what was expected; zero when it did.
    pub as_planned: Duration,
    /// By how much at most any change of this step can shorten the run: beyond that another chain decides.
    pub at_most: Duration,
}

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    steps: Vec<StepReport>,
    elapsed: Duration,
    failures: Vec<(String, Explained)>,
    not_begun: Vec<String>,
}

impl Report {
    pub(super) fn new(
        mut steps: Vec<StepReport>,
        elapsed: Duration,
        failures: Vec<(String, Explained)>,
        not_begun: Vec<String>,
    ) -> Self {
        steps.sort_by(|a, b| a.began.cmp(&b.began).then_with(|| a.id.cmp(&b.id)));
        Report {
            steps,
            elapsed,
            failures,
            not_begun,
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

    /// The step that failed first and why, if one did.
    pub fn failure(&self) -> Option<&(String, Explained)> {
        self.failures.first()
    }

    /// Every failure, in the order in which they came; each step has at most one.
    pub fn failures(&self) -> &[(String, Explained)] {
        &self.failures
    }

    /// Steps that never began, because the run ended before.
    pub fn not_begun(&self) -> &[String] {
        &self.not_begun
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

    /// How long the steps that ran were planned to take together.
    pub fn planned(&self) -> Duration {
        self.length(|s| s.budget)
    }

    /// How long the run would have been with no time between steps and no step over its budget.
    pub fn best_possible(&self) -> Duration {
        self.length(|s| s.took.min(s.budget))
    }

    fn length(&self, takes: impl Fn(&StepReport) -> Duration) -> Duration {
        let task = |s| (s, takes(s));
        let timed: Vec<(&StepReport, Duration)> = self.steps.iter().map(task).collect();
        let tasks: Vec<Task> = timed
            .iter()
            .map(|(s, takes)| Task {
                id: &s.id,
                needs: &s.needs,
                takes: *takes,
            })
            .collect();
        longest_chain(&tasks).1
    }

    /// What could have been faster: the steps of the critical path by what a change of each would have saved, the
    /// greatest first; only what matters (a second, or a hundredth of the run).
    pub fn savings(&self) -> Vec<Saving> {
        let real = self.length(|s| s.took);
        let without = |id: &str, instead: Duration| {
            let shorter = self.length(|s| if s.id == id { instead } else { s.took });
            real.saturating_sub(shorter)
        };
        let mut savings: Vec<Saving> = self
            .critical_path()
            .into_iter()
            .map(|s| Saving {
                step: s.id.clone(),
                took: s.took,
                budget: s.budget,
                as_planned: without(&s.id, s.took.min(s.budget)),
                at_most: without(&s.id, Duration::ZERO),
            })
            .filter(|s| s.at_most >= (real / 100).max(Duration::from_secs(1)))
            .collect();
        savings.sort_by_key(|s| std::cmp::Reverse((s.as_planned, s.at_most)));
        savings
    }

    /// The report as text for a screen of 80 columns.
    pub fn text(&self) -> String {
        let on_path: Vec<&str> = self.critical_path().iter().map(|s| s.id.as_str()).collect();
        let mut out = String::from("   step                     began    took planned  waited for\n");
        for step in &self.steps {
            let mark = if on_path.contains(&step.id.as_str()) { '*' } else { ' ' };
            let word = match &step.verdict {
                Verdict::Done(_) => "",
                Verdict::Failed(_) => "FAILED ",
                Verdict::Cut => "CUT OFF ",
            };
            // Writing into a String can't fail.
            let _ = writeln!(
                out,
                " {mark} {:<22} {:>6.1}s {:>6.1}s {:>6}s  {word}{}",
                step.id,
                step.began.as_secs_f64(),
                step.took.as_secs_f64(),
                step.budget.as_secs(),
                step.waited_for.as_deref().unwrap_or("-"),
            );
        }
        for step in self.steps.iter().filter(|s| s.tries > 1) {
            let _ = writeln!(out, "{} was begun {} times", step.id, step.tries);
        }
        if !self.not_begun.is_empty() {
            let _ = writeln!(out, "{} steps never began", self.not_begun.len());
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
            "whole run {total:.1} s; steps of the critical path (*) {path:.1} s; between steps {own:.1} %\n\
             planned {:.0} s; without what went over its plan {:.1} s",
            self.planned().as_secs_f64(),
            self.best_possible().as_secs_f64(),
        );
        for saving in self.savings().iter().take(3) {
            let _ = writeln!(out, "{}", saving.text());
        }
        out
    }
}

impl Saving {
    /// One line for people.
    pub fn text(&self) -> String {
        let (step, took, at_most) = (&self.step, self.took.as_secs_f64(), self.at_most.as_secs_f64());
        if self.as_planned >= Duration::from_secs(1) {
            format!(
                "faster: `{step}` took {took:.1} s, {} s were planned: that cost {:.1} s",
                self.budget.as_secs(),
                self.as_planned.as_secs_f64()
            )
        } else {
            format!("faster: `{step}` took {took:.1} s as planned; a quicker one saves {at_most:.1} s at most")
        }
    }
}
