//! The error shape: every error a person can meet says what happened, why, and what to do.

use std::fmt;

/// An error in three parts. Each capability has one enum that implements it; [`Trouble`] carries any of them upward.
pub trait Explain: fmt::Debug + Send + Sync + 'static {
    /// What happened, in one sentence, without a trailing full stop.
    fn what(&self) -> String;
    /// Why it happened, as far as it is known.
    fn why(&self) -> String;
    /// What the person at the keyboard can do now.
    fn remedy(&self) -> String;
    /// Whether doing the same thing again may succeed without anybody changing anything.
    fn is_transient(&self) -> bool {
        false
    }
}

/// Any three-part error, boxed.
#[derive(Debug)]
pub struct Trouble(Box<dyn Explain>);

impl Trouble {
    /// Whether trying again may help by itself.
    pub fn is_transient(&self) -> bool {
        self.0.is_transient()
    }

    /// The three parts as plain data, for `-o json` and reports.
    pub fn explained(&self) -> Explained {
        Explained {
            what: self.0.what(),
            why: self.0.why(),
            remedy: self.0.remedy(),
        }
    }
}

impl<E: Explain> From<E> for Trouble {
    fn from(error: E) -> Self {
        Trouble(Box::new(error))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.explained())
    }
}

/// The three parts of an error as data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Explained {
    /// What happened.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what:  {}\nwhy:   {}\ndo:    {}", self.what, self.why, self.remedy)
    }
}

impl Explain for Explained {
    fn what(&self) -> String {
        self.what.clone()
    }
    fn why(&self) -> String {
        self.why.clone()
    }
    fn remedy(&self) -> String {
        self.remedy.clone()
    }
}

/// Joins an error with its sources: `a: b: c`. Libraries hide the useful part at the end of the chain.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_as_what_why_and_what_to_do() {
        let trouble = Trouble::from(Explained {
            what: "The vault did not open".into(),
            why: "no slot fits this passphrase".into(),
            remedy: "Type it again".into(),
        });
        assert_eq!(
            trouble.to_string(),
            "what:  The vault did not open\nwhy:   no slot fits this passphrase\ndo:    Type it again"
        );
    }
}
