//! AWS refuses what is signed five minutes off its own clock. A borrowed laptop's clock may be years off, so the answer's `Date`
//! (authenticated by TLS) corrects ours, for everything that is signed with the same credentials.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, header};

/// Less than this is the way of the packets, not the clock.
const NOTABLE: i64 = 60;

/// How far AWS's clock is ahead of this machine's, in seconds.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    /// AWS's time.
    pub(crate) fn now(&self) -> SystemTime {
        let ahead = self.0.load(Ordering::Relaxed);
        let distance = Duration::from_secs(ahead.unsigned_abs());
        let moved = match ahead >= 0 {
            true => SystemTime::now().checked_add(distance),
            false => SystemTime::now().checked_sub(distance),
        };
        moved.unwrap_or_else(SystemTime::now)
    }

    /// Learns from a refusal. True when the clock was notably off, so that signing once more makes sense; a refused request
    /// was not carried out.
    pub(crate) fn learns(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let date = headers.get(header::DATE).and_then(|d| d.to_str().ok());
        let Some(theirs) = date
            .and_then(|d| httpdate::parse_http_date(d).ok())
            .filter(|_| status.is_client_error())
        else {
            return false;
        };
        let off = seconds(theirs).saturating_sub(seconds(self.now()));
        if off.abs() < NOTABLE {
            return false;
        }
        self.0.fetch_add(off, Ordering::Relaxed);
        true
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn answer(when: SystemTime) -> HeaderMap {
        let date = HeaderValue::from_str(&httpdate::fmt_http_date(when)).unwrap();
        HeaderMap::from_iter([(header::DATE, date)])
    }

    #[test]
    fn a_clock_in_1970_is_corrected_by_one_refusal() {
        let clock = Clock::default();
        clock.0.store(-1_700_000_000, Ordering::Relaxed);
        assert!(clock.learns(StatusCode::FORBIDDEN, &answer(SystemTime::now())));
        let off = seconds(clock.now()) - seconds(SystemTime::now());
        assert!(off.abs() <= 1, "{off}");
        assert!(
            !clock.learns(StatusCode::FORBIDDEN, &answer(SystemTime::now())),
            "only once"
        );
    }

    #[test]
    fn a_good_clock_a_good_answer_and_an_answer_without_date_teach_nothing() {
        let clock = Clock::default();
        let far = SystemTime::now() + Duration::from_secs(9000);
        assert!(!clock.learns(StatusCode::FORBIDDEN, &answer(SystemTime::now())));
        assert!(!clock.learns(StatusCode::OK, &answer(far)));
        assert!(!clock.learns(StatusCode::FORBIDDEN, &HeaderMap::new()));
        assert!(clock.learns(StatusCode::FORBIDDEN, &answer(far)));
    }
}
