//! Every call with its outcome, for the laboratory's report and its counts.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use serde::Serialize;

use crate::cloud::lock;

/// One call.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// When it came.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// ec2, elasticloadbalancing, sts or ssm.
    pub service: String,
    /// The action.
    pub action: String,
    /// Parameters, long values (user data) shortened.
    pub params: BTreeMap<String, String>,
    /// `ok`, the error code, or what was injected (`lost reply`).
    pub result: String,
    /// The access key that signed, if the request named one.
    pub access_key: Option<String>,
}

/// The log.
#[derive(Default)]
pub(crate) struct Log {
    calls: Mutex<Vec<Call>>,
    events: Mutex<Vec<String>>,
}

impl Log {
    pub(crate) fn call(&self, call: Call) {
        lock(&self.calls).push(call);
    }

    pub(crate) fn event(&self, text: String) {
        lock(&self.events).push(format!("{} {text}", crate::ctx::time(Timestamp::now())));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    pub(crate) fn events(&self) -> Vec<String> {
        lock(&self.events).clone()
    }
}

/// Parameters fit for reading.
pub(crate) fn summary(form: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let short = |v: &String| match v.char_indices().nth(200) {
        Some((at, _)) => format!("{}… ({} bytes)", &v[..at], v.len()),
        None => v.clone(),
    };
    let plain = |k: &str| k != "Action" && k != "Version";
    form.iter()
        .filter(|(k, _)| plain(k))
        .map(|(k, v)| (k.clone(), short(v)))
        .collect()
}
