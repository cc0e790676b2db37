//! Something that happens when nobody says in time that it is not needed.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Armed until it is dropped.
pub struct Watchdog {
    _dropping_disarms: Option<Sender<()>>,
}

impl Watchdog {
    /// `action` runs, on a thread of its own, when the watchdog still stands after `limit`. When no thread can be made there is none.
    pub fn arm(limit: Duration, action: impl FnOnce() + Send + 'static) -> Self {
        let (alive, listen) = channel::<()>();
        let wait = move || {
            if listen.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                action();
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(wait);
        Watchdog {
            _dropping_disarms: thread.ok().map(|_| alive),
        }
    }

    /// Never disarmed.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_acts_when_the_work_hangs() {
        let (told, hear) = channel();
        let _armed = Watchdog::arm(Duration::from_millis(10), move || told.send(()).expect("listener"));
        hear.recv_timeout(Duration::from_secs(10)).expect("it acted");
    }

    #[test]
    fn it_does_nothing_when_the_work_was_done_in_time() {
        let (told, hear) = channel::<()>();
        drop(Watchdog::arm(Duration::from_secs(60), move || {
            let _ = told.send(());
        }));
        // The thread ends without acting, and with it its end of the channel.
        assert_eq!(
            hear.recv_timeout(Duration::from_secs(10)),
            Err(RecvTimeoutError::Disconnected)
        );
    }
}
