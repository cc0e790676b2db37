//! Lines about work in the background that must not come into the middle of a question: held back until it is answered.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// More lines than this are news of hours; the oldest are dropped, and said to be.
const MOST: usize = 40;

static HELD: Mutex<Held> = Mutex::new(Held::new());

/// What is held. Pure.
#[derive(Debug, Default)]
struct Held {
    questions: usize,
    lines: Vec<String>,
    dropped: usize,
}

impl Held {
    const fn new() -> Self {
        Held {
            questions: 0,
            lines: Vec::new(),
            dropped: 0,
        }
    }

    /// The line again when it may be shown now.
    fn take(&mut self, line: String) -> Option<String> {
        if self.questions == 0 {
            return Some(line);
        }
        if self.lines.len() == MOST {
            self.lines.remove(0);
            self.dropped += 1;
        }
        self.lines.push(line);
        None
    }

    /// What is to be shown when a question ends.
    fn end(&mut self) -> Vec<String> {
        self.questions = self.questions.saturating_sub(1);
        if self.questions > 0 {
            return Vec::new();
        }
        let dropped = std::mem::take(&mut self.dropped);
        let mut lines = std::mem::take(&mut self.lines);
        if dropped > 0 {
            lines.insert(0, format!("      ({dropped} earlier lines are left out)"));
        }
        lines
    }
}

/// A question stands on the screen while this lives.
pub struct Question(());

/// Begins one.
pub fn question() -> Question {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).questions += 1;
    Question(())
}

impl Drop for Question {
    fn drop(&mut self) {
        let lines = HELD.lock().unwrap_or_else(PoisonError::into_inner).end();
        lines.iter().for_each(|line| write(line));
    }
}

/// Shows a line, now or after the question.
pub fn line(line: String) {
    let now = HELD.lock().unwrap_or_else(PoisonError::into_inner).take(line);
    now.iter().for_each(|line| write(line));
}

fn write(line: &str) {
    // A console that is gone must not stop the work.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_for_the_last_question_and_keep_their_order() {
        let mut held = Held::default();
        assert_eq!(held.take("before".into()).as_deref(), Some("before"));
        held.questions = 2;
        for line in ["one", "two"] {
            assert_eq!(held.take(line.into()), None);
        }
        assert!(held.end().is_empty(), "another question stands");
        assert_eq!(held.end(), ["one", "two"]);
        assert_eq!(held.take("after".into()).as_deref(), Some("after"));
        assert!(held.end().is_empty());
    }

    #[test]
    fn a_question_that_stands_for_hours_holds_the_newest_and_says_so() {
        let mut held = Held {
            questions: 1,
            ..Held::default()
        };
        for number in 0..MOST + 3 {
            held.take(number.to_string());
        }
        let lines = held.end();
        assert!(
            lines.first().is_some_and(|line| line.contains("3 earlier lines")),
            "{lines:?}"
        );
        assert_eq!(lines.last().map(String::as_str), Some("42"));
        assert_eq!(lines.len(), MOST + 1);
    }
}
