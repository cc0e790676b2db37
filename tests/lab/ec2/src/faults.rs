//! The fault script: what shall go wrong, how often, at which action. Empty by default.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{ApiError, Service};

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// "Request limit exceeded"; nothing is done.
    Throttle,
    /// 503; nothing is done.
    Unavailable,
    /// 500; nothing is done.
    Internal,
    /// The action is carried out, the connection breaks before the reply.
    LostReply,
    /// The connection breaks, nothing is done.
    LostRequest,
    /// No machines left in the zone (RunInstances).
    NoCapacity,
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

/// The script, shared between the double and the laboratory.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    script: Arc<Mutex<Vec<Entry>>>,
    stale: Arc<Mutex<Duration>>,
    full: Arc<Mutex<Vec<(String, String)>>>,
}

impl Faults {
    fn script(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `times` calls of `action` (`*` for any) meet this fault.
    pub fn next(&self, action: &str, times: usize, fault: Fault) {
        self.after(action, 0, times, fault);
    }

    /// As `next`, but the first `skip` calls pass.
    pub fn after(&self, action: &str, skip: usize, times: usize, fault: Fault) {
        self.script().push(Entry {
            action: action.to_owned(),
            fault,
            skip,
            times,
        });
    }

    /// New resources stay invisible to reads for this long (eventual consistency); zero switches it off.
    pub fn stale_reads(&self, window: Duration) {
        *self.stale.lock().unwrap_or_else(PoisonError::into_inner) = window;
    }

    /// The window of `stale_reads`.
    pub fn window(&self) -> Duration {
        *self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No machine of this type (`*` for any) is left in this zone, until `clear`.
    pub fn full(&self, zone: &str, kind: &str) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        full.push((zone.to_owned(), kind.to_owned()));
    }

    /// The zones and types without machines.
    pub fn without_capacity(&self) -> Vec<(String, String)> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// No more faults.
    pub fn clear(&self) {
        self.script().clear();
        self.full.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.stale_reads(Duration::ZERO);
    }

    /// How many calls still wait for their fault.
    pub fn left(&self) -> usize {
        self.script().iter().map(|e| e.times).sum()
    }

    /// What this call meets.
    pub fn take(&self, action: &str) -> Option<Fault> {
        let mut script = self.script();
        let at = script.iter().position(|e| e.action == action || e.action == "*")?;
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
    /// The reply, if this fault is one.
    pub fn error(self, service: Service, zone: &str, kind: &str) -> Option<ApiError> {
        let error = match self {
            Self::Throttle => match service {
                Service::Ec2 => ApiError::new(503, "RequestLimitExceeded", "Request limit exceeded."),
                Service::Ssm => ApiError::bad("ThrottlingException", "Rate exceeded"),
                Service::Quotas => ApiError::bad("TooManyRequestsException", "Rate exceeded"),
                _ => ApiError::bad("Throttling", "Rate exceeded"),
            },
            Self::Unavailable => match service {
                Service::Ec2 => ApiError::new(
                    503,
                    "Unavailable",
                    "The service is unavailable. Please try again shortly.",
                ),
                _ => ApiError::new(503, "ServiceUnavailable", "Service is unavailable."),
            },
            Self::Internal => match service {
                Service::Ec2 => ApiError::new(500, "InternalError", "An internal error has occurred"),
                _ => ApiError::new(500, "InternalFailure", "An internal error has occurred"),
            },
            Self::NoCapacity => no_capacity(zone, kind),
            Self::LostReply | Self::LostRequest | Self::Slow(_) => return None,
        };
        Some(error)
    }
}

/// The zone has no machine of this type.
pub(crate) fn no_capacity(zone: &str, kind: &str) -> ApiError {
    ApiError::new(
        500,
        "InsufficientInstanceCapacity",
        format!(
            "We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone}). Our system will be working on provisioning additional capacity. You can currently get {kind} capacity by not specifying an Availability Zone in your request or choosing another one."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_used_up_after_its_calls_and_hits_only_its_action() {
        let f = Faults::default();
        f.after("RunInstances", 1, 2, Fault::Throttle);
        assert_eq!(f.take("CreateVpc"), None);
        let met: Vec<_> = (0..4).map(|_| f.take("RunInstances")).collect();
        assert_eq!(met, [None, Some(Fault::Throttle), Some(Fault::Throttle), None]);
        assert_eq!(f.left(), 0);
    }
}
