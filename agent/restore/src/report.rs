//! Progress as JSON lines on standard output, which the laptop reads back from the pod's log.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Something to say.
enum Word {
    So(SoFar),
    Waits(String),
}

/// Called with each of them.
type Say = dyn Fn(Word) + Send + Sync;

/// What a restore is at. Half of its way is writing, half is reading back; only the outcome says that it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Files are written.
    Write,
    /// They are read back and compared.
    Verify,
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoFar {
    /// At what.
    pub phase: Phase,
    /// Bytes of it that are done.
    pub done: u64,
    /// Bytes of it in all.
    pub total: u64,
}

impl SoFar {
    /// Bytes written and read back, of all that are to be. Never all of them: verified is what has an outcome.
    pub fn bytes(self) -> (u64, u64) {
        let all = self.total.saturating_mul(2);
        let done = match self.phase {
            Phase::Write => self.done.min(self.total),
            Phase::Verify => self.total.saturating_add(self.done),
        };
        (done.min(all.saturating_sub(1)), all)
    }
}

impl fmt::Display for SoFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, all) = self.bytes();
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(0);
        let doing = match self.phase {
            Phase::Write => "written",
            Phase::Verify => "read back and compared",
        };
        write!(f, "{percent} %: {} of {} bytes {doing}", self.done, self.total)
    }
}

/// Where progress goes.
#[derive(Clone)]
pub(crate) struct Report(Arc<Say>);

impl Report {
    /// Nowhere.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Report(Arc::new(|_| ()))
    }

    /// To standard output, at most once a second (and the last one always).
    pub(crate) fn lines() -> Self {
        let last: Mutex<Option<Instant>> = Mutex::new(None);
        Report(Arc::new(move |word| {
            let so_far = match word {
                Word::So(so_far) => so_far,
                Word::Waits(text) => return line(&serde_json::json!({"waits": text})),
            };
            let Ok(mut last) = last.lock() else { return };
            if so_far.done < so_far.total && last.is_some_and(|at| at.elapsed() < Duration::from_secs(1)) {
                return;
            }
            *last = Some(Instant::now());
            line(&serde_json::json!({"progress": so_far}));
        }))
    }

    /// To a step of this process.
    pub(crate) fn to(progress: skykeep_core::Progress) -> Self {
        Report(Arc::new(move |word| match word {
            Word::So(so_far) => {
                let (done, all) = so_far.bytes();
                progress.bytes(done, all);
            }
            Word::Waits(text) => progress.note(text),
        }))
    }

    /// Says how far it is.
    pub(crate) fn say(&self, phase: Phase, done: u64, total: u64) {
        (self.0)(Word::So(SoFar { phase, done, total }));
    }

    /// Says what it waits for.
    pub(crate) fn waits(&self, text: String) {
        (self.0)(Word::Waits(text));
    }

    /// Into a list: what it waited for.
    #[cfg(test)]
    pub(crate) fn heard(list: Arc<Mutex<Vec<String>>>) -> Self {
        Report(Arc::new(move |word| {
            if let (Word::Waits(text), Ok(mut list)) = (word, list.lock()) {
                list.push(text);
            }
        }))
    }
}

/// Writes a JSON line; that nobody reads is no reason to stop a restore.
pub(crate) fn line(value: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{value}");
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_all_done_before_it_was_verified() {
        let so_far = |phase, done| SoFar {
            phase,
            done,
            total: 200,
        };
        assert_eq!(so_far(Phase::Write, 200).to_string(), "50 %: 200 of 200 bytes written");
        assert_eq!(
            so_far(Phase::Verify, 100).to_string(),
            "75 %: 100 of 200 bytes read back and compared"
        );
        assert!(so_far(Phase::Verify, 200).to_string().starts_with("99 %"));
        let nothing = SoFar {
            total: 0,
            ..so_far(Phase::Verify, 0)
        };
        assert!(nothing.to_string().starts_with("0 %"));
    }
}
