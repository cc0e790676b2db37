//! The keys that count while the agent works: pages of the screen, and abort.

use std::io::{self, stdin};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::rail::{Page, View};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, tcgetattr, tcsetattr};

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
        single_keys();
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
        single_keys();
        let mut wish = Wish::default();
        let next = || {
            loop {
                if !wanted.load(Ordering::SeqCst) {
                    let _held = keyboard.lock().unwrap_or_else(PoisonError::into_inner);
                    match key_within(PAUSE) {
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
fn key_within(limit: Duration) -> io::Result<Option<u8>> {
    let stdin = stdin();
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
    match poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(0) | Err(Errno::EINTR) => return Ok(None),
        Ok(_) => {}
        Err(e) => return Err(e.into()),
    }
    let mut key = [0; 1];
    match nix::unistd::read(stdin.as_fd(), &mut key)? {
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

/// Waits for a key that means something. `overtaken` is asked ten times in a second and ends the question when it is no longer needed. `q` and then `y`
/// work here as everywhere.
pub fn choose<T>(meaning: impl Fn(u8) -> Option<T>, patience: Duration, overtaken: impl Fn() -> bool) -> Chosen<T> {
    single_keys();
    let mut deadline = Instant::now() + patience;
    let mut wish = Wish::default();
    while Instant::now() < deadline {
        if overtaken() {
            return Chosen::Overtaken;
        }
        let key = match key_within(PAUSE) {
            Ok(Some(key)) => key,
            Ok(None) => continue,
            Err(_) => break,
        };
        deadline = Instant::now() + patience;
        let before = wish;
        wish = after(wish, key);
        match (before, wish) {
            (_, Wish::Abort) => return Chosen::Off,
            (Wish::Work, Wish::Asked) => println!("{ABORT}"),
            (Wish::Asked, Wish::Work) => println!("Going on."),
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
fn single_keys() {
    let input = stdin();
    if let Ok(mut terminal) = tcgetattr(&input) {
        terminal.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        for (index, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
            if let Some(slot) = terminal.control_chars.get_mut(index as usize) {
                *slot = value;
            }
        }
        // Also throws away what was typed before.
        let _ = tcsetattr(&input, SetArg::TCSAFLUSH, &terminal);
    }
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

    #[test]
    fn any_other_answer_goes_on_and_a_stray_yes_means_nothing() {
        for keys in ["y", "qn", "q\r", "qqy", "qny", "hello"] {
            assert_eq!(typed(keys), Wish::Work, "{keys}");
        }
    }
}
