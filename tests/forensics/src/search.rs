//! Looking through one dump.

use std::{collections::BTreeMap, fmt, fs::File, io::Read, path::Path};

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result};

use crate::needles::{FRAGMENT, Needles};

const PAGE: usize = 4096;
const CHUNK: usize = 16 << 20;

/// What was found in one dump.
#[derive(Debug, Default)]
pub struct Findings {
    /// Secret and form, and how often.
    pub hits: BTreeMap<(String, &'static str), u64>,
    /// Where some of them lie, with what stands around them, for whoever has to mend it.
    pub places: Vec<String>,
    /// Where in the file the first one begins.
    pub first: Option<u64>,
    /// Bytes that were not zero: what had to be looked at.
    pub looked_at: u64,
}

impl Findings {
    /// How often a secret was found, in whatever form.
    pub fn of(&self, name: &str) -> u64 {
        self.hits
            .iter()
            .filter(|((found, _), _)| found == name)
            .map(|(_, n)| n)
            .sum()
    }

    /// The forms in which a secret was found.
    pub fn forms_of(&self, name: &str) -> Vec<&'static str> {
        self.hits
            .keys()
            .filter(|(found, _)| found == name)
            .map(|(_, form)| *form)
            .collect()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, form), n) in &self.hits {
            writeln!(f, "    {n:>6} x {name} ({form})")?;
        }
        for place in &self.places {
            writeln!(f, "      {place}")?;
        }
        Ok(())
    }
}

/// Searches a file for every fragment. Memory that is all zeroes is skipped.
///
/// # Errors
/// When the file can't be read.
pub fn search(dump: &Path, needles: &Needles) -> Result<Findings> {
    let machine = AhoCorasick::new(needles.patterns())?;
    let mut file = File::open(dump).with_context(|| dump.display().to_string())?;
    let mut findings = Findings::default();
    // The end of the chunk before stays in front, so that nothing is cut in two.
    let mut window = vec![0; FRAGMENT - 1];
    let mut offset = 0u64;
    loop {
        let kept = window.len();
        let n = (&mut file).take(CHUNK as u64).read_to_end(&mut window)?;
        for (from, to) in runs_that_are_not_zero(&window, kept) {
            findings.looked_at += (to - from) as u64;
            for hit in machine.find_iter(&window[from..to]) {
                let Some(label) = needles.label(hit.pattern().as_usize()) else {
                    continue;
                };
                let count = findings.hits.entry(label.clone()).or_default();
                *count += 1;
                findings
                    .first
                    .get_or_insert(offset + (from + hit.start()) as u64 - kept as u64);
                if *count <= 3 {
                    let at = from + hit.start();
                    let around = &window[at.saturating_sub(48)..(at + 64).min(window.len())];
                    findings.places.push(format!(
                        "{} ({}) at {:#x}: {}",
                        label.0,
                        label.1,
                        offset + at as u64 - kept as u64,
                        around.escape_ascii()
                    ));
                }
            }
        }
        if n == 0 {
            return Ok(findings);
        }
        offset += n as u64;
        let rest = window.len() - (FRAGMENT - 1);
        window.drain(..rest);
    }
}

/// Pages with something in them, neighbours joined, each run beginning a fragment early.
fn runs_that_are_not_zero(window: &[u8], kept: usize) -> Vec<(usize, usize)> {
    const ZEROES: [u8; PAGE] = [0; PAGE];
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut at = kept;
    while at < window.len() {
        let end = (at + PAGE).min(window.len());
        if window[at..end] != ZEROES[..end - at] {
            match runs.last_mut() {
                Some((_, last)) if *last == at => *last = end,
                _ => runs.push((at.saturating_sub(FRAGMENT - 1), end)),
            }
        }
        at = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_lies_even_where_two_chunks_meet() {
        let secret = b"seven lanterns over the quiet harbour";
        let mut needles = Needles::default();
        needles.add("it", secret).unwrap();
        let file = std::env::temp_dir().join(format!("forensics-{}", std::process::id()));
        for at in [0, 4090, CHUNK - 20, CHUNK, 2 * CHUNK + 3] {
            let mut bytes = vec![0; 2 * CHUNK + 5000];
            bytes[at..at + secret.len()].copy_from_slice(secret);
            std::fs::write(&file, &bytes).unwrap();
            assert!(search(&file, &needles).unwrap().of("it") > 0, "at {at}");
            // Half of it is enough.
            bytes[at + FRAGMENT..at + secret.len()].fill(0);
            std::fs::write(&file, &bytes).unwrap();
            assert_eq!(search(&file, &needles).unwrap().of("it"), 1, "half of it at {at}");
            bytes[at] ^= 1;
            std::fs::write(&file, &bytes).unwrap();
            assert_eq!(search(&file, &needles).unwrap().of("it"), 0, "fifteen bytes at {at}");
        }
        std::fs::remove_file(file).unwrap();
    }
}
