//! When does a castle that lives have to step back? Decided without I/O, by its own pulse job.

use skykeep_core::Generation;

use crate::lease::{Phase, Record};

/// Why this castle has to stop its writers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The generation that has the names now.
    pub newer: Generation,
    /// For people.
    pub why: String,
}

/// Whether another generation than `me` has the castle's names: it is alive, or it is being built and has begun to move them
/// (`moved`). `me` is a generation, or the name of a castle that Skykeep did not make. An older generation never stops a newer one.
pub fn must_stop(me: &str, lease: Option<&Record>, moved: bool) -> Option<Stop> {
    let record = lease?;
    let newer = match me.parse::<Generation>() {
        Ok(mine) => record.generation > mine,
        Err(_named) => true,
    };
    let why = match record.state {
        _ if !newer => return None,
        Phase::Alive => "is alive",
        Phase::Building if moved => "is being built and has begun to move the names",
        Phase::Building | Phase::Destroyed => return None,
    };
    Some(Stop {
        newer: record.generation,
        why: format!("generation {} {why}", record.generation),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(state: Phase) -> Record {
        Record {
            version: 2,
            generation: Generation::new(5, 0),
            state,
            holder: "h".into(),
            from: "from 203.0.113.7".into(),
            since: 0,
            released: true,
            nonce: "n".into(),
        }
    }

    fn stops(me: &str, state: Phase, moved: bool) -> bool {
        must_stop(me, Some(&lease(state)), moved).is_some()
    }

    #[test]
    fn only_a_newer_castle_that_has_or_takes_the_names_stops_this_one() {
        let generation = |ms| Generation::new(ms, 0).to_string();
        for me in ["home".to_owned(), generation(4)] {
            assert!(
                stops(&me, Phase::Alive, true) && stops(&me, Phase::Building, true),
                "{me}"
            );
            assert!(!stops(&me, Phase::Building, false), "{me}: nothing has moved yet");
            assert!(!stops(&me, Phase::Destroyed, true), "{me}: the newer one is gone");
        }
        for me in [generation(5), generation(6)] {
            assert!(!stops(&me, Phase::Alive, true), "{me} is the newest itself");
        }
        assert_eq!(must_stop("home", None, true), None, "no generation was ever born");
    }
}
