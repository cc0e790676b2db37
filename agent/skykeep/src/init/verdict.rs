//! What to do when something happens that may end the machine. Pure.

use std::fmt;

/// The agent's exit code for "the person, or the clock at the prompt, wants the machine off now".
pub const END_NOW: u8 = 9;
/// The exit code of a program that panicked.
pub const PANICKED: u8 = 101;

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

/// What PID 1 hears of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The agent is no more.
    AgentEnded(Ending),
    /// Somebody pressed the power button.
    PowerButton,
    /// Somebody closed the lid.
    LidClosed,
    /// A USB storage device was pulled out.
    StickRemoved,
}

/// What else counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The owner wants the machine off when the stick is pulled (castle file).
    pub stick_wipes: bool,
    /// The kernel ended a program because memory ran out, since the agent was started.
    pub memory_ran_out: bool,
}

/// What PID 1 does then.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    GoOn,
    /// Wipe and power off, saying why when it was not the work's own end.
    PowerOff(Option<&'static str>),
    /// Wipe at once, then leave the reason on the screen for a moment, then power off.
    WipeAndSay(String),
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

/// The one decision: exit code 0 and a wish end it in silence, a trouble that was explained is asked about, a crash is wiped before anything is said.
pub fn next(event: &Event, circumstances: Circumstances) -> Next {
    match event {
        Event::PowerButton => Next::PowerOff(Some("the power button was pressed")),
        Event::LidClosed => Next::PowerOff(Some("the lid was closed")),
        Event::StickRemoved if circumstances.stick_wipes => Next::PowerOff(Some("the stick was pulled out")),
        Event::StickRemoved => Next::GoOn,
        Event::AgentEnded(Ending::Exited(0)) => Next::PowerOff(None),
        Event::AgentEnded(Ending::Exited(code)) if *code == i32::from(END_NOW) => Next::PowerOff(None),
        Event::AgentEnded(ending) if circumstances.memory_ran_out => Next::WipeAndSay(format!(
            "\nwhat:  The agent stopped before its work was done; everything secret is wiped\nwhy:   this machine ran out of memory ({ending})\ndo:    Start again on a machine with more RAM (2 GiB): what stands is kept and adopted."
        )),
        Event::AgentEnded(ending) if is_crash(ending) => Next::WipeAndSay(format!(
            "\nwhat:  The agent stopped before its work was done; everything secret is wiped\nwhy:   a fault of Skykeep: {ending}\ndo:    Switch on again from the stick: what stands is kept and adopted. Please report it with what stands above."
        )),
        Event::AgentEnded(ending) => Next::Ask(format!(
            "\nwhat:  The agent stopped before its work was done\nwhy:   {ending}\ndo:    Start it again: what stands is kept and adopted. Or power off; the memory is wiped."
        )),
    }
}

fn is_crash(ending: &Ending) -> bool {
    match ending {
        Ending::Exited(code) => *code == i32::from(PANICKED),
        Ending::Killed(_) => true,
        Ending::NotStarted(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Circumstances = Circumstances {
        stick_wipes: false,
        memory_ran_out: false,
    };

    fn ended(ending: Ending) -> Event {
        Event::AgentEnded(ending)
    }

    #[test]
    fn a_good_end_and_a_wish_power_off_unasked() {
        assert_eq!(next(&ended(Ending::Exited(0)), USUAL), Next::PowerOff(None));
        assert_eq!(
            next(&ended(Ending::Exited(END_NOW.into())), USUAL),
            Next::PowerOff(None)
        );
    }

    #[test]
    fn an_error_and_a_failed_start_are_said_and_asked_about() {
        for ending in [Ending::Exited(1), Ending::NotStarted("x".into())] {
            match next(&ended(ending.clone()), USUAL) {
                Next::Ask(text) => assert!(text.contains(&ending.to_string()), "{text}"),
                other => panic!("{ending:?} must be asked about, not {other:?}"),
            }
        }
    }

    #[test]
    fn a_panic_and_a_crash_are_wiped_before_anybody_is_asked() {
        for ending in [Ending::Exited(101), Ending::Killed("SIGSEGV".into())] {
            match next(&ended(ending.clone()), USUAL) {
                Next::WipeAndSay(text) => assert!(text.contains(&ending.to_string()), "{text}"),
                other => panic!("{ending:?} must wipe, not {other:?}"),
            }
        }
    }

    #[test]
    fn out_of_memory_is_told_from_a_crash() {
        let short = Circumstances {
            memory_ran_out: true,
            ..USUAL
        };
        match next(&ended(Ending::Killed("SIGKILL".into())), short) {
            Next::WipeAndSay(text) => assert!(text.contains("ran out of memory"), "{text}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(next(&ended(Ending::Exited(0)), short), Next::PowerOff(None));
    }

    #[test]
    fn power_button_and_lid_always_end_it_and_the_stick_only_when_the_owner_wants_it() {
        let wanted = Circumstances {
            stick_wipes: true,
            ..USUAL
        };
        for circumstances in [USUAL, wanted] {
            for event in [Event::PowerButton, Event::LidClosed] {
                assert!(matches!(next(&event, circumstances), Next::PowerOff(Some(_))));
            }
        }
        assert_eq!(next(&Event::StickRemoved, USUAL), Next::GoOn);
        assert!(matches!(next(&Event::StickRemoved, wanted), Next::PowerOff(Some(_))));
    }
}
