//! The lease: which generation owns the castle, and which run works on it. One object in S3, conditional writes only.
//!
//! The rules, so that there are never two writers (DESIGN 4.11):
//! - Whoever holds the lease writes to it at least every third of [`TERM`]. Its own validity counts from the moment *before* a
//!   renewal was sent, on a clock that goes on while the laptop sleeps ([`BootClock`]).
//! - A lease counts as given up when its object has not changed for [`SILENT`], by the store's clock or as seen by ourselves.
//!   No laptop's wall clock is asked.
//! - While the lease is not valid nothing of the run is polled ([`Lease::hold`]); a write that can't be repeated renews first
//!   and is cut off at [`WRITE`] ([`Lease::write`]).
//! - A person may take the lease from a run at work. Then the new holder writes its name first and waits [`SILENT`].

mod clock;
mod decide;
mod hold;
mod record;
mod take;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skykeep_core::{Generation, Trouble};
use tokio::sync::{mpsc, oneshot, watch};

pub use clock::{BootClock, Clock};
pub use decide::{Claim, Decision, SILENT, decide};
pub use hold::only_while;
pub use record::{Found, Phase, Record, key, peek, run_id};
pub use take::Taker;

use crate::{error::RebirthError, store::Store};
use hold::{Command, Keeper};

/// How long a lease is good for without being renewed.
pub const TERM: Duration = Duration::from_secs(60);
/// The longest that one request to any supplier can take: the limit of the HTTP client.
pub const LONGEST_REQUEST: Duration = Duration::from_secs(60);
/// How long a write that can't be repeated may take: less than a term, so that the lease outlasts it.
pub const WRITE: Duration = Duration::from_secs(45);
/// How long one look at the lease, or one write to it, may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A lease that this run holds. It is renewed in the background until this is dropped.
pub struct Lease {
    generation: Generation,
    clock: Arc<dyn Clock>,
    /// Until when it is ours, milliseconds of the clock.
    valid_until: Arc<AtomicU64>,
    /// Until when a write that was broken off may still land, milliseconds of the clock.
    doubtful_until: AtomicU64,
    lost: watch::Receiver<Option<String>>,
    commands: mpsc::Sender<Command>,
    keeper: tokio::task::AbortHandle,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Lease {
    fn begin(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        key: String,
        record: Record,
        etag: String,
        since: Duration,
    ) -> Self {
        let valid_until = Arc::new(AtomicU64::new(0));
        let (commands, orders) = mpsc::channel(16);
        let (lose, lost) = watch::channel(None);
        let generation = record.generation;
        let keeper = Keeper {
            store,
            clock: clock.clone(),
            key,
            record,
            etag,
            valid_until: valid_until.clone(),
            lose,
        };
        keeper.valid_from(since);
        Lease {
            generation,
            clock,
            valid_until,
            doubtful_until: AtomicU64::new(0),
            lost,
            commands,
            keeper: tokio::spawn(keeper.keep(orders)).abort_handle(),
        }
    }

    /// The generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// For how long it is certainly still ours.
    pub fn valid_for(&self) -> Duration {
        Duration::from_millis(self.valid_until.load(Ordering::SeqCst)).saturating_sub(self.clock.now())
    }

    /// Ends when the lease is lost for good.
    pub async fn lost(&self) -> Trouble {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => RebirthError::LeaseLost(why).into(),
            // The keeper ends only with the lease itself.
            _ => std::future::pending().await,
        }
    }

    /// Renews the lease and, when given, moves the phase on.
    pub async fn renew(&self, phase: Option<Phase>) -> Result<(), Trouble> {
        self.order(phase, false).await
    }

    /// Gives the lease back at the end of a run, with its last phase. When a write was broken off a moment ago, the lease is
    /// only let go: the next run has to wait until that write can't land any more.
    pub async fn release(&self, phase: Option<Phase>) -> Result<(), Trouble> {
        let doubtful = Duration::from_millis(self.doubtful_until.load(Ordering::SeqCst)) > self.clock.now();
        if !doubtful {
            return self.order(phase, true).await;
        }
        self.order(phase, false).await?;
        self.keeper.abort();
        self.valid_until.store(0, Ordering::SeqCst);
        Ok(())
    }

    async fn order(&self, phase: Option<Phase>, release: bool) -> Result<(), Trouble> {
        let (reply, answer) = oneshot::channel();
        let command = Command { phase, release, reply };
        let sent = self.commands.send(command).await.is_ok();
        match answer.await {
            Ok(result) if sent => result,
            _ => {
                let why = self.lost.borrow().clone();
                Err(RebirthError::LeaseLost(why.unwrap_or_else(|| "it was given back".into())).into())
            }
        }
    }
}
