//! The engine under a virtual clock: random graphs, failures, stops and steps that never end.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use skykeep_core::{Event, Explain, Explained, Progress};
use tokio::time::Instant;

use super::*;

/// How many random graphs each property is tried on.
const GRAPHS: u32 = 1000;

/// Ids of the steps that were begun, as they were.
type Log = Mutex<Vec<String>>;

#[derive(Debug)]
struct Passing;
impl Explain for Passing {
    fn what(&self) -> String {
        "it hiccuped".into()
    }
    fn why(&self) -> String {
        "on purpose".into()
    }
    fn remedy(&self) -> String {
        "wait".into()
    }
    fn is_transient(&self) -> bool {
        true
    }
}

fn broken() -> Explained {
    Explained {
        what: "it broke".into(),
        why: "on purpose".into(),
        remedy: "none".into(),
    }
}

fn step(id: usize, needs: &[usize], millis: u64) -> Step<Log> {
    Step {
        id: format!("s{id}"),
        title: format!("step {id}"),
        needs: needs.iter().map(|n| format!("s{n}")).collect(),
        deadline: Duration::from_secs(3600),
        budget: Duration::from_millis(millis),
        repeatable: false,
        work: Box::new(move |log: Arc<Log>, _| {
            Box::pin(async move {
                log.lock().unwrap().push(format!("s{id}"));
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok("done".into())
            })
        }),
    }
}

fn failing(mut step: Step<Log>) -> Step<Log> {
    step.work = Box::new(|_, _| Box::pin(async { Err(broken().into()) }));
    step
}

fn stuck(mut step: Step<Log>) -> Step<Log> {
    step.work = Box::new(|_, _| Box::pin(std::future::pending()));
    step
}

fn paused<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

fn run(steps: Vec<Step<Log>>) -> (Report, Vec<String>) {
    let log = Arc::new(Log::default());
    let report = paused(Graph::new(steps).unwrap().run(log.clone(), Progress::silent()));
    (report, log.lock().unwrap().clone())
}

/// Needs and milliseconds of each step; needs point back only.
type Shape = Vec<(Vec<usize>, u64)>;

fn graphs() -> impl Strategy<Value = Shape> {
    let raw = (proptest::collection::vec(any::<usize>(), 0..4), 100u64..5000);
    proptest::collection::vec(raw, 1..25).prop_map(|raw| {
        let back = |(i, (needs, ms)): (usize, (Vec<usize>, u64))| {
            let mut needs: Vec<usize> = needs.into_iter().filter(|_| i > 0).map(|n| n % i.max(1)).collect();
            needs.sort_unstable();
            needs.dedup();
            (needs, ms)
        };
        raw.into_iter().enumerate().map(back).collect()
    })
}

fn steps(shape: &Shape) -> Vec<Step<Log>> {
    shape.iter().enumerate().map(|(i, (n, ms))| step(i, n, *ms)).collect()
}

fn longest(shape: &Shape) -> Duration {
    let mut ends: Vec<u64> = Vec::new();
    for (needs, ms) in shape {
        ends.push(needs.iter().map(|n| ends[*n]).max().unwrap_or(0) + ms);
    }
    Duration::from_millis(ends.into_iter().max().unwrap_or(0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(GRAPHS))]

    #[test]
    fn no_step_starts_before_its_needs_and_none_waits_for_anything_else(shape in graphs()) {
        let (report, begun) = run(steps(&shape));
        prop_assert!(report.failures().is_empty() && report.not_begun().is_empty());
        let mut once = begun.clone();
        once.sort();
        once.dedup();
        prop_assert_eq!((once.len(), begun.len()), (shape.len(), shape.len()));
        for (i, (needs, _)) in shape.iter().enumerate() {
            let mine = report.step(&format!("s{i}")).unwrap();
            let end = |n: &usize| { let s = report.step(&format!("s{n}")).unwrap(); s.began + s.took };
            let latest = needs.iter().map(end).max().unwrap_or_default();
            prop_assert!(mine.began >= latest);
        }
        let best = longest(&shape);
        prop_assert!(report.elapsed() >= best);
        prop_assert!(report.elapsed() <= best.mul_f64(1.05), "{:?} for {best:?}", report.elapsed());
        prop_assert!(report.critical_path_time() <= report.elapsed());
        prop_assert!(report.critical_path_time() >= report.elapsed().mul_f64(0.95));
        prop_assert_eq!(report.planned(), best);
    }

    #[test]
    fn every_failure_is_reported_once_and_nothing_starts_after_the_first(
        shape in graphs(), bad in proptest::collection::vec(any::<proptest::sample::Index>(), 1..4)
    ) {
        let bad: Vec<usize> = bad.iter().map(|b| b.index(shape.len())).collect();
        let all = steps(&shape).into_iter().enumerate()
            .map(|(i, s)| if bad.contains(&i) { failing(s) } else { s }).collect();
        let (progress, mut events) = Progress::channel("test");
        let report = paused(Graph::new(all).unwrap().run(Arc::new(Log::default()), progress));
        let mut said = BTreeMap::new();
        while let Ok(event) = events.try_recv() {
            if let Event::Failed { step, .. } = event {
                *said.entry(step).or_insert(0) += 1;
            }
        }
        let failed: Vec<&String> = report.failures().iter().map(|(id, _)| id).collect();
        prop_assert!(!failed.is_empty());
        prop_assert!(said.values().all(|n| *n == 1) && said.len() == failed.len(), "{:?} {:?}", said, failed);
        let first = report.step(failed[0]).unwrap();
        let at = first.began + first.took;
        prop_assert!(report.steps().iter().all(|s| s.began <= at));
        prop_assert!(report.elapsed() <= at + GRACE + Duration::from_millis(5));
        prop_assert_eq!(report.steps().len() + report.not_begun().len(), shape.len());
    }

    #[test]
    fn a_run_with_steps_that_never_end_ends_at_their_deadlines(
        shape in graphs(), bad in any::<proptest::sample::Index>()
    ) {
        let bad = bad.index(shape.len());
        let mut all = steps(&shape);
        all = all.into_iter().enumerate().map(|(i, s)| if i == bad { stuck(s) } else { s }).collect();
        all[bad].deadline = Duration::from_secs(60);
        let (report, _) = run(all);
        prop_assert_eq!(&report.failure().unwrap().0, &format!("s{bad}"));
        prop_assert!(report.elapsed() <= longest(&shape) + Duration::from_secs(61) + GRACE);
    }

    #[test]
    fn a_stop_from_outside_drops_everything_at_once(shape in graphs(), share in 0.0..1.0f64) {
        let log = Arc::new(Log::default());
        let report = paused(async {
            let at = longest(&shape).mul_f64(share);
            let stop = async { tokio::time::sleep(at).await; broken() };
            let before = Instant::now();
            let report = Graph::new(steps(&shape)).unwrap().run_until(log.clone(), Progress::silent(), stop).await;
            assert!(before.elapsed() <= at + Duration::from_millis(2));
            report
        });
        // Nothing of the run holds its context any more.
        prop_assert_eq!(Arc::strong_count(&log), 1);
        prop_assert_eq!(report.failure().unwrap().0.as_str(), STOPPED);
        let known = report.steps().len() + report.not_begun().len();
        prop_assert_eq!(known, shape.len());
    }

    #[test]
    fn a_forecast_before_the_start_is_the_length_of_the_run(shape in graphs()) {
        let graph = Graph::new(steps(&shape)).unwrap();
        let ahead = outlook(&graph.outline(), &BTreeMap::new());
        prop_assert_eq!(ahead.left, longest(&shape));
    }
}

#[test]
fn a_step_that_never_ends_fails_at_its_deadline() {
    let mut one = stuck(step(0, &[], 1));
    one.deadline = Duration::from_secs(30);
    let (report, _) = run(vec![one]);
    assert!(report.failure().unwrap().1.what.contains("after 30 s"));
}

#[test]
fn a_step_that_panics_is_an_error_and_not_the_end() {
    let mut one = step(0, &[], 1);
    one.work = Box::new(|_, _| Box::pin(async { panic!("boom") }));
    let (report, _) = run(vec![one]);
    assert!(report.failure().unwrap().1.what.contains("broke off"));
}

/// A step that meets `troubles` passing ones before it succeeds.
fn hiccups(troubles: u32, repeatable: bool) -> (Report, u32) {
    let tries = Arc::new(AtomicU32::new(0));
    let counter = tries.clone();
    let mut one = step(0, &[], 1);
    one.repeatable = repeatable;
    one.deadline = Duration::from_secs(60);
    one.work = Box::new(move |_, _| {
        let counter = counter.clone();
        Box::pin(async move {
            match counter.fetch_add(1, Ordering::SeqCst) {
                n if n < troubles => Err(Passing.into()),
                _ => Ok("done".into()),
            }
        })
    });
    let (report, _) = run(vec![one]);
    (report, tries.load(Ordering::SeqCst))
}

#[test]
fn only_what_says_that_it_may_is_tried_again() {
    let (report, tries) = hiccups(3, true);
    assert!(report.failure().is_none());
    assert_eq!((tries, report.step("s0").unwrap().tries), (4, 4));
    let (report, tries) = hiccups(1, false);
    assert_eq!((report.failure().unwrap().1.what.as_str(), tries), ("it hiccuped", 1));
}

#[test]
fn trying_again_ends_at_the_deadline_with_the_last_trouble() {
    let (report, tries) = hiccups(u32::MAX, true);
    assert_eq!(report.failure().unwrap().1.what, "it hiccuped");
    assert!(report.elapsed() < Duration::from_secs(60) && tries > 4, "{tries}");
}

#[test]
fn what_a_run_waits_for_is_said_as_an_event() {
    let mut one = step(0, &[], 1);
    one.work = Box::new(|_, _| {
        Box::pin(async {
            let mut looks = 0;
            let every = Duration::from_secs(1);
            let end = skykeep_core::Deadline::after(Duration::from_secs(20));
            skykeep_core::poll("the moon", end, every, || {
                looks += 1;
                let look = if looks > 3 {
                    skykeep_core::deadline::Look::Ready(())
                } else {
                    skykeep_core::deadline::Look::NotYet(format!("clouds {}", looks / 3))
                };
                async { Ok(look) }
            })
            .await?;
            Ok("seen".into())
        })
    });
    let (progress, mut events) = Progress::channel("test");
    paused(Graph::new(vec![one]).unwrap().run(Arc::new(Log::default()), progress));
    let mut said = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Waiting { step, what, seen } = event {
            said.push(format!("{step}: {what}: {seen}"));
        }
    }
    assert_eq!(said, ["s0: the moon: clouds 0", "s0: the moon: clouds 1"]);
}

#[test]
fn steps_that_wait_for_one_another_are_found_before_anything_runs() {
    let error = Graph::new(vec![step(0, &[1], 1), step(1, &[0], 1)]).err().unwrap();
    assert_eq!(error, GraphError::Cycle(vec!["s0".into(), "s1".into()]));
}

#[test]
fn a_step_without_a_deadline_is_no_step() {
    let mut one = step(0, &[], 1);
    one.deadline = Duration::ZERO;
    assert_eq!(Graph::new(vec![one]).err().unwrap(), GraphError::Times("s0".into()));
}

#[test]
fn a_forecast_follows_what_happens_and_names_what_blocks() {
    let graph = Graph::new(vec![step(0, &[], 10_000), step(1, &[0], 5_000), step(2, &[0], 20_000)]).unwrap();
    let at = |elapsed, counted| BTreeMap::from([("s0".to_owned(), Standing::Running { elapsed, counted })]);
    let four = outlook(&graph.outline(), &at(Duration::from_secs(4), None));
    assert_eq!(
        (four.left, four.path, four.late),
        (Duration::from_secs(26), vec!["s0".into(), "s2".into()], None)
    );
    let late = outlook(&graph.outline(), &at(Duration::from_secs(16), None));
    assert_eq!(
        (late.left, late.late),
        (Duration::from_secs(24), Some(Duration::from_secs(6)))
    );
    let counted = outlook(
        &graph.outline(),
        &at(Duration::from_secs(16), Some(Duration::from_secs(90))),
    );
    assert_eq!(counted.left, Duration::from_secs(110));
    let ended = BTreeMap::from([("s0".to_owned(), Standing::Ended), ("s2".to_owned(), Standing::Ended)]);
    assert_eq!(outlook(&graph.outline(), &ended).path, ["s1"]);
}

#[test]
fn a_report_names_the_critical_path_and_what_could_have_been_faster() {
    let mut slow = step(1, &[0], 30_000);
    slow.budget = Duration::from_secs(5);
    let (report, _) = run(vec![
        step(0, &[], 2_000),
        slow,
        step(2, &[0], 12_000),
        step(3, &[1, 2], 1_000),
    ]);
    let path: Vec<&str> = report.critical_path().iter().map(|s| s.id.as_str()).collect();
    assert_eq!(path, ["s0", "s1", "s3"]);
    // Had s1 kept its plan, s2 would have decided: 18 s saved, not 25.
    let worst = &report.savings()[0];
    assert_eq!((worst.step.as_str(), worst.as_planned.as_secs()), ("s1", 18));
    insta::assert_snapshot!(report.text());
}
