//! What was proven, line by line, and whether all of it was good.

use std::time::Instant;

/// A list of verdicts that prints each as it comes.
pub struct Verdicts {
    begin: Instant,
    bad: usize,
    good: usize,
}

impl Verdicts {
    /// Starts the clock.
    pub fn new() -> Self {
        Verdicts {
            begin: Instant::now(),
            bad: 0,
            good: 0,
        }
    }

    /// Says what happens now.
    pub fn stage(&self, text: &str) {
        println!("[{:>6.1} s] {text}", self.begin.elapsed().as_secs_f64());
    }

    /// One thing that must be so, with what was seen.
    pub fn must(&mut self, so: bool, what: &str, seen: impl std::fmt::Display) {
        if so {
            self.good += 1;
        } else {
            self.bad += 1;
        }
        let word = if so { "proven" } else { "NOT SO" };
        println!(
            "[{:>6.1} s] {word}: {what} ({seen})",
            self.begin.elapsed().as_secs_f64()
        );
    }

    /// Prints the sum; true when nothing was bad.
    pub fn end(self) -> bool {
        println!("{} passed, {} failed", self.good, self.bad);
        self.bad == 0
    }
}
