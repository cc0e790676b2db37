//! Faults that a rehearsal orders at the front: the product is never told, it only meets them.

use std::sync::Mutex;
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The server answers with this status and text instead of doing anything.
    Status {
        /// HTTP status.
        code: u16,
        /// Body.
        body: String,
        /// Seconds for a Retry-After header.
        retry_after: Option<u64>,
    },
    /// The request is served late.
    Delay(Duration),
    /// The connection is cut before anything is done.
    Reset,
    /// The request is carried out, but its answer never arrives.
    LoseAnswer,
}

/// A fault for some requests.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Part of the host's name.
    pub host: String,
    /// Method; empty for any.
    pub method: String,
    /// Part of the path; empty for any.
    pub path: String,
    /// How many matching requests pass before it begins.
    pub after: usize,
    /// How many requests it hits.
    pub times: usize,
    /// What happens to them.
    pub fault: Fault,
}

/// The rules in force.
#[derive(Default)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
}

impl Faults {
    /// Adds a rule; the earliest matching one applies.
    pub fn order(&self, rule: Rule) {
        if let Ok(mut rules) = self.rules.lock() {
            rules.push(rule);
        }
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        if let Ok(mut rules) = self.rules.lock() {
            rules.clear();
        }
    }

    /// The fault that this request meets, if any; counts it.
    pub(crate) fn next(&self, host: &str, method: &str, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().ok()?;
        for rule in rules.iter_mut() {
            let fits = host.contains(&rule.host)
                && (rule.method.is_empty() || rule.method == method)
                && path.contains(&rule.path);
            if !fits || rule.times == 0 {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            rule.times -= 1;
            return Some(rule.fault.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_waits_hits_and_is_spent() {
        let faults = Faults::default();
        let rule = Rule {
            host: "s3".into(),
            method: "PUT".into(),
            path: "/b".into(),
            after: 1,
            times: 1,
            fault: Fault::Reset,
        };
        faults.order(rule);
        let hit = |method: &str| faults.next("s3.eu", method, "/b/k").is_some();
        assert_eq!(
            [hit("GET"), hit("PUT"), hit("PUT"), hit("PUT")],
            [false, false, true, false]
        );
    }
}
