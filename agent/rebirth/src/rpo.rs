//! How old a backup is, and how old it may be.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use skykeep_core::castle::Treasure;

/// The age of a treasure's newest backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Age {
    /// Seconds since it was made; 0 when it claims to come from the future.
    pub age_s: u64,
    /// What castle.yaml allows, hours.
    pub rpo_hours: Option<u32>,
    /// Whether it is older than that.
    pub older: bool,
}

impl Age {
    /// Of a backup made at `time` (RFC 3339), seen at `now`; `None` when that is no time.
    pub(crate) fn of(treasure: &Treasure, time: &str, now: Timestamp) -> Option<Self> {
        let made: Timestamp = time.parse().ok()?;
        let age = now.duration_since(made).max(SignedDuration::ZERO);
        let age_s = age.as_secs().unsigned_abs();
        Some(Age {
            age_s,
            rpo_hours: treasure.rpo_hours,
            older: treasure.rpo_hours.is_some_and(|hours| age_s > u64::from(hours) * 3600),
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let age = match self.age_s {
            s if s < 3600 => format!("{} min old", s / 60),
            s if s < 48 * 3600 => format!("{} h {} min old", s / 3600, s / 60 % 60),
            s => format!("{} days old", s / 86400),
        };
        match self.rpo_hours {
            None => age,
            Some(hours) if self.older => format!("{age}, OLDER than its rpoHours {hours}"),
            Some(hours) => format!("{age}, within its rpoHours {hours}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skykeep_core::castle::Castle;

    fn aged(rpo_hours: Option<u32>, time: &str) -> Option<Age> {
        let castle = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
        let treasure = Treasure {
            rpo_hours,
            ..castle.treasures[0].clone()
        };
        Age::of(&treasure, time, "2026-11-30T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn an_age_is_compared_with_what_may_be_lost() {
        let text = |hours, time| aged(hours, time).unwrap().text();
        assert_eq!(
            text(Some(24), "2026-11-30T03:30:00Z"),
            "8 h 30 min old, within its rpoHours 24"
        );
        assert_eq!(
            text(Some(24), "2026-11-29T12:00:00Z"),
            "24 h 0 min old, within its rpoHours 24"
        );
        assert_eq!(
            text(Some(24), "2026-11-29T11:59:59Z"),
            "24 h 0 min old, OLDER than its rpoHours 24"
        );
        assert_eq!(text(None, "2026-11-20T03:00:00Z"), "10 days old");
    }

    #[test]
    fn a_backup_from_the_future_is_new_and_no_time_is_no_age() {
        assert_eq!(aged(Some(1), "2027-01-01T00:00:00Z").unwrap().age_s, 0);
        assert_eq!(aged(Some(1), "yesterday"), None);
    }
}
