//! A store that is asked again while its trouble may pass. The client itself tries for seconds; a store that asks everybody to slow
//! down, or a network that is gone, may take minutes, and a restore that stands in its middle has time.

use std::{
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use skykeep_aws::AwsError;
use skykeep_core::Explain;

use crate::{report::Report, store::Store};

/// How long one request's trouble may last.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// How it waits.
#[derive(Debug, Clone, Copy)]
struct Pace {
    first: Duration,
    longest: Duration,
    patience: Duration,
}

/// The store, with patience.
pub(crate) struct Patient<S> {
    store: S,
    report: Report,
    pace: Pace,
}

impl<S: Store> Patient<S> {
    /// Says what it waits for.
    pub(crate) fn new(store: S, report: Report) -> Self {
        Patient {
            store,
            report,
            pace: Pace {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(15),
                patience: PATIENCE,
            },
        }
    }

    fn ask<T>(&self, ask: impl Fn() -> Result<T, AwsError>) -> Result<T, AwsError> {
        let (began, mut pause) = (Instant::now(), self.pace.first);
        loop {
            let error = match ask() {
                Err(e) if e.is_transient() => e,
                done => return done,
            };
            let left = self.pace.patience.saturating_sub(began.elapsed());
            if left <= pause {
                return Err(error);
            }
            self.report.waits(format!(
                "the store is asked again for {} s more: {}: {}",
                left.as_secs(),
                error.what(),
                error.why()
            ));
            thread::sleep(pause);
            pause = (pause * 2).min(self.pace.longest);
        }
    }
}

impl<S: Store> Store for Patient<S> {
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, AwsError> {
        self.ask(|| self.store.list(prefix))
    }

    fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError> {
        self.ask(|| self.store.read(key))
    }

    fn read_part(&self, key: &str, offset: u64, length: u64) -> Result<Option<Bytes>, AwsError> {
        self.ask(|| self.store.read_part(key, offset, length))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Refuses so many times.
    struct Refuses {
        times: usize,
        asked: Arc<AtomicUsize>,
        code: &'static str,
        status: u16,
    }

    impl Store for Refuses {
        fn list(&self, _: &str) -> Result<Vec<(String, u64)>, AwsError> {
            Ok(Vec::new())
        }

        fn read(&self, _: &str) -> Result<Option<Bytes>, AwsError> {
            match self.asked.fetch_add(1, Ordering::SeqCst) < self.times {
                true => Err(AwsError::Refused {
                    action: "GetObject".into(),
                    code: self.code.into(),
                    message: String::new(),
                    request_id: String::new(),
                    status: self.status,
                }),
                false => Ok(Some(Bytes::from_static(b"here"))),
            }
        }

        fn read_part(&self, _: &str, _: u64, _: u64) -> Result<Option<Bytes>, AwsError> {
            Ok(None)
        }
    }

    /// The answer, how often was asked, and what was said.
    fn ask(times: usize, code: &'static str, status: u16) -> (Result<Option<Bytes>, AwsError>, usize, Vec<String>) {
        let (asked, said) = (Arc::default(), Arc::new(Mutex::new(Vec::new())));
        let refuses = Refuses {
            times,
            asked: Arc::clone(&asked),
            code,
            status,
        };
        let pace = Pace {
            first: Duration::from_millis(5),
            longest: Duration::from_millis(20),
            patience: Duration::from_millis(400),
        };
        let patient = Patient {
            pace,
            ..Patient::new(refuses, Report::heard(said.clone()))
        };
        let answer = patient.read("key");
        let said = said.lock().unwrap().clone();
        (answer, asked.load(Ordering::SeqCst), said)
    }

    #[test]
    fn what_may_pass_is_asked_for_again_and_said() {
        let (answer, asked, said) = ask(3, "SlowDown", 503);
        assert_eq!(
            (answer.unwrap().unwrap().as_ref(), asked, said.len()),
            (&b"here"[..], 4, 3)
        );
        assert!(
            said[0].contains("again") && said[0].contains("limits how fast"),
            "{said:?}"
        );
    }

    #[test]
    fn patience_ends_and_what_does_not_pass_is_not_asked_again() {
        let (answer, asked, _) = ask(usize::MAX, "SlowDown", 503);
        assert!(answer.unwrap_err().is_throttled() && asked > 5, "{asked}");
        let (answer, asked, said) = ask(usize::MAX, "ExpiredToken", 403);
        assert!(answer.unwrap_err().is("ExpiredToken") && asked == 1 && said.is_empty());
    }
}
