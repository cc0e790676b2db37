//! What to do when the agent has ended. Pure.

use std::fmt;

/// How the agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Exited(i32),
    /// Killed by this signal (its name).
    Killed(String),
    /// It could not even be started.
    NotStarted(String),
}

/// What PID 1 does then.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Wipe and power off.
    PowerOff,
    /// Say why, and let the person choose between starting again and powering off.
    Ask(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exited(code) => write!(f, "it ended with exit code {code}"),
            Ending::Killed(signal) => write!(f, "it was ended by {signal}"),
            Ending::NotStarted(why) => write!(f, "it could not be started: {why}"),
        }
    }
}

/// Exit code 0 is the only good end: all else is shown and asked about.
pub fn next(ending: &Ending) -> Next {
    match ending {
        Ending::Exited(0) => Next::PowerOff,
        other => Next::Ask(format!(
            "\nwhat:  The agent stopped before its work was done\nwhy:   {other}\ndo:    Start it again: what stands is kept and adopted. Or power off; the memory is wiped."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_end_powers_off() {
        assert_eq!(next(&Ending::Exited(0)), Next::PowerOff);
    }

    #[test]
    fn an_error_a_crash_and_a_failed_start_are_said_and_asked_about() {
        let endings = [
            Ending::Exited(1),
            Ending::Exited(101),
            Ending::Killed("SIGSEGV".into()),
            Ending::NotStarted("x".into()),
        ];
        for ending in endings {
            match next(&ending) {
                Next::Ask(text) => assert!(text.contains(&ending.to_string()), "{text}"),
                Next::PowerOff => panic!("{ending:?} must not power off unasked"),
            }
        }
    }
}
