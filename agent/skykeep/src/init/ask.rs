//! Asking the person at the keyboard, by single letters, with a deadline.

use super::events::Events;
use super::kernel::say;
use super::supervise::wants_power_off;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{FlushArg, LocalFlags, SetArg, SpecialCharacterIndices, tcflush, tcgetattr, tcsetattr};
use std::io::stdin;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a question waits for a person.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a text stays on the screen when everything is wiped already.
const READING: Duration = Duration::from_secs(60);
/// How often buttons are asked about while a question waits.
const LOOK: Duration = Duration::from_millis(250);

/// What the person chose.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Choice {
    /// Start the agent again.
    Restart,
    /// Power off.
    PowerOff,
}

/// What one key means. Pure.
fn choice(key: u8) -> Option<Choice> {
    match key.to_ascii_lowercase() {
        b'r' => Some(Choice::Restart),
        b'p' => Some(Choice::PowerOff),
        _ => None,
    }
}

/// Waits for a letter that means something; at the deadline, and when a button says so, the machine powers off.
pub fn restart_or_power_off(events: &Events) -> Choice {
    let question = format!(
        "\n[r] start again   [p] power off   (powers off by itself in {} minutes)",
        PATIENCE.as_secs() / 60
    );
    wait_for(events, &question, PATIENCE, choice).unwrap_or(Choice::PowerOff)
}

/// Waits until the person has read it.
pub fn power_off_only(events: &Events) {
    let question = format!("\n[p] power off   (by itself in {} minutes)", PATIENCE.as_secs() / 60);
    wait_for(events, &question, PATIENCE, power_off);
}

/// As [`power_off_only`], for a machine that holds nothing any more.
pub fn time_to_read(events: &Events) {
    let question = format!("\n[p] power off   (by itself in {} seconds)", READING.as_secs());
    wait_for(events, &question, READING, power_off);
}

fn power_off(key: u8) -> Option<Choice> {
    choice(key).filter(|c| *c == Choice::PowerOff)
}

/// None when time is up or a button was pressed.
fn wait_for(
    events: &Events,
    question: &str,
    patience: Duration,
    meaning: impl Fn(u8) -> Option<Choice>,
) -> Option<Choice> {
    // Before the question stands there: who answers in that very moment loses no key.
    single_keys();
    say(question);
    let deadline = Instant::now() + patience;
    let input = stdin();
    while Instant::now() < deadline {
        let timeout = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO);
        let mut watched = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, timeout) {
            Ok(0) => {}
            Ok(_) => {
                let mut key = [0];
                match nix::unistd::read(&input, &mut key) {
                    Ok(1..) => {
                        if let Some(chosen) = key.first().copied().and_then(&meaning) {
                            return Some(chosen);
                        }
                    }
                    // A console that is gone answers at once, for ever: wait as if nobody typed.
                    Ok(0) | Err(_) => std::thread::sleep(Duration::from_secs(1)),
                }
            }
            Err(_) => std::thread::sleep(Duration::from_secs(1)),
        }
        if events
            .next_within(Duration::ZERO)
            .is_some_and(|event| wants_power_off(&event))
        {
            return None;
        }
    }
    None
}

/// Each key counts at once and is shown; whatever the agent did to the terminal is undone. Without it a key needs Enter.
fn single_keys() {
    let input = stdin();
    if let Ok(mut terminal) = tcgetattr(&input) {
        terminal.local_flags.remove(LocalFlags::ICANON);
        terminal.local_flags.insert(LocalFlags::ECHO);
        for (index, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
            if let Some(slot) = terminal.control_chars.get_mut(index as usize) {
                *slot = value;
            }
        }
        let _ = tcsetattr(&input, SetArg::TCSANOW, &terminal);
    }
    // What was typed before the question is no answer to it.
    let _ = tcflush(&input, FlushArg::TCIFLUSH);
}

/// Whole lines, not shown: who types before a question stands there may be typing a passphrase.
pub fn whole_lines() {
    let input = stdin();
    if let Ok(mut terminal) = tcgetattr(&input) {
        terminal.local_flags.insert(LocalFlags::ICANON);
        terminal.local_flags.remove(LocalFlags::ECHO);
        let _ = tcsetattr(&input, SetArg::TCSANOW, &terminal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_offered_letters_mean_something() {
        assert_eq!(choice(b'r'), Some(Choice::Restart));
        assert_eq!(choice(b'P'), Some(Choice::PowerOff));
        for key in [b'x', b'\n', 0, 0xff] {
            assert_eq!(choice(key), None);
        }
    }
}
