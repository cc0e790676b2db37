//! Asking for one line: something that must not be seen, or something that a person wants to see while typing it.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::termios::{self, FlowArg, FlushArg, InputFlags, LocalFlags, SetArg, SpecialCharacterIndices},
};
use skykeep_core::{Explained, Secret};
use zeroize::Zeroize;

use super::{hold, keyboard};

/// Longest passphrase that is read, bytes.
const LONGEST: usize = 4096;
/// A terminal throws away what a line has beyond this: a line that is full is not the line that was typed.
const FULL: usize = 4095;
/// Ctrl-C, which ends a line here like Enter.
const CANCEL: u8 = 3;
/// Ctrl-L, which takes the next layout of the keyboard.
const LAYOUT: u8 = 12;

/// What came of a question.
pub enum Answer {
    /// A line, without its end.
    Line(Secret),
    /// Ctrl-D on an empty line, or the end of the input.
    End,
    /// Ctrl-C: what was typed is wiped.
    Cancelled,
    /// Nobody ended a line in time. What was half typed is wiped.
    TimeUp,
}

/// What ended a line.
enum Ended {
    Answer(Answer),
    /// What was typed is wiped: it was typed on a keyboard that gives something else.
    OtherLayout,
}

/// How a line is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// What is typed is seen.
    Seen,
    /// It is not.
    Hidden,
    /// It is not, and the keyboard belongs to us: its layout may be changed.
    Ours,
}

/// Asks for one line without showing it, for as long as it takes. See [`hidden_line_within`].
pub fn hidden_line(question: &str) -> Result<Secret, Explained> {
    match hidden_line_within(question, None)? {
        Answer::Line(line) => Ok(line),
        Answer::End | Answer::TimeUp => Err(not_typed("the input ended")),
        Answer::Cancelled => Err(not_typed("Ctrl-C was pressed")),
    }
}

fn not_typed(why: &str) -> Explained {
    Explained {
        what: "No passphrase was typed".into(),
        why: why.into(),
        remedy: "Start again and type it at the prompt.".into(),
    }
}

/// Asks for one line without showing it. On a terminal what was typed before is thrown away first, so that impatient
/// keystrokes do not become part of a passphrase. When standard input is no terminal, its next line is taken.
///
/// The terminal gives whole lines, unshown: for exactly this the kernel clears its own copies as it hands them out.
pub fn hidden_line_within(question: &str, patience: Option<Duration>) -> Result<Answer, Explained> {
    line_within(question, patience, Manner::Hidden).map(answer_of)
}

/// As [`hidden_line_within`], but what is typed is seen: for what is no secret. What goes on in the background is not told meanwhile.
pub fn shown_line_within(question: &str, patience: Option<Duration>) -> Result<Answer, Explained> {
    let _quiet = hold::question();
    line_within(question, patience, Manner::Seen).map(answer_of)
}

/// As [`hidden_line_within`], on the image's own console: Ctrl-L takes the next layout of the keyboard. Afterwards the kernel's line buffer, in which what was
/// typed before the question or only half still stands, is overwritten.
pub fn secret_line_within(question: &str, patience: Option<Duration>) -> Result<Answer, Explained> {
    loop {
        let ended = line_within(question, patience, Manner::Ours);
        if let Err(e) = skykeep_sys::overwrite_terminal_input(io::stdin().as_fd()) {
            println!("The console's line buffer can't be overwritten: {e}");
        }
        match ended? {
            Ended::Answer(answer) => return Ok(answer),
            Ended::OtherLayout => println!("{}", keyboard::next()),
        }
    }
}

/// Where Ctrl-L is a letter like another, nothing else ends a line.
fn answer_of(ended: Ended) -> Answer {
    match ended {
        Ended::Answer(answer) => answer,
        Ended::OtherLayout => Answer::Cancelled,
    }
}

fn line_within(question: &str, patience: Option<Duration>, manner: Manner) -> Result<Ended, Explained> {
    let stdin = io::stdin();
    // Before the question stands there: who answers fast must find the echo off and lose no key.
    let guard = if stdin.is_terminal() {
        Some(Echo::set(manner)?)
    } else {
        None
    };
    eprint!("{question}");
    let _ = io::stderr().flush();
    let mut file = stdin
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
        .map_err(|e| problem(&e))?;
    let deadline = patience.map(|patience| Instant::now() + patience);
    let ours = guard.is_some() && manner == Manner::Ours;
    let ended = line_of(&mut file, guard.is_some(), ours, deadline);
    drop(guard);
    if manner != Manner::Seen {
        eprintln!();
    }
    ended
}

/// Reads unbuffered, byte by byte, into one buffer that never moves: a buffered reader would keep a copy that nobody wipes.
fn line_of(file: &mut File, terminal: bool, ours: bool, deadline: Option<Instant>) -> Result<Ended, Explained> {
    let longest = if terminal { FULL - 1 } else { LONGEST };
    let mut line = Vec::with_capacity(LONGEST + 1);
    let mut byte = [0u8; 1];
    loop {
        if !readable_before(file, deadline)? {
            line.zeroize();
            return Ok(Ended::Answer(Answer::TimeUp));
        }
        match file.read(&mut byte) {
            Ok(0) if line.is_empty() => return Ok(Ended::Answer(Answer::End)),
            Ok(0) => return Ok(Ended::Answer(Answer::Line(Secret::new(line)))),
            Ok(_) => match byte {
                [b'\n' | b'\r'] => return Ok(Ended::Answer(Answer::Line(Secret::new(line)))),
                [CANCEL] if terminal => {
                    line.zeroize();
                    return Ok(Ended::Answer(Answer::Cancelled));
                }
                [LAYOUT] if ours => {
                    line.zeroize();
                    return Ok(Ended::OtherLayout);
                }
                [0x15] => line.zeroize(),
                [b] if line.len() < longest => line.push(b),
                _ => {
                    line.zeroize();
                    return Err(Explained {
                        what: "That passphrase is too long".into(),
                        why: format!("more than {longest} bytes came before the end of the line"),
                        remedy: "Type it again. On a serial line, check the cable: noise looks like this.".into(),
                    });
                }
            },
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(problem(&e)),
        }
        byte.zeroize();
    }
}

/// Waits until there is something to read. False when the deadline came first.
fn readable_before(file: &File, deadline: Option<Instant>) -> Result<bool, Explained> {
    let Some(deadline) = deadline else { return Ok(true) };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // In milliseconds, rounded up, or the last one would be spent asking again and again.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => return Err(problem(&e.into())),
        }
    }
}

/// Everything that is left on standard input, as a secret; one newline at the end is not part of it.
pub fn rest_of_input() -> Result<Secret, Explained> {
    let mut all = Vec::new();
    io::stdin()
        .lock()
        .take(1 << 20)
        .read_to_end(&mut all)
        .map_err(|e| problem(&e))?;
    if all.last() == Some(&b'\n') {
        all.pop();
    }
    Ok(Secret::new(all))
}

fn problem(e: &io::Error) -> Explained {
    Explained {
        what: "The console can't be read".into(),
        why: e.to_string(),
        remedy: "Start again from a terminal, or give the lines on standard input.".into(),
    }
}

/// Whole lines, with the echo on or off, while this lives.
struct Echo(termios::Termios);

impl Echo {
    fn set(manner: Manner) -> Result<Self, Explained> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin).map_err(|e| problem(&e.into()))?;
        let mut quiet = before.clone();
        quiet.local_flags.insert(LocalFlags::ICANON);
        quiet.local_flags.set(LocalFlags::ECHO, manner == Manner::Seen);
        quiet.local_flags.remove(LocalFlags::ECHONL);
        // Ctrl-C must not end us with the echo off, so it is no signal but the end of the line. Noise on a serial line
        // must not stop the output.
        quiet.local_flags.remove(LocalFlags::ISIG);
        quiet.input_flags.remove(InputFlags::IXON);
        if let Some(end) = quiet.control_chars.get_mut(SpecialCharacterIndices::VEOL as usize) {
            *end = CANCEL;
        }
        if let (Manner::Ours, Some(end)) = (
            manner,
            quiet.control_chars.get_mut(SpecialCharacterIndices::VEOL2 as usize),
        ) {
            quiet.local_flags.insert(LocalFlags::IEXTEN);
            *end = LAYOUT;
        }
        // Also throws away what was typed before the question stood there.
        termios::tcsetattr(&stdin, SetArg::TCSAFLUSH, &quiet).map_err(|e| problem(&e.into()))?;
        let _ = termios::tcflush(&stdin, FlushArg::TCIFLUSH);
        let _ = termios::tcflow(&stdin, FlowArg::TCOON);
        Ok(Echo(before))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(typed: &[u8], patience: Option<Duration>, close: bool) -> Result<Answer, Explained> {
        let (far, near) = nix::unistd::pipe().expect("pipe");
        let mut writer = File::from(near);
        writer.write_all(typed).expect("typing");
        let held = Some(writer).filter(|_| !close);
        let got = line_of(
            &mut File::from(far),
            false,
            false,
            patience.map(|patience| Instant::now() + patience),
        );
        drop(held);
        got.map(answer_of)
    }

    fn text(answer: &Answer) -> &str {
        match answer {
            Answer::Line(line) => line.expose_str().expect("text"),
            Answer::End => "END",
            Answer::Cancelled => "CANCELLED",
            Answer::TimeUp => "TIME",
        }
    }

    #[test]
    fn a_line_ends_at_enter_and_a_correction_begins_anew() {
        assert_eq!(
            text(&answer(b"wrong\x15right\rmore", None, true).expect("line")),
            "right"
        );
        assert_eq!(text(&answer(b"no end", None, true).expect("line")), "no end");
    }

    #[test]
    fn the_end_of_the_input_is_told_from_an_empty_line() {
        assert_eq!(text(&answer(b"", None, true).expect("end")), "END");
        assert_eq!(text(&answer(b"\n", None, true).expect("empty")), "");
    }

    #[test]
    fn nobody_at_the_keyboard_ends_the_wait_even_with_half_a_line_typed() {
        let patience = Some(Duration::from_millis(20));
        assert_eq!(text(&answer(b"", patience, false).expect("time")), "TIME");
        assert_eq!(text(&answer(b"half a pass", patience, false).expect("time")), "TIME");
    }

    #[test]
    fn ctrl_l_asks_for_another_layout_only_where_the_keyboard_is_ours() {
        let typed = |ours| {
            let (far, near) = nix::unistd::pipe().expect("pipe");
            File::from(near).write_all(b"half\x0cmore\n").expect("typing");
            line_of(&mut File::from(far), true, ours, None).expect("line")
        };
        assert!(matches!(typed(true), Ended::OtherLayout));
        assert_eq!(text(&answer_of(typed(false))), "half\x0cmore");
    }

    #[test]
    fn line_noise_without_end_is_refused() {
        assert!(answer(&vec![b'x'; LONGEST + 1], None, true).is_err());
        assert_eq!(
            text(&answer(&vec![b'x'; LONGEST], None, true).expect("longest")).len(),
            LONGEST
        );
    }
}
