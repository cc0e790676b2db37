//! Asking for something that must not be seen.

use std::{
    io::{self, IsTerminal, Read, Write},
    os::fd::AsFd,
};

use nix::sys::termios::{self, FlushArg, LocalFlags, SetArg};
use skykeep_core::{Explained, Secret};
use zeroize::Zeroize;

/// Longest passphrase that is read, bytes.
const LONGEST: usize = 4096;

/// Asks for one line without showing it. On a terminal what was typed before is thrown away first, so that impatient
/// keystrokes do not become part of a passphrase. When standard input is no terminal, its next line is taken.
pub fn hidden_line(question: &str) -> Result<Secret, Explained> {
    let stdin = io::stdin();
    // Before the question stands there: who answers fast must find the echo off and lose no key.
    let guard = if stdin.is_terminal() { Some(Echo::off()?) } else { None };
    eprint!("{question}");
    let _ = io::stderr().flush();
    // Unbuffered, byte by byte: a buffered reader would keep a copy that nobody wipes.
    let mut line = vec![0u8; 0];
    line.reserve_exact(LONGEST + 1);
    let mut file = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(std::fs::File::from)
        .map_err(|e| problem(&e))?;
    let mut byte = [0u8; 1];
    let ended = loop {
        match file.read(&mut byte) {
            Ok(0) => break true,
            Ok(_) => match byte {
                [b'\n' | b'\r'] => break false,
                [0x15] => line.zeroize(),
                [b] if line.len() < LONGEST => line.push(b),
                _ => {
                    line.zeroize();
                    return Err(Explained {
                        what: "That passphrase is too long".into(),
                        why: format!("more than {LONGEST} bytes came before the end of the line"),
                        remedy: "Type it again. On a serial line, check the cable: noise looks like this.".into(),
                    });
                }
            },
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(problem(&e)),
        }
    };
    byte.zeroize();
    drop(guard);
    eprintln!();
    if ended && line.is_empty() {
        return Err(Explained {
            what: "No passphrase was typed".into(),
            why: "the input ended".into(),
            remedy: "Start again and type it at the prompt.".into(),
        });
    }
    Ok(Secret::new(line))
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

/// Echo is off while this lives.
struct Echo(termios::Termios);

impl Echo {
    fn off() -> Result<Self, Explained> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin).map_err(|e| problem(&e.into()))?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        quiet.local_flags.remove(LocalFlags::ECHONL);
        // Also throws away what was typed before the question stood there.
        termios::tcsetattr(&stdin, SetArg::TCSAFLUSH, &quiet).map_err(|e| problem(&e.into()))?;
        let _ = termios::tcflush(&stdin, FlushArg::TCIFLUSH);
        Ok(Echo(before))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}
