//! What a machine says on its console when it can't become a node, and how the agent reads it there: a machine that nobody can log
//! in to has no other way to tell a person why it does not come.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use skykeep_core::{Explain, Explained};

const WORD: &str = "skykeep: ";
const FAILED: &str = "skykeep: FAILED ";
/// Characters of each part that are shown: a console is not ours alone, what stands there may be anything.
const SHOWN: usize = 400;

/// The last word of a machine that gave up, for now or for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cry {
    /// What happened.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub remedy: String,
    /// Trying again will not help before somebody changes something.
    pub lasting: bool,
    /// How often the machine has tried.
    pub tries: u32,
    /// The [`mark`] of the sealed plan it tried; none when it has not come that far.
    #[serde(default)]
    pub plan: Option<String>,
}

/// By which a machine's words are told apart from words about an older plan.
pub fn mark(sealed_plan: &[u8]) -> String {
    hex::encode(Sha256::digest(sealed_plan).get(..6).unwrap_or_default())
}

impl Cry {
    /// From an error on the machine.
    pub fn of(error: &impl Explain, tries: u32, plan: Option<String>) -> Self {
        Cry {
            what: error.what(),
            why: error.why(),
            remedy: error.remedy(),
            lasting: !error.is_transient(),
            tries,
            plan,
        }
    }

    /// The one line for the console.
    pub fn line(&self) -> String {
        // Four strings and a flag always become JSON.
        format!("{FAILED}{}", serde_json::to_string(self).unwrap_or_default())
    }

    /// The machine's last word in its console output, when that is a failure. A later word of ours takes it back: the machine tries on.
    pub fn last_in(console: &str) -> Option<Self> {
        let line = console.lines().rev().find(|line| line.contains(WORD))?;
        let (_, json) = line.split_once(FAILED)?;
        // Text of other programs may follow on the same line.
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Cry>();
        let cry = values.next()?.ok()?;
        Some(Cry {
            what: shown(&cry.what),
            why: shown(&cry.why),
            remedy: shown(&cry.remedy),
            ..cry
        })
    }

    /// The same as an error of the rebirth, naming the machine.
    pub fn explained(&self, node: &str) -> Explained {
        Explained {
            what: format!("Machine {node} can't become a node: {}", self.what),
            why: self.why.clone(),
            remedy: self.remedy.clone(),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cry() -> Cry {
        Cry {
            what: "kubelet is not what castle.lock pinned".into(),
            why: "it has another SHA-256".into(),
            remedy: "Find out who changed it".into(),
            lasting: true,
            tries: 2,
            plan: Some(mark(b"plan")),
        }
    }

    #[test]
    fn a_failure_is_read_back_from_between_the_words_of_others() {
        let console = format!(
            "[  12.1] cloud-init[88]: skykeep:    1.0 s  the plan is open\r\n[  13.0] {}\r\n[  14.2] kernel: hello\r\n",
            cry().line()
        );
        assert_eq!(Cry::last_in(&console), Some(cry()));
    }

    #[test]
    fn a_machine_that_tries_again_has_taken_its_failure_back() {
        let console = format!("{}\nskykeep:    9.0 s  trying again\n", cry().line());
        assert_eq!(Cry::last_in(&console), None);
    }

    #[test]
    fn what_is_no_failure_of_ours_is_nothing() {
        assert_eq!(Cry::last_in(""), None);
        assert_eq!(Cry::last_in("skykeep: FAILED {\"what\":1}"), None);
        assert_eq!(Cry::last_in("login: root"), None);
    }

    #[test]
    fn control_characters_of_a_console_do_not_reach_the_screen() {
        let mut hostile = cry();
        hostile.why = "\u{1b}[2Jgone".into();
        assert_eq!(Cry::last_in(&hostile.line()).unwrap().why, "[2Jgone");
    }
}
