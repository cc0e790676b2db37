//! Taking a lease.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use skykeep_aws::{Condition, Put};
use skykeep_core::{Deadline, Generation, Progress, Trouble};
use tokio::time::{sleep, timeout};

use super::{
    ANSWER, Claim, Clock, Decision, Found, Lease, Phase, Record, SILENT, decide,
    hold::late,
    key, peek,
    record::{encode, random},
};
use crate::{error::RebirthError, store::Store};

/// How often a lease of another is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Who wants the lease of which castle.
pub struct Taker<'a> {
    /// Where the lease is.
    pub store: Arc<dyn Store>,
    /// A clock that counts sleep.
    pub clock: Arc<dyn Clock>,
    /// The castle's name.
    pub castle: &'a str,
    /// The run's id.
    pub run: &'a str,
    /// Where this run comes from, for the person at another laptop.
    pub from: String,
    /// Which leases it may take.
    pub claim: Claim,
}

/// The write of the lease that is being watched: its nonce, and since when.
struct Watched {
    nonce: String,
    since: Duration,
    renewed: bool,
}

impl Taker<'_> {
    /// Takes the lease: begins a generation when none stands, goes on with the one that does. The flag says whether the
    /// generation is new. Waits, within `deadline`, until a run that says nothing any more counts as gone; a run that renews
    /// its lease is an error at once that says who it is, unless the claim is on any lease.
    pub async fn take(&self, deadline: Deadline, progress: &Progress) -> Result<(Lease, bool), Trouble> {
        let mut watched: Option<Watched> = None;
        // Whom we have written over, perhaps: a write that seemed lost may have landed late.
        let mut seized: Option<Record> = None;
        loop {
            let asked = self.clock.now();
            let found = match timeout(ANSWER, peek(&*self.store, self.castle)).await {
                Ok(Ok(found)) => found,
                Ok(Err(trouble)) if !trouble.is_transient() || deadline.passed() => return Err(trouble),
                Err(_late) if deadline.passed() => return Err(late(&key(self.castle)).into()),
                Ok(Err(_)) | Err(_) => {
                    sleep(LOOK).await;
                    continue;
                }
            };
            let (seen_for, renewed) = self.watch(&mut watched, found.as_ref(), asked);
            let decision = decide(found.as_ref(), self.run, self.claim, seen_for, renewed);
            let (generation, new) = match (decision, &found) {
                (Decision::Begin, _) => (fresh()?, true),
                (Decision::Resume(generation), _) => (generation, false),
                (Decision::Seize(generation), Some(found)) => {
                    seized = Some(found.record.clone());
                    (generation, false)
                }
                (Decision::Watch(left), Some(found)) if left < deadline.remaining() => {
                    let said = format!("until run {} {} is surely gone", found.record.holder, found.record.from);
                    progress.waits(&said, &format!("{} s more without a sign of life", left.as_secs()));
                    sleep(LOOK.min(left)).await;
                    continue;
                }
                (Decision::Watch(_) | Decision::Held, Some(found)) => return Err(held(&found.record).into()),
                (Decision::Watch(_) | Decision::Held | Decision::Seize(_), None) => continue,
            };
            let state = match &found {
                Some(found) if !new => found.record.state,
                _ => Phase::Building,
            };
            let record = Record {
                version: 2,
                generation,
                state,
                holder: self.run.to_owned(),
                from: self.from.clone(),
                since: Timestamp::now().as_second(),
                released: false,
                nonce: random()?,
            };
            let sent = self.clock.now();
            let Some(etag) = self.put(&record, found.as_ref()).await? else {
                // Somebody was faster, or nothing is known: look again.
                if deadline.passed() {
                    return Err(RebirthError::LeaseUnsure("the lease object changes under us".into()).into());
                }
                sleep(Duration::from_millis(500)).await;
                continue;
            };
            let lease = Lease::begin(
                self.store.clone(),
                self.clock.clone(),
                key(self.castle),
                record,
                etag,
                sent,
            );
            if let Some(before) = &seized {
                self.outwait(&lease, before, progress).await?;
            }
            return Ok((lease, new));
        }
    }

    /// For how long exactly this write has been seen, and whether another was seen before it.
    fn watch(&self, watched: &mut Option<Watched>, found: Option<&Found>, asked: Duration) -> (Duration, bool) {
        let Some(found) = found else {
            *watched = None;
            return (Duration::ZERO, false);
        };
        match watched {
            // It stood there before we asked this time; since when we know from when it was first answered.
            Some(w) if w.nonce == found.record.nonce => (asked.saturating_sub(w.since), w.renewed),
            before => {
                let renewed = before.is_some();
                *before = Some(Watched {
                    nonce: found.record.nonce.clone(),
                    since: self.clock.now(),
                    renewed,
                });
                (Duration::ZERO, renewed)
            }
        }
    }

    /// Writes our record in place of what was found; `None` when it is not known to stand there.
    async fn put(&self, record: &Record, found: Option<&Found>) -> Result<Option<String>, Trouble> {
        let key = key(self.castle);
        let condition = found.map_or(Condition::Absent, |f| Condition::Is(&f.etag));
        let put = timeout(ANSWER, self.store.put(&key, encode(record)?, condition)).await;
        match put {
            Ok(Ok(Put::Done { etag })) => return Ok(Some(etag)),
            // Certainly not written: another was faster (412), is writing (409), or the object went away (404).
            Ok(Ok(Put::PreconditionFailed | Put::Conflict | Put::NotFound)) => {}
            Ok(Err(error)) if !skykeep_core::Explain::is_transient(&error) => return Err(error.into()),
            Ok(Err(_)) | Err(_) => {}
        }
        // The reply may be all that was lost; a store may also answer 412 to its own repetition of our write.
        Ok(match timeout(ANSWER, peek(&*self.store, self.castle)).await {
            Ok(Ok(Some(now))) if now.record.nonce == record.nonce => Some(now.etag),
            _ => None,
        })
    }

    /// Our name stands in the lease; the one before may still finish what it has begun.
    async fn outwait(&self, lease: &Lease, before: &Record, progress: &Progress) -> Result<(), Trouble> {
        // Until now it could renew; from now on it can't.
        let since = self.clock.now();
        loop {
            let gone = self.clock.now().saturating_sub(since);
            if gone >= SILENT {
                return Ok(());
            }
            let said = format!("until run {} {} has surely stopped", before.holder, before.from);
            progress.waits(&said, &format!("{} s more", (SILENT - gone).as_secs()));
            tokio::select! {
                biased;
                trouble = lease.lost() => return Err(trouble),
                () = sleep(LOOK.min(SILENT - gone)) => {}
            }
        }
    }
}

fn held(record: &Record) -> RebirthError {
    let since = Timestamp::from_second(record.since)
        .map(|t| t.to_string())
        .unwrap_or_default();
    RebirthError::LeaseHeld {
        holder: record.holder.clone(),
        from: record.from.clone(),
        since,
    }
}

fn fresh() -> Result<Generation, RebirthError> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|e| RebirthError::LeaseUnreadable(format!("no random numbers: {e}")))?;
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    Ok(Generation::new(now, u128::from_le_bytes(random)))
}
