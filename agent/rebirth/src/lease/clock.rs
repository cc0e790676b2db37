//! A clock that goes on while the laptop sleeps.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time that has passed since some fixed moment, sleep included.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Duration;
}

/// The kernel's `CLOCK_BOOTTIME`. The wall clock is asked for nothing that matters: it may be wrong by years.
#[derive(Debug, Clone, Copy, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Duration {
        // The clock exists on every Linux since 2.6.39; should it fail, every lease counts as lapsed.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
    }
}
