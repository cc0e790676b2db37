//! Progress as JSON lines on standard output, which the laptop reads back from the pod's log.

use std::{
    fmt,
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustic_core::{Progress, ProgressBars, ProgressType, RusticProgress};

/// Called with bytes done and bytes in all.
type Say = dyn Fn(u64, u64) + Send + Sync;

/// Where progress goes.
#[derive(Clone)]
pub(crate) struct Report(Arc<Say>);

impl Report {
    /// Nowhere.
    pub(crate) fn silent() -> Self {
        Report(Arc::new(|_, _| ()))
    }

    /// To standard output, at most once a second (and the last one always).
    pub(crate) fn lines() -> Self {
        let last: Mutex<Option<Instant>> = Mutex::new(None);
        Report(Arc::new(move |done, total| {
            let Ok(mut last) = last.lock() else { return };
            if done < total && last.is_some_and(|at| at.elapsed() < Duration::from_secs(1)) {
                return;
            }
            *last = Some(Instant::now());
            line(&serde_json::json!({"progress": {"done": done, "total": total}}));
        }))
    }

    /// Says how far it is.
    pub(crate) fn say(&self, done: u64, total: u64) {
        (self.0)(done, total);
    }
}

/// Writes a JSON line; that nobody reads is no reason to stop a restore.
pub(crate) fn line(value: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{value}");
    let _ = out.flush();
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

impl ProgressBars for Report {
    fn progress(&self, kind: ProgressType, _prefix: &str) -> Progress {
        match kind {
            ProgressType::Bytes => Progress::new(Bar {
                report: self.clone(),
                done: AtomicU64::new(0),
                total: AtomicU64::new(0),
            }),
            ProgressType::Spinner | ProgressType::Counter => Progress::hidden(),
        }
    }
}

#[derive(Debug)]
struct Bar {
    report: Report,
    done: AtomicU64,
    total: AtomicU64,
}

impl RusticProgress for Bar {
    fn is_hidden(&self) -> bool {
        false
    }

    fn set_length(&self, length: u64) {
        self.total.store(length, Ordering::Relaxed);
    }

    fn set_title(&self, _title: &str) {}

    fn inc(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        self.report.say(done, self.total.load(Ordering::Relaxed));
    }

    fn finish(&self) {}
}
