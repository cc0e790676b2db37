//! A target's health: a state machine over the results of checks. Pure.

use std::time::{Duration, Instant};

use crate::spec::HealthCheck;

/// What is known of one target.
#[derive(Debug, Default)]
pub struct Health {
    healthy: bool,
    successes: u32,
    failures: u32,
    running: bool,
    last: Option<Instant>,
}

impl Health {
    /// Whether it gets connections.
    pub fn healthy(&self) -> bool {
        self.healthy
    }

    /// Whether a check is due; if so it counts as begun.
    pub fn begin(&mut self, now: Instant, interval: Duration) -> bool {
        let due = !self.running && self.last.is_none_or(|last| now.duration_since(last) >= interval);
        if due {
            self.running = true;
            self.last = Some(now);
        }
        due
    }

    /// A check ended.
    pub fn record(&mut self, answered: bool, check: &HealthCheck) {
        self.running = false;
        if answered {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            self.healthy |= self.successes >= check.healthy_threshold;
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            self.healthy &= self.failures < check.unhealthy_threshold;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_changes_only_after_the_threshold() {
        let check = HealthCheck {
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            ..HealthCheck::default()
        };
        let mut health = Health::default();
        let mut after = |answered| {
            health.record(answered, &check);
            health.healthy()
        };
        assert!(!after(true));
        assert!(!after(false));
        assert!(!after(true));
        assert!(after(true));
        assert!(after(false));
        assert!(after(false));
        assert!(!after(false));
    }

    #[test]
    fn a_check_is_due_once_per_interval_and_never_twice_at_once() {
        let (now, interval) = (Instant::now(), Duration::from_secs(5));
        let mut health = Health::default();
        assert!(health.begin(now, interval));
        assert!(!health.begin(now + interval, interval));
        health.record(true, &HealthCheck::default());
        assert!(!health.begin(now + Duration::from_secs(4), interval));
        assert!(health.begin(now + interval, interval));
    }
}
