//! Writing, and reading back what was written, with progress that reaches 100 % only when both are done.

use super::error::StickError;
use super::iso::Place;
use super::medium::{CHUNK, Medium, Source};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes all of `source` to `target` (open for writing, `path` for reading back), then compares every byte.
pub fn write_and_verify(source: &Source, target: &File, path: &Path, progress: &mut Bar) -> Result<(), StickError> {
    let name = path.display().to_string();
    let problem = |doing| {
        let path = name.clone();
        move |source| StickError::Io { doing, path, source }
    };
    let mut sums = Vec::new();
    for at in (0..source.length).step_by(CHUNK as usize) {
        let bytes = source.chunk(at).map_err(problem("reading the image for"))?;
        target.write_all_at(&bytes, at).map_err(problem("writing"))?;
        // Not at the end alone: else the cache takes all at once, and progress would be a lie.
        target.sync_data().map_err(problem("writing"))?;
        sums.push((at, bytes.len() as u64, Sha256::digest(&bytes)));
        progress.add("writing", bytes.len() as u64);
    }
    target.sync_all().map_err(problem("writing"))?;
    let medium = Medium::open(path)?;
    if !medium.past_cache {
        progress.note("this file system can only be read through its cache; that is what is compared");
    }
    for (at, length, sum) in sums {
        let bytes = medium.read(Place { at, length })?;
        if Sha256::digest(&bytes) != sum {
            return Err(StickError::ReadBack { name, at });
        }
        progress.add("reading back", length);
    }
    progress.done();
    Ok(())
}

/// Progress for people: one line that is renewed on a terminal, a line every tenth elsewhere.
pub struct Bar {
    total: u64,
    done: u64,
    began: Instant,
    /// When and where this phase began: reading is faster than writing.
    phase: (&'static str, Instant, u64),
    terminal: bool,
    said: u64,
}

impl Bar {
    /// For `total` bytes in all phases together.
    pub fn new(total: u64, terminal: bool) -> Self {
        let now = Instant::now();
        Bar {
            total,
            done: 0,
            began: now,
            phase: ("", now, 0),
            terminal,
            said: 0,
        }
    }

    fn add(&mut self, phase: &'static str, bytes: u64) {
        if self.phase.0 != phase {
            self.phase = (phase, Instant::now(), self.done);
        }
        self.done += bytes;
        // 100 belongs to done() alone.
        let percent = (self.done * 100 / self.total.max(1)).min(99);
        let line = line(
            phase,
            percent,
            self.done - self.phase.2,
            self.phase.1.elapsed(),
            self.total - self.done.min(self.total),
        );
        if self.terminal {
            eprint!("\r{line:78}");
            let _ = io::stderr().flush();
        } else if percent / 10 > self.said {
            self.said = percent / 10;
            eprintln!("{line}");
        }
    }

    fn note(&self, text: &str) {
        eprintln!("{}{text}", if self.terminal { "\r" } else { "" });
    }

    fn done(&self) {
        let text = format!(
            "100 %  written and read back in {:.0} s",
            self.began.elapsed().as_secs_f64()
        );
        eprintln!("{}{text:78}", if self.terminal { "\r" } else { "" });
    }
}

/// `writing       23 %   12.3 MB/s   0:05 left`. Pure.
fn line(phase: &str, percent: u64, bytes: u64, took: Duration, left: u64) -> String {
    let rate = bytes as f64 / took.as_secs_f64().max(0.001);
    let seconds = (left as f64 / rate.max(1.0)).ceil();
    format!(
        "{phase:13} {percent:3} %   {:.1} MB/s   {:.0}:{:02.0} left",
        rate / 1e6,
        (seconds / 60.0).floor(),
        seconds % 60.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_line_says_rate_and_time_left() {
        assert_eq!(
            line("writing", 23, 50_000_000, Duration::from_secs(5), 650_000_000),
            "writing        23 %   10.0 MB/s   1:05 left"
        );
    }

    #[test]
    fn progress_never_says_a_hundred_before_the_end() {
        let mut bar = Bar::new(100, false);
        bar.add("writing", 100);
        assert_eq!(bar.said, 9);
    }

    #[test]
    fn a_stick_that_forgets_is_noticed() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("image"), vec![7; 10_000]).expect("image");
        fs::write(at("stick"), vec![0; 10_000]).expect("stick");
        let source = Source::new(&at("image"), None).expect("source");
        // What is written goes elsewhere, as on a stick that is smaller than it says.
        let elsewhere = File::create(at("elsewhere")).expect("open");
        let outcome = write_and_verify(&source, &elsewhere, &at("stick"), &mut Bar::new(20_000, false));
        assert!(
            matches!(outcome, Err(StickError::ReadBack { at: 0, .. })),
            "{outcome:?}"
        );
        let stick = File::options().write(true).open(at("stick")).expect("open");
        write_and_verify(&source, &stick, &at("stick"), &mut Bar::new(20_000, false)).expect("a good stick");
    }
}
