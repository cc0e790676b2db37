//! Running a graph.

use std::{collections::BTreeMap, future::pending, pin::pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use skykeep_core::{Event, Explained, Progress, TimedOut, Trouble, deadline::speaking};
use tokio::time::{Instant, sleep_until};

use super::{Graph, Report, Step, StepReport, Verdict};

/// After a failure, what runs already is given this long to end: a reply that is under way tells what was made, and
/// whatever else is wrong is said at once and not one run later.
pub const GRACE: Duration = Duration::from_secs(15);
/// The name under which a report lists that a run was stopped from outside.
pub const STOPPED: &str = "stopped";

/// The longest pause before a step is tried again.
const PAUSE: Duration = Duration::from_secs(30);

impl<C: Send + Sync + 'static> Graph<C> {
    /// Runs every step as soon as its needs have ended well. After a failure nothing new starts, and what runs has
    /// [`GRACE`] to end; then it is dropped at its wait. Everything a step makes is found again by the next run.
    pub async fn run(self, context: Arc<C>, progress: Progress) -> Report {
        self.run_until(context, progress, pending()).await
    }

    /// As [`Graph::run`], but drops everything at once when `stop` resolves; it says why.
    pub async fn run_until(self, context: Arc<C>, progress: Progress, stop: impl Future<Output = Explained>) -> Report {
        let zero = Instant::now();
        let mut stop = pin!(stop);
        let mut waiting = self.steps;
        let mut running = FuturesUnordered::new();
        let mut known: BTreeMap<String, StepReport> = BTreeMap::new();
        let mut failures: Vec<(String, Explained)> = Vec::new();
        let mut end: Option<Instant> = None;
        loop {
            if failures.is_empty() {
                let ended_well =
                    |id: &String| matches!(known.get(id), Some(r) if matches!(r.verdict, Verdict::Done(_)));
                let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|s| s.needs.iter().all(ended_well));
                waiting = rest;
                for step in ready {
                    known.insert(step.id.clone(), begin(&step, &known, zero.elapsed()));
                    running.push(one(step, context.clone(), progress.clone()));
                }
            }
            let out_of_time = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => pending().await,
                }
            };
            let (id, tries, result) = tokio::select! {
                biased;
                why = &mut stop => {
                    failures.push((STOPPED.to_owned(), why));
                    break;
                }
                ended = running.next() => match ended {
                    Some(ended) => ended,
                    None => break,
                },
                () = out_of_time => break,
            };
            if let Some(report) = known.get_mut(&id) {
                report.took = zero.elapsed().saturating_sub(report.began);
                report.tries = tries;
                report.verdict = match &result {
                    Ok(outcome) => Verdict::Done(outcome.clone()),
                    Err(error) => Verdict::Failed(error.clone()),
                };
                progress.send(match &result {
                    Ok(outcome) => Event::Finished {
                        step: id.clone(),
                        took: report.took,
                        outcome: outcome.clone(),
                    },
                    Err(error) => Event::Failed {
                        step: id.clone(),
                        took: report.took,
                        error: error.clone(),
                    },
                });
            }
            if let Err(error) = result {
                failures.push((id, error));
                end.get_or_insert_with(|| Instant::now() + GRACE);
            }
        }
        drop(running);
        let elapsed = zero.elapsed();
        for report in known.values_mut().filter(|r| matches!(r.verdict, Verdict::Cut)) {
            report.took = elapsed.saturating_sub(report.began);
        }
        let not_begun = waiting.into_iter().map(|s| s.id).collect();
        Report::new(known.into_values().collect(), elapsed, failures, not_begun)
    }
}

/// What is known of a step at its start: it counts as cut off until it ends.
fn begin<C>(step: &Step<C>, known: &BTreeMap<String, StepReport>, now: Duration) -> StepReport {
    let last = step.needs.iter().filter_map(|n| known.get(n));
    StepReport {
        id: step.id.clone(),
        title: step.title.clone(),
        began: now,
        took: Duration::ZERO,
        budget: step.budget,
        needs: step.needs.clone(),
        waited_for: last.max_by_key(|r| r.began + r.took).map(|r| r.id.clone()),
        tries: 1,
        verdict: Verdict::Cut,
    }
}

/// Runs one step to its end; says how often it was begun.
async fn one<C>(step: Step<C>, context: Arc<C>, progress: Progress) -> (String, u32, Result<String, Explained>) {
    let voice = progress.for_step(&step.id);
    voice.send(Event::Started {
        step: step.id.clone(),
        title: step.title.clone(),
    });
    let end = Instant::now() + step.deadline;
    let mut pause = Duration::from_secs(1);
    let mut tries = 1;
    let mut last: Option<Explained> = None;
    let result = loop {
        // A panic of one step must not take the others' results with it.
        let work = std::panic::AssertUnwindSafe(async { (step.work)(context.clone(), voice.clone()).await });
        let work = speaking(voice.clone(), work.catch_unwind());
        match tokio::time::timeout_at(end, work).await {
            Ok(Ok(Ok(outcome))) => break Ok(outcome),
            Ok(Ok(Err(trouble))) => {
                let error = trouble.explained();
                last = Some(error.clone());
                let may = step.repeatable && trouble.is_transient() && Instant::now() + pause < end;
                if !may {
                    break Err(error);
                }
                voice.note(format!(
                    "{}: {}; trying again in {} s",
                    error.what,
                    error.why,
                    pause.as_secs()
                ));
            }
            Ok(Err(_panic)) => break Err(broke_off(&step.id)),
            Err(_elapsed) => break Err(out_of_time(&step, tries, last)),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE);
        tries += 1;
    };
    (step.id, tries, result)
}

fn broke_off(id: &str) -> Explained {
    Explained {
        what: format!("The step `{id}` broke off"),
        why: "a fault of the program".into(),
        remedy: "Start again: what stands is kept and adopted. Please report it with the log.".into(),
    }
}

/// What was in the way the last time says more than that the time is up.
fn out_of_time<C>(step: &Step<C>, tries: u32, last: Option<Explained>) -> Explained {
    if let Some(error) = last {
        return Explained {
            why: format!(
                "{}; begun {tries} times within {} s",
                error.why,
                step.deadline.as_secs()
            ),
            ..error
        };
    }
    Trouble::from(TimedOut {
        what: format!("the step `{}` ({})", step.id, step.title),
        last: "the step was still at work".into(),
        limit: step.deadline,
    })
    .explained()
}
