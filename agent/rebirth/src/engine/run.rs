//! Running a graph.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use skykeep_core::{Event, Explained, Progress, TimedOut, Trouble};
use tokio::time::Instant;

use super::{Graph, Report, Step, StepReport, Verdict};

struct Ended {
    id: String,
    began: Duration,
    took: Duration,
    budget: Duration,
    needs: Vec<String>,
    title: String,
    result: Result<String, Explained>,
}

impl<C: Send + Sync + 'static> Graph<C> {
    /// Runs every step as soon as its needs have ended well. After the first failure nothing new starts and what runs is
    /// dropped at its next wait; everything a step makes is found again by the next run.
    pub async fn run(self, context: Arc<C>, progress: Progress) -> Report {
        let zero = Instant::now();
        let mut waiting = self.steps;
        let mut running = FuturesUnordered::new();
        let mut done: BTreeMap<String, StepReport> = BTreeMap::new();
        let mut failure: Option<(String, Explained)> = None;
        loop {
            let (ready, rest): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|s| s.needs.iter().all(|n| done.contains_key(n)));
            waiting = rest;
            for step in ready {
                running.push(one(step, context.clone(), progress.clone(), zero));
            }
            let Some(ended) = running.next().await else { break };
            let waited_for = last_need(&ended.needs, &done);
            let verdict = match &ended.result {
                Ok(outcome) => Verdict::Done(outcome.clone()),
                Err(error) => Verdict::Failed(error.clone()),
            };
            if let Err(error) = ended.result {
                failure = Some((ended.id.clone(), error));
            }
            done.insert(
                ended.id.clone(),
                StepReport {
                    id: ended.id,
                    title: ended.title,
                    began: ended.began,
                    took: ended.took,
                    budget: ended.budget,
                    waited_for,
                    verdict,
                },
            );
            if failure.is_some() {
                break;
            }
        }
        drop(running);
        Report::new(done.into_values().collect(), zero.elapsed(), failure)
    }
}

fn last_need(needs: &[String], done: &BTreeMap<String, StepReport>) -> Option<String> {
    needs
        .iter()
        .filter_map(|n| done.get(n))
        .max_by_key(|r| r.began + r.took)
        .map(|r| r.id.clone())
}

async fn one<C>(step: Step<C>, context: Arc<C>, progress: Progress, zero: Instant) -> Ended {
    let voice = progress.for_step(&step.id);
    let began = zero.elapsed();
    voice.send(Event::Started {
        step: step.id.clone(),
        title: step.title.clone(),
    });
    let work = (step.work)(context, voice.clone());
    // A panic of one step must not take the others' results with it.
    let guarded = std::panic::AssertUnwindSafe(work).catch_unwind();
    let result = match tokio::time::timeout(step.deadline, guarded).await {
        Ok(Ok(result)) => result.map_err(|t| t.explained()),
        Ok(Err(_panic)) => Err(Explained {
            what: format!("The step `{}` broke off", step.id),
            why: "a fault of the program".into(),
            remedy: "Start again: what stands is kept and adopted. Please report it with the log.".into(),
        }),
        Err(_elapsed) => Err(Trouble::from(TimedOut {
            what: format!("the step `{}` ({})", step.id, step.title),
            last: "the step was still at work".into(),
            limit: step.deadline,
        })
        .explained()),
    };
    let took = zero.elapsed().saturating_sub(began);
    match &result {
        Ok(outcome) => voice.send(Event::Finished {
            step: step.id.clone(),
            took,
            outcome: outcome.clone(),
        }),
        Err(error) => voice.send(Event::Failed {
            step: step.id.clone(),
            took,
            error: error.clone(),
        }),
    }
    Ended {
        id: step.id,
        began,
        took,
        budget: step.budget,
        needs: step.needs,
        title: step.title,
        result,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    type Log = Mutex<Vec<(String, Duration, Duration)>>;

    fn step(id: usize, needs: Vec<usize>, millis: u64) -> Step<Log> {
        Step {
            id: format!("s{id}"),
            title: format!("step {id}"),
            needs: needs.iter().map(|n| format!("s{n}")).collect(),
            deadline: Duration::from_secs(3600),
            budget: Duration::from_millis(millis),
            work: Box::new(move |log: Arc<Log>, _| {
                Box::pin(async move {
                    let begin = Instant::now();
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    log.lock()
                        .unwrap()
                        .push((format!("s{id}"), Duration::ZERO, begin.elapsed()));
                    Ok("done".into())
                })
            }),
        }
    }

    fn paused<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(future)
    }

    fn graphs() -> impl Strategy<Value = Vec<(Vec<usize>, u64)>> {
        proptest::collection::vec((proptest::collection::vec(any::<usize>(), 0..4), 1u64..5000), 1..25).prop_map(
            |raw| {
                raw.into_iter()
                    .enumerate()
                    .map(|(i, (needs, ms))| {
                        let mut needs: Vec<usize> = if i == 0 {
                            vec![]
                        } else {
                            needs.into_iter().map(|n| n % i).collect()
                        };
                        needs.sort_unstable();
                        needs.dedup();
                        (needs, ms)
                    })
                    .collect()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn no_step_starts_before_its_needs_and_none_waits_for_anything_else(graph in graphs()) {
            let steps = graph.iter().enumerate().map(|(i, (n, ms))| step(i, n.clone(), *ms)).collect();
            let report = paused(async { Graph::new(steps).unwrap().run(Arc::new(Log::default()), Progress::silent()).await });
            prop_assert!(report.failure().is_none());
            let end = |i: usize| { let s = report.step(&format!("s{i}")).unwrap(); s.began + s.took };
            let mut longest = vec![0u64; graph.len()];
            for (i, (needs, ms)) in graph.iter().enumerate() {
                let mine = report.step(&format!("s{i}")).unwrap();
                let latest = needs.iter().map(|n| end(*n)).max().unwrap_or_default();
                prop_assert!(mine.began >= latest);
                longest[i] = needs.iter().map(|n| longest[*n]).max().unwrap_or(0) + ms;
            }
            let best = Duration::from_millis(*longest.iter().max().unwrap());
            // The timer of tokio counts whole milliseconds: one may be added at each step of the path.
            prop_assert!(report.elapsed() <= best + Duration::from_millis(graph.len() as u64 * 2));
            prop_assert!(report.critical_path_time() <= report.elapsed());
        }

        #[test]
        fn a_failure_is_reported_once_and_nothing_starts_after_it(graph in graphs(), bad in any::<proptest::sample::Index>()) {
            let bad = bad.index(graph.len());
            let mut steps: Vec<Step<Log>> = graph.iter().enumerate().map(|(i, (n, ms))| step(i, n.clone(), *ms)).collect();
            steps[bad].work = Box::new(|_, _| Box::pin(async {
                Err(Explained { what: "it broke".into(), why: "on purpose".into(), remedy: "none".into() }.into())
            }));
            let report = paused(async { Graph::new(steps).unwrap().run(Arc::new(Log::default()), Progress::silent()).await });
            let failed: Vec<_> = report.steps().iter().filter(|s| matches!(s.verdict, Verdict::Failed(_))).collect();
            prop_assert_eq!(failed.len(), 1);
            prop_assert_eq!(&failed[0].id, &format!("s{bad}"));
            let at = failed[0].began + failed[0].took;
            prop_assert!(report.steps().iter().all(|s| s.began <= at));
        }
    }

    #[test]
    fn a_step_that_never_ends_fails_at_its_deadline() {
        let mut stuck = step(0, vec![], 1);
        stuck.deadline = Duration::from_secs(30);
        stuck.work = Box::new(|_, _| Box::pin(std::future::pending()));
        let report = paused(async {
            Graph::new(vec![stuck])
                .unwrap()
                .run(Arc::new(Log::default()), Progress::silent())
                .await
        });
        assert!(report.failure().unwrap().1.what.contains("after 30 s"));
    }

    #[test]
    fn a_step_that_panics_is_an_error_and_not_the_end() {
        let mut broken = step(0, vec![], 1);
        broken.work = Box::new(|_, _| Box::pin(async { panic!("boom") }));
        let report = paused(async {
            Graph::new(vec![broken])
                .unwrap()
                .run(Arc::new(Log::default()), Progress::silent())
                .await
        });
        assert!(report.failure().unwrap().1.what.contains("broke off"));
    }

    #[test]
    fn steps_that_wait_for_one_another_are_found_before_anything_runs() {
        let error = Graph::new(vec![step(0, vec![1], 1), step(1, vec![0], 1)])
            .err()
            .unwrap();
        assert_eq!(error, super::super::GraphError::Cycle(vec!["s0".into(), "s1".into()]));
    }
}
