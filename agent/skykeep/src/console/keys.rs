//! The keys that count while the agent works: pages of the screen, and abort.

use std::io::{self, stdin};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::hold;
use super::rail::{Page, View};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{FlushArg, LocalFlags, SetArg, SpecialCharacterIndices, tcflush, tcgetattr, tcsetattr};

/// What the last keys mean together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// Nobody wants to abort.
    #[default]
    Work,
    /// The question stands on the screen.
    Asked,
    /// It was answered with yes.
    Abort,
}

/// Where a key leads. Pure.
pub fn after(wish: Wish, key: u8) -> Wish {
    match (wish, key.to_ascii_lowercase()) {
        (Wish::Work, b'q') => Wish::Asked,
        (Wish::Asked, b'y') => Wish::Abort,
        (Wish::Asked, _) => Wish::Work,
        (other, _) => other,
    }
}

/// The thread that listens.
pub struct Keys {
    /// Held by whoever reads the keyboard now.
    keyboard: Arc<Mutex<()>>,
    wanted: Arc<AtomicBool>,
}

/// The keyboard belongs to somebody who asks questions, while this lives.
pub struct Questions<'a> {
    wanted: &'a AtomicBool,
    _keyboard: MutexGuard<'a, ()>,
}

impl Keys {
    /// Takes the keyboard from the thread.
    pub fn for_questions(&self) -> Questions<'_> {
        self.wanted.store(true, Ordering::SeqCst);
        let keyboard = self.keyboard.lock().unwrap_or_else(PoisonError::into_inner);
        Questions {
            wanted: &self.wanted,
            _keyboard: keyboard,
        }
    }
}

impl Drop for Questions<'_> {
    fn drop(&mut self) {
        single_keys(stdin().as_fd());
        forget_typed(stdin().as_fd());
        self.wanted.store(false, Ordering::SeqCst);
    }
}

/// Listens on its own thread; when the person wants the machine off, `abort` is called, once. Other keys change the view.
pub fn listen(view: watch::Sender<View>, abort: impl FnOnce() + Send + 'static) -> Keys {
    let keys = Keys {
        keyboard: Arc::default(),
        wanted: Arc::default(),
    };
    let (keyboard, wanted) = (keys.keyboard.clone(), keys.wanted.clone());
    let work = move || {
        single_keys(stdin().as_fd());
        forget_typed(stdin().as_fd());
        let mut wish = Wish::default();
        let next = || {
            loop {
                if !wanted.load(Ordering::SeqCst) {
                    let _held = keyboard.lock().unwrap_or_else(PoisonError::into_inner);
                    match key_within(stdin().as_fd(), PAUSE) {
                        Ok(None) => {}
                        other => return other.ok().flatten(),
                    }
                } else {
                    std::thread::sleep(PAUSE);
                }
            }
        };
        while let Some(key) = next() {
            let before = wish;
            wish = after(wish, key);
            if (before, wish) == (Wish::Work, Wish::Work) {
                view.send_modify(|view| *view = view.after(key));
            }
            view.send_modify(|view| view.asked = wish == Wish::Asked);
            if view.borrow().page != Page::Plain && wish != Wish::Abort {
                continue;
            }
            match (before, wish) {
                (_, Wish::Asked) => println!("{ABORT}"),
                (Wish::Asked, Wish::Work) => println!("Going on."),
                (_, Wish::Abort) => return abort(),
                (_, Wish::Work) => {}
            }
        }
    };
    // Without this thread the power button still does it.
    let _ = std::thread::Builder::new().name("keys".into()).spawn(work);
    keys
}

/// The question before the machine goes off.
const ABORT: &str = "\nAbort, wipe and power off? What stands in the cloud is kept.   [y] yes   [n] no";
/// How long one look at the keyboard takes.
const PAUSE: Duration = Duration::from_millis(100);

/// One key, when one comes within `limit`. An error when the console is gone.
fn key_within(input: BorrowedFd<'_>, limit: Duration) -> io::Result<Option<u8>> {
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
    match poll(&mut [PollFd::new(input, PollFlags::POLLIN)], timeout) {
        Ok(0) | Err(Errno::EINTR) => return Ok(None),
        Ok(_) => {}
        Err(e) => return Err(e.into()),
    }
    let mut key = [0; 1];
    match nix::unistd::read(input, &mut key)? {
        1 => Ok(key.first().copied()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What came of a question that one key answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen<T> {
    /// This.
    Key(T),
    /// Nothing: what was waited for came by itself.
    Overtaken,
    /// Nobody pressed a key in time, the console is gone, or the person wants the machine off.
    Off,
}

/// A question that one key answers.
pub struct Choice<'a, T> {
    /// The question. A key typed before it is no answer to it; None when it stands there already.
    pub question: Option<&'a str>,
    /// What the keys mean.
    pub meaning: &'a dyn Fn(u8) -> Option<T>,
    /// How long it stands.
    pub patience: Duration,
    /// Asked ten times in a second: true ends the question, because it is no longer needed.
    pub overtaken: &'a dyn Fn() -> bool,
}

/// Waits for a key that means something. `q` and then `y` work here as everywhere. What goes on in the background is not told meanwhile.
pub fn choose<T>(choice: &Choice<'_, T>) -> Chosen<T> {
    choose_at(stdin().as_fd(), choice, |text| println!("{text}"))
}

fn choose_at<T>(input: BorrowedFd<'_>, choice: &Choice<'_, T>, show: impl Fn(&str)) -> Chosen<T> {
    let Choice {
        question,
        meaning,
        patience,
        overtaken,
    } = *choice;
    // All of it before the question stands there: who answers in that very moment loses no key.
    single_keys(input);
    let _quiet = hold::question();
    if let Some(question) = question {
        forget_typed(input);
        show(question);
    }
    let mut deadline = Instant::now() + patience;
    let mut wish = Wish::default();
    while Instant::now() < deadline {
        if overtaken() {
            return Chosen::Overtaken;
        }
        let key = match key_within(input, PAUSE) {
            Ok(Some(key)) => key,
            Ok(None) => continue,
            Err(_) => break,
        };
        deadline = Instant::now() + patience;
        let before = wish;
        wish = after(wish, key);
        match (before, wish) {
            (_, Wish::Abort) => return Chosen::Off,
            (Wish::Work, Wish::Asked) => show(ABORT),
            (Wish::Asked, Wish::Work) => show("Going on."),
            (Wish::Work, Wish::Work) => {
                if let Some(chosen) = meaning(key.to_ascii_lowercase()) {
                    return Chosen::Key(chosen);
                }
            }
            (Wish::Asked, Wish::Asked) | (Wish::Abort, _) => {}
        }
    }
    Chosen::Off
}

/// Each key counts at once and is not shown: in the middle of the work somebody may still be typing a passphrase.
fn single_keys(input: BorrowedFd<'_>) {
    if let Ok(mut terminal) = tcgetattr(input) {
        terminal.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        for (index, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
            if let Some(slot) = terminal.control_chars.get_mut(index as usize) {
                *slot = value;
            }
        }
        let _ = tcsetattr(input, SetArg::TCSANOW, &terminal);
    }
}

fn forget_typed(input: BorrowedFd<'_>) {
    // Input that is no terminal keeps what it has.
    let _ = tcflush(input, FlushArg::TCIFLUSH);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str) -> Wish {
        keys.bytes().fold(Wish::default(), after)
    }

    #[test]
    fn it_takes_two_keys_to_abort() {
        assert_eq!(typed("qy"), Wish::Abort);
        assert_eq!(typed("QY"), Wish::Abort);
        assert_eq!(typed("q"), Wish::Asked);
    }

    /// What comes of a choice on a real terminal when a person types `before` ahead of the question and `at` in the moment it appears.
    fn chosen(before: &str, at: &str, stands: bool) -> Chosen<char> {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let typed = |keys: &str| {
            nix::unistd::write(&pty.master, keys.as_bytes()).expect("typing");
        };
        typed(before);
        let choice = Choice {
            question: Some("Which one?").filter(|_| !stands),
            meaning: &|key| key.is_ascii_lowercase().then_some(char::from(key)),
            patience: Duration::from_secs(2),
            overtaken: &|| false,
        };
        choose_at(pty.slave.as_fd(), &choice, |_| typed(at))
    }

    #[test]
    fn a_key_in_the_very_moment_of_the_question_counts_and_one_before_it_does_not() {
        assert_eq!(chosen("", "w", false), Chosen::Key('w'));
        assert_eq!(chosen("impatient\n", "w", false), Chosen::Key('w'));
        // The same page once more: what was typed on it counts.
        assert_eq!(chosen("w\n", "", true), Chosen::Key('w'));
    }

    #[test]
    fn any_other_answer_goes_on_and_a_stray_yes_means_nothing() {
        for keys in ["y", "qn", "q\r", "qqy", "qny", "hello"] {
            assert_eq!(typed(keys), Wish::Work, "{keys}");
        }
    }
}
