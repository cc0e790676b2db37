//! What to do about a lease that was found: decided without I/O, and without any wall clock.

use std::time::Duration;

use skykeep_core::Generation;

use super::{
    LONGEST_REQUEST, TERM,
    record::{Found, Phase},
};

/// A lease that was not renewed for this long is nobody's: its holder stopped at the end of its term, and its last request
/// has ended too. Five seconds more, because stores tell time in whole seconds and clocks do not run alike.
pub const SILENT: Duration = TERM
    .saturating_add(LONGEST_REQUEST)
    .saturating_add(Duration::from_secs(5));

/// Which leases a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// One that nobody holds any more.
    Free,
    /// Any: a person has typed the castle's name to say so.
    Any,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing stands: begin a new generation.
    Begin,
    /// Go on with the generation found.
    Resume(Generation),
    /// Write our name over the holder's, then wait [`SILENT`] until it has surely stopped.
    Seize(Generation),
    /// Its holder may still be at work: look again, for this long at most.
    Watch(Duration),
    /// Its holder is at work.
    Held,
}

/// Decides. `watched` is for how long we have seen exactly this write of the lease ourselves, on a clock that counts sleep;
/// `renewed` is whether it was written anew while we looked.
pub fn decide(found: Option<&Found>, me: &str, claim: Claim, watched: Duration, renewed: bool) -> Decision {
    let Some(found) = found else {
        return Decision::Begin;
    };
    let record = &found.record;
    let free = record.released || record.holder == me;
    let silent = watched.max(found.age.unwrap_or_default());
    match record.state {
        Phase::Destroyed if free => Decision::Begin,
        _ if free => Decision::Resume(record.generation),
        Phase::Destroyed if silent >= SILENT => Decision::Begin,
        _ if silent >= SILENT => Decision::Resume(record.generation),
        _ if claim == Claim::Any => Decision::Seize(record.generation),
        _ if renewed => Decision::Held,
        _ => Decision::Watch(SILENT - silent),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Record;
    use super::*;

    fn found(state: Phase, released: bool, age: Option<u64>) -> Found {
        let record = Record {
            version: 2,
            generation: Generation::new(1, 2),
            state,
            holder: "them".into(),
            from: "from 203.0.113.7".into(),
            since: 1_790_000_000,
            released,
            nonce: "n".into(),
        };
        Found {
            record,
            etag: "e".into(),
            age: age.map(Duration::from_secs),
        }
    }

    fn free(found: &Found, watched: u64, renewed: bool) -> Decision {
        decide(Some(found), "me", Claim::Free, Duration::from_secs(watched), renewed)
    }

    const GENERATION: fn() -> Generation = || Generation::new(1, 2);

    #[test]
    fn where_nothing_stands_a_generation_begins() {
        assert_eq!(decide(None, "me", Claim::Free, Duration::ZERO, false), Decision::Begin);
        assert_eq!(free(&found(Phase::Destroyed, true, None), 0, false), Decision::Begin);
    }

    #[test]
    fn a_lease_that_was_given_back_or_is_ours_is_taken_at_once() {
        assert_eq!(
            free(&found(Phase::Alive, true, Some(0)), 0, false),
            Decision::Resume(GENERATION())
        );
        let own = found(Phase::Building, false, Some(0));
        let decision = decide(Some(&own), "them", Claim::Free, Duration::ZERO, false);
        assert_eq!(decision, Decision::Resume(GENERATION()));
    }

    #[test]
    fn a_holder_is_gone_only_after_its_term_and_its_longest_request() {
        let silent = SILENT.as_secs();
        let young = found(Phase::Building, false, Some(silent - 1));
        assert_eq!(free(&young, 0, false), Decision::Watch(Duration::from_secs(1)));
        assert_eq!(
            free(&found(Phase::Building, false, Some(silent)), 0, false),
            Decision::Resume(GENERATION())
        );
        // A store that does not tell its time: what we saw ourselves counts.
        let ageless = found(Phase::Building, false, None);
        assert_eq!(
            free(&ageless, silent - 1, false),
            Decision::Watch(Duration::from_secs(1))
        );
        assert_eq!(free(&ageless, silent, false), Decision::Resume(GENERATION()));
    }

    #[test]
    fn a_holder_that_renews_under_our_eyes_keeps_it_unless_a_person_says_otherwise() {
        let held = found(Phase::Building, false, Some(3));
        assert_eq!(free(&held, 0, true), Decision::Held);
        let any = decide(Some(&held), "me", Claim::Any, Duration::ZERO, true);
        assert_eq!(any, Decision::Seize(GENERATION()));
    }

    #[test]
    fn a_destroyer_at_work_is_waited_for_too() {
        assert_eq!(free(&found(Phase::Destroyed, false, Some(3)), 0, true), Decision::Held);
    }
}
