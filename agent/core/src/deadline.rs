//! Every wait has a deadline and says what it waits for.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use crate::{
    explain::{Explain, Trouble},
    progress::Progress,
};

tokio::task_local! {
    static VOICE: Progress;
}

/// Runs `work`; whatever it waits for by [`poll`] is told to `voice` as it changes.
pub async fn speaking<F: Future>(voice: Progress, work: F) -> F::Output {
    VOICE.scope(voice, work).await
}

/// A point in time on the monotonic clock after which a wait is given up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant, Duration);

impl Deadline {
    /// This long from now.
    pub fn after(limit: Duration) -> Self {
        Deadline(Instant::now() + limit, limit)
    }

    /// What is left; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// How long the whole wait was allowed to be.
    pub fn limit(&self) -> Duration {
        self.1
    }
}

/// A wait that ended at its deadline.
#[derive(Debug, thiserror::Error)]
#[error("waited {limit:?} for {what}: {last}")]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// What was last seen instead.
    pub last: String,
    /// How long the wait was.
    pub limit: Duration,
}

impl Explain for TimedOut {
    fn what(&self) -> String {
        format!("Gave up waiting for {} after {} s", self.what, self.limit.as_secs())
    }
    fn why(&self) -> String {
        format!("last seen: {}", self.last)
    }
    fn remedy(&self) -> String {
        "Look at what was last seen; when that is mended, start again: what stands is kept and adopted.".into()
    }
}

/// What one look at the world found.
pub enum Look<T> {
    /// It is there.
    Ready(T),
    /// Not yet; the text says what was seen.
    NotYet(String),
}

/// Looks again and again until the thing is there, a lasting error comes, or the deadline passes.
///
/// `what` names the thing waited for. Transient errors (see [`Explain::is_transient`]) count as "not yet".
pub async fn poll<T, F, Fut>(what: &str, deadline: Deadline, every: Duration, mut look: F) -> Result<T, Trouble>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Look<T>, Trouble>>,
{
    let mut last = "nothing yet".to_owned();
    let mut said = String::new();
    loop {
        match tokio::time::timeout(deadline.remaining().max(Duration::from_millis(1)), look()).await {
            Ok(Ok(Look::Ready(found))) => return Ok(found),
            Ok(Ok(Look::NotYet(seen))) => last = seen,
            Ok(Err(trouble)) if trouble.is_transient() => {
                let e = trouble.explained();
                last = format!("{}: {}", e.what, e.why);
            }
            Ok(Err(trouble)) => return Err(trouble),
            Err(_elapsed) => {}
        }
        if said != last {
            // Outside of a step nobody listens.
            let _ = VOICE.try_with(|voice| voice.waits(what, &last));
            said.clone_from(&last);
        }
        if deadline.remaining() <= every {
            return Err(TimedOut {
                what: what.to_owned(),
                last,
                limit: deadline.limit(),
            }
            .into());
        }
        tokio::time::sleep(every).await;
    }
}

/// Does a thing that is safe to repeat until it succeeds, a lasting error comes, or the deadline passes.
/// Pauses double from 250 ms to 8 s. Never use it for a login.
pub async fn retry<T, F, Fut>(what: &str, deadline: Deadline, mut attempt: F) -> Result<T, Trouble>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Trouble>>,
{
    let mut pause = Duration::from_millis(250);
    loop {
        let last = match tokio::time::timeout(deadline.remaining().max(Duration::from_millis(1)), attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(trouble)) if trouble.is_transient() => {
                let e = trouble.explained();
                format!("{}: {}", e.what, e.why)
            }
            Ok(Err(trouble)) => return Err(trouble),
            Err(_elapsed) => "no answer".to_owned(),
        };
        if deadline.remaining() <= pause {
            return Err(TimedOut {
                what: what.to_owned(),
                last,
                limit: deadline.limit(),
            }
            .into());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explained;

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_never_ends_says_what_it_last_saw() {
        let result: Result<(), Trouble> = poll(
            "the moon",
            Deadline::after(Duration::from_secs(5)),
            Duration::from_secs(1),
            || async { Ok(Look::NotYet("only clouds".into())) },
        )
        .await;
        let text = result.unwrap_err().to_string();
        assert!(text.contains("the moon") && text.contains("only clouds"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_error_is_not_retried() {
        let mut tries = 0;
        let result: Result<(), Trouble> = retry("it", Deadline::after(Duration::from_secs(60)), || {
            tries += 1;
            async {
                Err(Explained {
                    what: "no".into(),
                    why: "never".into(),
                    remedy: "stop".into(),
                }
                .into())
            }
        })
        .await;
        assert!(result.is_err());
        assert_eq!(tries, 1);
    }

    /// What a client says while the network is away.
    #[derive(Debug, thiserror::Error)]
    #[error("away")]
    struct Away;

    impl Explain for Away {
        fn what(&self) -> String {
            "The cloud can't be reached".into()
        }
        fn why(&self) -> String {
            "the network is unreachable".into()
        }
        fn remedy(&self) -> String {
            "wait".into()
        }
        fn is_transient(&self) -> bool {
            true
        }
    }

    /// The laptop's network goes away after five seconds, for so many; the thing is there after ten. How long it takes until it is seen.
    async fn seen_after(gap: u64, limit: u64) -> Result<Duration, Trouble> {
        let began = Instant::now();
        let seconds = Duration::from_secs;
        let look = || async {
            let now = began.elapsed();
            if now >= seconds(5) && now < seconds(5 + gap) {
                // A dead way is noticed by the client's own limit.
                tokio::time::sleep(seconds(10)).await;
                Err(Trouble::from(Away))
            } else if now < seconds(10) {
                Ok(Look::NotYet("not there".into()))
            } else {
                Ok(Look::Ready(()))
            }
        };
        poll("the thing", Deadline::after(seconds(limit)), seconds(1), look).await?;
        Ok(began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_is_away_for_a_while_costs_hardly_more_than_that_while() {
        for gap in [10, 120, 1200] {
            let took = seen_after(gap, 1800).await.unwrap();
            assert!(took <= Duration::from_secs(5 + gap + 15), "{gap}: {took:?}");
        }
        let text = seen_after(1200, 600).await.unwrap_err().to_string();
        assert!(
            text.contains("the thing") && text.contains("the network is unreachable"),
            "{text}"
        );
    }
}
