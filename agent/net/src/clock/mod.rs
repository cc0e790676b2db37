//! The time, from answers that are authenticated.
//!
//! A borrowed laptop's clock may be years off, and a certificate can't be judged without a time. So each of the castle's own hosts is asked over TLS; its chain is
//! verified first at a time inside the leaf's own validity, and once more at the time that the host then told. The median of the answers counts, it may not be before
//! the image was built, and only then is the machine's clock set.
//!
//! What remains: who holds the key of a certificate that was valid after the image was built, for most of the asked hosts, could turn the clock back to then.

mod decide;
mod host;
mod validity;
mod verify;

use crate::error::NetError;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use skykeep_core::{Deadline, Progress, http::Trust};
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A time that several hosts vouch for, and when (on this machine's steady clock) it was so.
#[derive(Debug, Clone)]
pub struct Reading {
    time: SystemTime,
    taken: Instant,
    hosts: usize,
}

impl Reading {
    /// The time now, by this reading.
    pub fn now(&self) -> SystemTime {
        self.time + self.taken.elapsed()
    }

    /// How many hosts agree.
    pub fn hosts(&self) -> usize {
        self.hosts
    }
}

/// How far a host was reached, in the order of the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Not even its name has an address.
    #[default]
    Nothing,
    /// It has an address, and nobody answers there.
    Names,
    /// Somebody answers, and can't prove to be that host.
    Connection,
    /// It proved who it is, and told no usable time.
    Tls,
}

/// How the clock was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// By how many seconds the clock was moved: positive when it was slow.
    pub seconds: i64,
    /// How many hosts agree.
    pub hosts: usize,
}

/// Sets the machine's clock by a reading. Says how far off it was.
pub fn set(reading: &Reading, progress: &Progress) -> Result<Change, NetError> {
    let change = apply(reading)?;
    progress.note(describe(change));
    Ok(change)
}

fn describe(change: Change) -> String {
    let Change { seconds, hosts } = change;
    match seconds {
        -1..=1 => format!("the clock is right ({hosts} hosts agree)"),
        2.. => format!("the clock was {seconds} s slow, set ({hosts} hosts agree)"),
        _ => format!(
            "the clock was {} s fast, set ({hosts} hosts agree)",
            seconds.unsigned_abs()
        ),
    }
}

/// Learns the time without changing anything. Two hosts at least must answer and agree.
pub async fn measure(
    hosts: &[String],
    trust: &Trust,
    not_before: SystemTime,
    limit: Duration,
) -> Result<Reading, NetError> {
    let deadline = Deadline::after(limit);
    let mut asking = JoinSet::new();
    for host in hosts {
        let (host, trust) = (host.clone(), trust.clone());
        asking.spawn(async move {
            let so_far = host::Progressed::default();
            let asked = host::ask(&host, &trust, not_before, &so_far);
            let answer = tokio::time::timeout(deadline.remaining(), asked).await;
            let answer = answer.unwrap_or_else(|_| Err(format!("no answer in {} s", limit.as_secs())));
            (host, answer, so_far.get())
        });
    }
    let mut told = Vec::new();
    let mut silent = Vec::new();
    let mut best = Reached::default();
    while let Some(done) = asking.join_next().await {
        match done {
            Ok((host, Ok(answer), reached)) => {
                best = best.max(reached);
                told.push(decide::Told {
                    host,
                    time: answer.time,
                    taken: answer.taken,
                });
            }
            Ok((host, Err(why), reached)) => {
                best = best.max(reached);
                silent.push(format!("{host}: {why}"));
            }
            Err(e) => silent.push(e.to_string()),
        }
    }
    decide::agree(told, silent, not_before).map_err(|error| match error {
        NetError::NoTime { answers, .. } => NetError::NoTime { answers, reached: best },
        other => other,
    })
}

fn apply(reading: &Reading) -> Result<Change, NetError> {
    let refused = |answer: String| NetError::Kernel {
        asked: "set the clock".into(),
        answer,
    };
    let (old, new) = (SystemTime::now(), reading.now());
    let seconds = match new.duration_since(old) {
        Ok(slow) => i64::try_from(slow.as_secs()).unwrap_or(i64::MAX),
        Err(fast) => i64::try_from(fast.duration().as_secs()).map_or(i64::MIN, |s| -s),
    };
    let since_1970 = new
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|e| refused(e.to_string()))?;
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(since_1970)).map_err(|e| refused(e.to_string()))?;
    Ok(Change {
        seconds,
        hosts: reading.hosts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_the_clock_was_off_is_said() {
        assert!(describe(Change { seconds: 0, hosts: 3 }).contains("right"));
        assert!(
            describe(Change {
                seconds: 86_400,
                hosts: 3
            })
            .contains("86400 s slow")
        );
        assert!(describe(Change { seconds: -7, hosts: 2 }).contains("7 s fast"));
    }
}
