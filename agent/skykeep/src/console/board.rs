//! What has happened so far, as far as a person wants to know it. Pure: fed with events and times, read by the rail.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use skykeep_core::{Event, Explained};
use skykeep_rebirth::engine::{Outline, Outlook, Standing, outlook};

/// How many events are remembered for the log.
const LOG: usize = 200;
/// A promise may be missed by this much before it is taken back.
const TOLERANCE: Duration = Duration::from_secs(5);

/// A step as it goes.
#[derive(Debug, Clone, Default)]
pub struct Going {
    /// When it began, from the start of the run.
    pub began: Duration,
    /// When it ended.
    pub ended: Option<Duration>,
    /// What it waits for, and what it sees meanwhile.
    pub waits: Option<(String, String)>,
    /// Bytes moved when it was first heard to count them and when; then the newest count, and of how many.
    bytes: Option<(Duration, u64, u64, u64)>,
}

/// The board.
pub struct Board {
    /// The plan.
    pub outline: Vec<Outline>,
    going: BTreeMap<String, Going>,
    log: VecDeque<String>,
    promise: Option<Duration>,
    excuse: Option<String>,
    failure: Option<(String, Explained)>,
}

impl Board {
    /// Before the first event.
    pub fn new(outline: Vec<Outline>) -> Self {
        Board {
            outline,
            going: BTreeMap::new(),
            log: VecDeque::new(),
            promise: None,
            excuse: None,
            failure: None,
        }
    }

    /// Takes an event in, at this time from the start; `line` is how the log shows it.
    pub fn hear(&mut self, event: &Event, at: Duration, line: Option<String>) {
        match event {
            Event::Started { step, .. } => {
                let began = at;
                self.going.insert(
                    step.clone(),
                    Going {
                        began,
                        ..Going::default()
                    },
                );
            }
            Event::Finished { step, .. } => self.end(step, at),
            Event::Failed { step, error, .. } => {
                self.end(step, at);
                self.failure.get_or_insert_with(|| (step.clone(), error.clone()));
            }
            Event::Waiting { step, what, seen } => {
                if let Some(going) = self.going.get_mut(step) {
                    going.waits = Some((what.clone(), seen.clone()));
                }
            }
            Event::Bytes { step, done, total } => {
                if let Some(going) = self.going.get_mut(step) {
                    let (since, first) = going.bytes.map_or((at, *done), |(since, first, _, _)| (since, first));
                    going.bytes = Some((since, first, *done, *total));
                }
            }
            Event::Note { .. } => {}
        }
        for line in line.iter().flat_map(|l| l.lines()) {
            if self.log.len() == LOG {
                self.log.pop_front();
            }
            self.log.push_back(line.to_owned());
        }
    }

    fn end(&mut self, step: &str, at: Duration) {
        if let Some(going) = self.going.get_mut(step) {
            going.ended = Some(at);
        }
    }

    /// A step that has begun.
    pub fn going(&self, step: &str) -> Option<&Going> {
        self.going.get(step)
    }

    /// The newest lines of the log, the oldest first.
    pub fn last(&self, lines: usize) -> impl Iterator<Item = &str> {
        self.log
            .iter()
            .skip(self.log.len().saturating_sub(lines))
            .map(String::as_str)
    }

    /// The first failure.
    pub fn failure(&self) -> Option<&(String, Explained)> {
        self.failure.as_ref()
    }

    /// What is to be expected at this time, by the engine's forecast.
    pub fn outlook(&self, at: Duration) -> Outlook {
        let standing = |(id, going): (&String, &Going)| {
            let standing = match going.ended {
                Some(_) => Standing::Ended,
                None => Standing::Running {
                    elapsed: at.saturating_sub(going.began),
                    counted: going.counted(at),
                },
            };
            (id.clone(), standing)
        };
        outlook(&self.outline, &self.going.iter().map(standing).collect())
    }

    /// Until when the run is promised to end, and why that is later than what was said before, if it is. The promise only ever
    /// moves to an earlier time without a word.
    pub fn promise(&mut self, at: Duration) -> (Duration, Option<&str>) {
        let ahead = self.outlook(at);
        let end = at + ahead.left;
        match self.promise {
            Some(said) if end > said + TOLERANCE => {
                self.promise = Some(end);
                self.excuse = Some(match (ahead.path.first(), ahead.late) {
                    (Some(step), Some(late)) => format!("`{step}` is {} s over its plan", late.as_secs()),
                    (Some(step), None) => format!("`{step}` began late"),
                    _ => "the plan has grown".to_owned(),
                });
            }
            Some(said) if end >= said => {}
            _ => self.promise = Some(end),
        }
        (self.promise.unwrap_or(end), self.excuse.as_deref())
    }
}

impl Going {
    /// What is left by the count of bytes, once two seconds have told a rate.
    fn counted(&self, at: Duration) -> Option<Duration> {
        let (since, first, done, total) = self.bytes?;
        let (gone, moved) = (at.saturating_sub(since), done.saturating_sub(first));
        if total <= done || moved == 0 || gone < Duration::from_secs(2) {
            return None;
        }
        let left = gone.as_secs_f64() / moved as f64 * (total - done) as f64;
        Some(Duration::from_secs_f64(left.min(86_400.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn plan() -> Vec<Outline> {
        let step = |id: &str, needs: &[&str], budget| Outline {
            id: id.into(),
            title: id.into(),
            needs: needs.iter().map(|n| (*n).to_owned()).collect(),
            budget: seconds(budget),
        };
        vec![step("a", &[], 10), step("b", &["a"], 100)]
    }

    fn started(step: &str) -> Event {
        Event::Started {
            step: step.into(),
            title: step.into(),
        }
    }

    #[test]
    fn the_end_is_never_moved_later_without_a_word() {
        let mut board = Board::new(plan());
        board.hear(&started("a"), Duration::ZERO, None);
        let mut last = (board.promise(Duration::ZERO).0, None);
        assert_eq!(last.0, seconds(110));
        for at in 1..60 {
            let (end, excuse) = board.promise(seconds(at));
            let excuse = excuse.map(str::to_owned);
            assert!(end <= last.0 || excuse != last.1, "{at} s: {end:?} after {last:?}");
            last = (end, excuse);
        }
        assert!(last.1.unwrap().contains("`a` is"));
    }

    #[test]
    fn bytes_that_are_counted_decide_over_budgets() {
        let mut board = Board::new(plan());
        board.hear(&started("b"), Duration::ZERO, None);
        let bytes = |done| Event::Bytes {
            step: "b".into(),
            done,
            total: 1000,
        };
        board.hear(&bytes(0), seconds(0), None);
        board.hear(&bytes(100), seconds(40), None);
        assert_eq!(board.outlook(seconds(40)).left.as_secs(), 370);
    }
}
