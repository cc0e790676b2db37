//! What a lint says: how much it matters, where, what, and what to do.

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The rebirth would fail: it is not begun.
    Error,
    /// The rebirth would come to an end, but data or many minutes are at stake. `skykeep lint` fails.
    Risk,
    /// It may be meant.
    Warning,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line, from 1, when it can be told.
    pub line: Option<u64>,
    /// What does not fit.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// Where something stands.
pub(crate) struct Place {
    pub(super) file: String,
    pub(super) line: Option<u64>,
}

impl From<&str> for Place {
    fn from(file: &str) -> Self {
        Place {
            file: file.to_owned(),
            line: None,
        }
    }
}

impl Finding {
    fn new(severity: Severity, place: Place, what: String, remedy: String) -> Self {
        Finding {
            severity,
            file: place.file,
            line: place.line,
            what,
            remedy,
        }
    }

    pub(crate) fn error(place: impl Into<Place>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding::new(Severity::Error, place.into(), what.into(), remedy.into())
    }

    pub(crate) fn risk(place: impl Into<Place>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding::new(Severity::Risk, place.into(), what.into(), remedy.into())
    }

    pub(crate) fn warning(place: impl Into<Place>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding::new(Severity::Warning, place.into(), what.into(), remedy.into())
    }

    /// `file:line`, or `file`.
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }
}
