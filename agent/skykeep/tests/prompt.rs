//! The passphrase prompt on a real terminal (a pty): what a person in a hurry, or a bad cable, does there.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::{Winsize, openpty},
    sys::termios::{LocalFlags, tcgetattr},
};

const PASS: &str = "seven lanterns over the quiet harbour";

struct Terminal {
    near: File,
    far: File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts a command with this terminal as its own.
    fn start(folder: &Path, line: &str) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let far = File::from(pty.slave);
        let end = || Stdio::from(far.try_clone().unwrap());
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(env!("CARGO_BIN_EXE_skykeep"))
            .args(line.split(' '))
            .current_dir(folder)
            .env("NO_COLOR", "1")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        Terminal {
            near: File::from(pty.master),
            far,
            child,
            seen: String::new(),
        }
    }

    /// Waits until this stands on the screen after what was waited for before.
    fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.seen.contains(text) {
            assert!(Instant::now() < until, "`{text}` never came: {}", self.seen);
            self.read(100);
        }
        self.seen = self.seen.split_once(text).unwrap().1.to_owned();
    }

    fn read(&mut self, patience: u16) -> bool {
        let ready = poll(
            &mut [PollFd::new(self.near.as_fd(), PollFlags::POLLIN)],
            PollTimeout::from(patience),
        )
        .unwrap();
        let mut bytes = [0; 4096];
        let n = if ready > 0 {
            self.near.read(&mut bytes).unwrap_or(0)
        } else {
            0
        };
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
        n > 0
    }

    fn types(&mut self, bytes: &[u8]) {
        self.near.write_all(bytes).unwrap();
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.far)
            .unwrap()
            .local_flags
            .contains(LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Waits for the end; exit code and what else was written. The terminal must be as it was.
    fn end(mut self) -> (i32, String) {
        let until = Instant::now() + Duration::from_secs(60);
        let status = loop {
            self.read(50);
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it never ended: {}", self.seen);
        };
        while self.read(50) {}
        assert!(
            self.echoes(),
            "the terminal shows again what is typed, and Ctrl-C works"
        );
        (
            status.code().unwrap_or(-1),
            self.seen.replace("\r\n", "\n").trim().to_owned(),
        )
    }
}

fn vault() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_skykeep"))
        .args(["vault", "init", "--memory-mib", "64", "v.skv"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{PASS}\n").as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    folder
}

/// Types something at the prompt of `vault ls`; exit code and what was written then.
fn ask(folder: &Path, typed: &[u8]) -> (i32, String) {
    let mut terminal = Terminal::start(folder, "vault ls v.skv -o json");
    terminal.wait_for("Passphrase: ");
    assert!(!terminal.echoes(), "nothing that is typed is shown");
    terminal.types(typed);
    terminal.end()
}

#[test]
fn whatever_is_typed_ends_in_a_clear_word_and_a_usable_terminal() {
    let folder = vault();
    let mut told = String::new();
    for (name, typed) in [
        ("Ctrl-C", b"\x03".to_vec()),
        ("Ctrl-C in the middle", b"seven lant\x03".to_vec()),
        ("Ctrl-D", b"\x04".to_vec()),
        ("half a line, then Ctrl-D twice", b"seven\x04\x04".to_vec()),
        ("Enter alone", b"\n".to_vec()),
        ("no UTF-8", b"caf\xe9\xff\xfe\n".to_vec()),
        ("another one", b"Seven lanterns over the quiet harbour\n".to_vec()),
        ("a correction", format!("seven lam\x7fnterns?\x15{PASS}\n").into_bytes()),
        (
            "carriage return, as serial lines send it",
            format!("{PASS}\r").into_bytes(),
        ),
    ] {
        let (code, said) = ask(folder.path(), &typed);
        assert!(!said.contains("lanterns"), "{name}: it must not be shown: {said}");
        told.push_str(&format!("{name}\n{said}\n-> {code}\n\n"));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn ten_thousand_characters_are_refused_and_not_cut() {
    let folder = vault();
    // As fast as the terminal takes them: it holds 4095 of a line and throws the rest away.
    let mut terminal = Terminal::start(folder.path(), "vault ls v.skv");
    terminal.wait_for("Passphrase: ");
    for _ in 0..100 {
        terminal.types(&[b'x'; 100]);
    }
    terminal.types(b"\n");
    let (code, said) = terminal.end();
    assert!(code == 1 && said.contains("too long"), "{code}: {said}");
    let (code, said) = ask(folder.path(), format!("{}\n", "x".repeat(4094)).as_bytes());
    assert!(code == 1 && said.contains("did not open"), "{code}: {said}");
}

#[test]
fn noise_on_the_line_is_thrown_away_with_ctrl_u() {
    let folder = vault();
    // Every byte but those that end a line or the input; XOFF, which would stop the output, is among them.
    let noise: Vec<u8> = (0..3000u32)
        .map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .filter(|b| ![b'\n', b'\r', 3, 4, 0x16].contains(b))
        .collect();
    let (code, said) = ask(folder.path(), &[&noise, &b"\x15"[..], PASS.as_bytes(), b"\n"].concat());
    assert!(code == 0 && said.contains("\"entries\":[]"), "{code}: {said}");
}

#[test]
fn what_was_typed_before_the_question_is_no_part_of_the_answer() {
    let folder = vault();
    let mut terminal = Terminal::start(folder.path(), "vault ls v.skv -o json");
    terminal.types(b"impatient");
    terminal.wait_for("Passphrase: ");
    terminal.types(format!("{PASS}\n").as_bytes());
    let (code, said) = terminal.end();
    assert!(code == 0 && said.contains("entries"), "{code}: {said}");
}

#[test]
fn a_new_passphrase_is_offered_asked_twice_and_may_be_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let begin = || {
        let mut terminal = Terminal::start(folder.path(), "vault init --memory-mib 64 new.skv");
        terminal.wait_for("New passphrase (Enter takes the words above): ");
        terminal
    };
    let mut terminal = begin();
    terminal.types(b"hunter2\n");
    terminal.wait_for("what:");
    terminal.wait_for("New passphrase (Enter takes the words above): ");
    terminal.types(format!("{PASS}\n").as_bytes());
    terminal.wait_for("The same again: ");
    terminal.types(b"something else\n");
    let (code, said) = terminal.end();
    assert!(code == 1 && said.contains("the two passphrases differ"), "{said}");
    let mut terminal = begin();
    terminal.types(b"\x03");
    let (code, said) = terminal.end();
    assert!(code == 1 && said.contains("Ctrl-C was pressed"), "{said}");
    assert!(!folder.path().join("new.skv").exists());
    let mut terminal = begin();
    terminal.types(format!("{PASS}\n").as_bytes());
    terminal.wait_for("The same again: ");
    terminal.types(format!("{PASS}\n").as_bytes());
    assert_eq!(terminal.end().0, 0);
    assert!(folder.path().join("new.skv").exists());
}
