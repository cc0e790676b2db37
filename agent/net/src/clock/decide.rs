//! Which time to believe. Pure.

use super::{Reached, Reading};
use crate::error::NetError;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Answers further apart than this do not agree.
const SPREAD: Duration = Duration::from_secs(120);

/// One host's answer.
pub(super) struct Told {
    pub(super) host: String,
    pub(super) time: SystemTime,
    pub(super) taken: Instant,
}

fn apart(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|e| e.duration())
}

/// The median, when at least two hosts and more than half of those that answered are close to it.
pub(super) fn agree(mut told: Vec<Told>, silent: Vec<String>, not_before: SystemTime) -> Result<Reading, NetError> {
    if told.len() < 2 {
        let mut answers: Vec<String> = told
            .iter()
            .map(|one| {
                format!(
                    "{}: {}, but one host is not enough",
                    one.host,
                    httpdate::fmt_http_date(one.time)
                )
            })
            .collect();
        answers.extend(silent);
        return Err(NetError::NoTime {
            answers,
            reached: Reached::Nothing,
        });
    }
    // All brought to the same moment, so that a slow answer does not count as another time.
    let now = told.iter().map(|one| one.taken).max().unwrap_or_else(Instant::now);
    for one in &mut told {
        one.time += now.duration_since(one.taken);
    }
    told.sort_by_key(|one| one.time);
    let Some(median) = told.get((told.len() - 1) / 2).map(|one| one.time) else {
        return Err(NetError::NoTime {
            answers: silent,
            reached: Reached::Nothing,
        });
    };
    let close = told.iter().filter(|one| apart(one.time, median) <= SPREAD).count();
    if close < 2 || close * 2 <= told.len() {
        let line = |one: &Told| format!("{}: {}", one.host, httpdate::fmt_http_date(one.time));
        return Err(NetError::TimesDiffer {
            answers: told.iter().map(line).collect(),
        });
    }
    if median < not_before {
        return Err(NetError::TimeTooEarly {
            told: httpdate::fmt_http_date(median),
            built: httpdate::fmt_http_date(not_before),
        });
    }
    Ok(Reading {
        time: median,
        taken: now,
        hosts: close,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: u64 = 1_760_000_000;

    fn decide(seconds: &[u64]) -> Result<u64, NetError> {
        let at = |s: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let taken = Instant::now();
        let told = seconds
            .iter()
            .enumerate()
            .map(|(n, s)| Told {
                host: format!("h{n}"),
                time: at(*s),
                taken,
            })
            .collect();
        let reading = agree(told, vec!["h9: silent".into()], at(BUILT))?;
        Ok(reading
            .time
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs())
    }

    #[test]
    fn the_median_counts_and_one_liar_among_three_is_outvoted() {
        assert_eq!(decide(&[BUILT + 500, BUILT + 501, BUILT + 502]), Ok(BUILT + 501));
        assert_eq!(decide(&[BUILT + 500, BUILT + 501, BUILT + 9_999_999]), Ok(BUILT + 501));
    }

    #[test]
    fn one_answer_is_not_enough_and_who_was_silent_is_named() {
        let error = decide(&[BUILT + 500]).unwrap_err();
        assert!(
            matches!(&error, NetError::NoTime { answers, .. } if answers.iter().any(|a| a.contains("h9"))),
            "{error}"
        );
    }

    #[test]
    fn two_hosts_that_differ_are_an_error() {
        assert!(matches!(
            decide(&[BUILT + 500, BUILT + 5000]),
            Err(NetError::TimesDiffer { .. })
        ));
        let half = decide(&[BUILT + 500, BUILT + 501, BUILT + 5000, BUILT + 5001]);
        assert!(matches!(half, Err(NetError::TimesDiffer { .. })));
    }

    #[test]
    fn a_time_before_the_image_was_built_is_refused() {
        assert!(matches!(
            decide(&[BUILT - 5, BUILT - 6]),
            Err(NetError::TimeTooEarly { .. })
        ));
    }

    #[test]
    fn a_slow_answer_is_brought_to_the_same_moment() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(BUILT + 100);
        let later = Instant::now();
        let earlier = later - Duration::from_secs(30);
        let told = vec![
            Told {
                host: "slow".into(),
                time: at,
                taken: earlier,
            },
            Told {
                host: "fast".into(),
                time: at + Duration::from_secs(30),
                taken: later,
            },
        ];
        let reading = agree(told, vec![], SystemTime::UNIX_EPOCH).expect("agree");
        assert_eq!(reading.time, at + Duration::from_secs(30));
    }
}
