//! The fault script, and every call with its outcome.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;

use crate::error::Refusal;

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 429; nothing is done.
    RateLimit,
    /// 503; nothing is done.
    Unavailable,
    /// 500; nothing is done.
    Internal,
    /// 409 `conflict`; nothing is done.
    Conflict,
    /// It is carried out, the connection breaks before the reply.
    LostReply,
    /// The connection breaks, nothing is done.
    LostRequest,
    /// The action begins and fails.
    Fails,
    /// The reply comes after this time.
    Slow(Duration),
}

#[derive(Debug)]
struct Entry {
    action: String,
    fault: Fault,
    skip: usize,
    times: usize,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// For example `POST servers`, `POST servers/attach_to_network`, `GET networks`.
    pub action: String,
    /// What was sent, user data shortened.
    pub body: Value,
    /// `ok`, the error's code, or what was injected.
    pub result: String,
}

/// The script, the places without machines, and the log.
#[derive(Debug, Default)]
pub struct Faults {
    script: Mutex<Vec<Entry>>,
    full: Mutex<Vec<(String, String)>>,
    calls: Mutex<Vec<Call>>,
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    /// The next `times` calls of `action` meet this fault.
    pub fn next(&self, action: &str, times: usize, fault: Fault) {
        self.after(action, 0, times, fault);
    }

    /// As `next`, but the first `skip` calls pass.
    pub fn after(&self, action: &str, skip: usize, times: usize, fault: Fault) {
        lock(&self.script).push(Entry {
            action: action.to_owned(),
            fault,
            skip,
            times,
        });
    }

    /// No server of this type (`*` for any) is left at this location, until `clear`.
    pub fn full(&self, location: &str, kind: &str) {
        lock(&self.full).push((location.to_owned(), kind.to_owned()));
    }

    pub(crate) fn is_full(&self, location: &str, kind: &str) -> bool {
        lock(&self.full)
            .iter()
            .any(|(l, k)| l == location && (k == kind || k == "*"))
    }

    /// No more faults.
    pub fn clear(&self) {
        lock(&self.script).clear();
        lock(&self.full).clear();
    }

    /// How many calls still wait for their fault.
    pub fn left(&self) -> usize {
        lock(&self.script).iter().map(|e| e.times).sum()
    }

    /// Every call so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    pub(crate) fn note(&self, call: Call) {
        lock(&self.calls).push(call);
    }

    pub(crate) fn take(&self, action: &str) -> Option<Fault> {
        let mut script = lock(&self.script);
        let at = script.iter().position(|e| e.action == action)?;
        let entry = script.get_mut(at)?;
        if entry.skip > 0 {
            entry.skip -= 1;
            return None;
        }
        let fault = entry.fault;
        entry.times = entry.times.saturating_sub(1);
        if entry.times == 0 {
            script.remove(at);
        }
        Some(fault)
    }
}

impl Fault {
    pub(crate) fn refusal(self) -> Option<Refusal> {
        Some(match self {
            Self::RateLimit => Refusal::new(
                429,
                "rate_limit_exceeded",
                "Limit of 3600 requests per hour reached, please see https://docs.hetzner.cloud/#rate-limiting",
            ),
            Self::Unavailable => Refusal::new(503, "unavailable", "service is currently not available"),
            Self::Internal => Refusal::new(500, "server_error", "an internal error occurred"),
            Self::Conflict => Refusal::new(409, "conflict", "resource has changed during the request, please retry"),
            Self::LostReply | Self::LostRequest | Self::Fails | Self::Slow(_) => return None,
        })
    }
}
