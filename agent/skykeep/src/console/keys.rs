//! The keys that count while the agent works: pages of the screen, and abort.

use std::io::{Read, stdin};
use std::os::fd::AsFd;

use tokio::sync::watch;

use super::rail::{Page, View};
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

/// Listens on its own thread; when the person wants the machine off, `abort` is called, once. Other keys change the view.
pub fn listen(view: watch::Sender<View>, abort: impl FnOnce() + Send + 'static) {
    let work = move || {
        single_keys();
        let Ok(mut input) = stdin().as_fd().try_clone_to_owned().map(std::fs::File::from) else {
            return;
        };
        let mut wish = Wish::default();
        let mut key = [0; 1];
        while let Ok(1) = input.read(&mut key) {
            let before = wish;
            wish = key.iter().fold(wish, |wish, key| after(wish, *key));
            if (before, wish) == (Wish::Work, Wish::Work) {
                view.send_modify(|view| *view = key.iter().fold(*view, |view, key| view.after(*key)));
            }
            view.send_modify(|view| view.asked = wish == Wish::Asked);
            if view.borrow().page != Page::Plain && wish != Wish::Abort {
                continue;
            }
            match (before, wish) {
                (_, Wish::Asked) => {
                    println!("\nAbort, wipe and power off? What stands in the cloud is kept.   [y] yes   [n] no")
                }
                (Wish::Asked, Wish::Work) => println!("Going on."),
                (_, Wish::Abort) => return abort(),
                (_, Wish::Work) => {}
            }
        }
    };
    // Without this thread the power button still does it.
    let _ = std::thread::Builder::new().name("keys".into()).spawn(work);
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
