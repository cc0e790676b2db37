//! Holding a lease: renewing it, and doing nothing while it is not certainly ours.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures::future::poll_fn;
use skykeep_aws::{AwsError, Condition, Put};
use skykeep_core::{Explained, Trouble};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    ANSWER, Clock, LONGEST_REQUEST, Lease, Phase, Record, TERM, WRITE,
    record::{encode, random},
};
use crate::{error::RebirthError, store::Store};

/// How often the holder looks at its clock: a laptop that slept learns of it within this.
const TICK: Duration = Duration::from_millis(500);

/// An order to the keeper.
pub(super) struct Command {
    pub phase: Option<Phase>,
    pub release: bool,
    pub reply: oneshot::Sender<Result<(), Trouble>>,
}

/// The only one who writes to the object: in a task of its own, so that a run that is held still can't hold it still.
pub(super) struct Keeper {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub key: String,
    pub record: Record,
    pub etag: String,
    pub valid_until: Arc<AtomicU64>,
    pub lose: watch::Sender<Option<String>>,
}

/// How a write to the lease object ended.
enum Outcome {
    Written,
    /// Not known; to be tried again.
    Unsure(Trouble),
    Lost(String),
}

impl Keeper {
    /// The lease is ours for a term from this moment.
    pub fn valid_from(&self, moment: Duration) {
        let until = u64::try_from((moment + TERM).as_millis()).unwrap_or(0);
        self.valid_until.store(until, Ordering::SeqCst);
    }

    /// Renews until the lease is released, lost, or dropped.
    pub async fn keep(mut self, mut orders: mpsc::Receiver<Command>) {
        let mut renewed = self.clock.now();
        let mut pause = TERM / 3;
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some(Command { phase, release, reply }) = order else { return };
                    let result = self.carry_out(phase, release).await;
                    (renewed, pause) = (self.clock.now(), TERM / 3);
                    let over = release || self.lose.borrow().is_some();
                    // Whoever asked may be gone.
                    let _ = reply.send(result);
                    if over {
                        return;
                    }
                }
                () = sleep(TICK) => {
                    let now = self.clock.now();
                    if now < renewed + pause {
                        continue;
                    }
                    renewed = now;
                    pause = match self.write(None, false).await {
                        Outcome::Written => TERM / 3,
                        Outcome::Unsure(_) => Duration::from_secs(3),
                        Outcome::Lost(why) => {
                            self.give_up(why);
                            return;
                        }
                    };
                }
            }
        }
    }

    fn give_up(&self, why: String) {
        self.valid_until.store(0, Ordering::SeqCst);
        self.lose.send_replace(Some(why));
    }

    async fn carry_out(&mut self, phase: Option<Phase>, release: bool) -> Result<(), Trouble> {
        let mut pause = Duration::from_millis(300);
        for _ in 0..4 {
            match self.write(phase, release).await {
                Outcome::Written => return Ok(()),
                Outcome::Lost(why) => {
                    self.give_up(why.clone());
                    return Err(RebirthError::LeaseLost(why).into());
                }
                Outcome::Unsure(trouble) if pause > Duration::from_secs(2) => return Err(trouble),
                Outcome::Unsure(_) => sleep(pause).await,
            }
            pause *= 2;
        }
        Err(RebirthError::LeaseUnsure("the lease object did not take a write four times".into()).into())
    }

    /// One write by `If-Match`. When its reply is lost, or says that the object is another one, what stands there decides.
    async fn write(&mut self, phase: Option<Phase>, release: bool) -> Outcome {
        let began = self.clock.now();
        let mut record = self.record.clone();
        record.nonce = match random() {
            Ok(nonce) => nonce,
            Err(error) => return Outcome::Unsure(error.into()),
        };
        record.released = release;
        record.state = phase.unwrap_or(record.state);
        let body = match encode(&record) {
            Ok(body) => body,
            Err(error) => return Outcome::Unsure(error.into()),
        };
        let put = self.store.put(&self.key, body, Condition::Is(&self.etag));
        if let Ok(Ok(Put::Done { etag })) = tokio::time::timeout(ANSWER, put).await {
            return self.wrote(record, etag, began);
        }
        // 404, 409, 412, an error or nothing: read what stands there.
        let read = match tokio::time::timeout(ANSWER, self.store.get(&self.key)).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Outcome::Unsure(error.into()),
            Err(_late) => return Outcome::Unsure(late(&self.key).into()),
        };
        let Some(object) = read else {
            return Outcome::Lost("the lease object was deleted".into());
        };
        match serde_json::from_slice::<Record>(&object.bytes) {
            Ok(now) if now.holder == self.record.holder && now.nonce == record.nonce => {
                self.wrote(record, object.etag, began)
            }
            // An earlier write of ours: this one was not done, or not yet; the next one goes on from there.
            Ok(now) if now.holder == self.record.holder => {
                self.etag = object.etag;
                Outcome::Unsure(RebirthError::LeaseUnsure("the store did not take the last write".into()).into())
            }
            Ok(now) => Outcome::Lost(format!("it was taken over by run {} {}", now.holder, now.from)),
            Err(e) => Outcome::Lost(format!("the lease object can't be read any more: {e}")),
        }
    }

    fn wrote(&mut self, record: Record, etag: String, began: Duration) -> Outcome {
        if record.released {
            self.valid_until.store(0, Ordering::SeqCst);
        } else {
            self.valid_from(began);
        }
        (self.record, self.etag) = (record, etag);
        Outcome::Written
    }
}

pub(super) fn late(key: &str) -> AwsError {
    AwsError::NoAnswer {
        action: "the lease".into(),
        host: "the state bucket".into(),
        why: format!("{key} was not answered within {} s", ANSWER.as_secs()),
    }
}

/// Carries `work` on only while `may` says so: meanwhile nothing of it runs, and nothing of it is lost.
pub async fn only_while<T>(may: impl Fn() -> bool, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut tick = ticks();
    poll_fn(|cx| {
        // So that somebody looks again when nothing else happens.
        while tick.poll_tick(cx).is_ready() {}
        if may() { work.as_mut().poll(cx) } else { Poll::Pending }
    })
    .await
}

fn ticks() -> tokio::time::Interval {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

impl Lease {
    /// Whether work may go on: the lease is certainly ours, or it is lost and whoever works must be told.
    pub fn lets_work(&self) -> bool {
        !self.valid_for().is_zero() || self.lost.borrow().is_some()
    }

    /// Carries `work` on only while the lease is certainly ours. While it is not, because the laptop slept or the store is out
    /// of reach, nothing of it runs; it goes on when the lease was renewed, and is dropped when the lease is lost.
    pub async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T, Trouble> {
        tokio::select! {
            biased;
            trouble = self.lost() => Err(trouble),
            done = only_while(|| !self.valid_for().is_zero(), work) => Ok(done),
        }
    }

    /// A write that must not be done twice or by two. The lease is renewed before it, must outlast it, and it is cut off when
    /// it would not.
    pub async fn write<T>(&self, what: &str, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        self.renew(None).await?;
        let end = self.clock.now() + WRITE;
        if self.valid_for() < WRITE {
            let why = format!("renewing it took so long that it would not outlast {what}");
            return Err(RebirthError::LeaseUnsure(why).into());
        }
        let mut work = pin!(work);
        let mut tick = ticks();
        let mut doubt = Doubt(Some(self));
        poll_fn(|cx| {
            while tick.poll_tick(cx).is_ready() {}
            if self.clock.now() >= end || self.valid_for().is_zero() {
                return Poll::Ready(Err(cut(what).into()));
            }
            let ended = work.as_mut().poll(cx);
            if ended.is_ready() {
                doubt.0 = None;
            }
            ended
        })
        .await
    }
}

/// A write under way. When it is dropped before its end, it may still land.
struct Doubt<'a>(Option<&'a Lease>);

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.0 {
            let until = lease.clock.now() + LONGEST_REQUEST;
            let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
            lease.doubtful_until.fetch_max(until, Ordering::SeqCst);
        }
    }
}

fn cut(what: &str) -> Explained {
    Explained {
        what: format!("{what}: broken off, and not known to be done"),
        why: format!(
            "it did not end within {} s, and the lease must outlast it",
            WRITE.as_secs()
        ),
        remedy: "Start again: what was done is found and kept.".into(),
    }
}
