//! Does another castle live? Decided without I/O.

use std::{collections::BTreeSet, time::Duration};

use skykeep_core::castle::OldPulse;

use super::{Stance, Testament};

/// A sign of life of another castle, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// The castle's generation or name.
    pub who: String,
    /// How old the sign is, by the store's clock.
    pub age: Duration,
    /// Changes with each pulse.
    pub tag: String,
    /// How its castle stands to the names.
    pub stance: Stance,
    /// What it said of its castle.
    pub testament: Option<Testament>,
}

/// What came of asking at one address of the old records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where, and by which name.
    pub place: String,
    /// Whether somebody answered who holds that name's certificate.
    pub lives: bool,
    /// What came, or why nothing did.
    pub seen: String,
}

/// All that is known about other castles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every sign of life.
    pub signs: Vec<Sign>,
    /// What came from the old records' addresses; empty when the names point nowhere else.
    pub answers: Vec<Answer>,
    /// Whose pulse came anew under our eyes.
    pub renewed: BTreeSet<String>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It lives; why that is known.
    Lives(String),
    /// Its pulse is too young to call it dead: it is, when none comes for so long.
    Watch(Duration, String),
    /// Nothing of it lives; why that is known.
    Silent(String),
    /// Nothing says that it lives, and nothing says that it is dead.
    Unknown(String),
}

/// Judges. `limit` is the age from which on a pulse is none.
pub fn judge(facts: &Facts, limit: Duration, expected: OldPulse) -> Verdict {
    let of = |stance| facts.signs.iter().filter(move |s| s.stance == stance);
    let holds: Vec<&Sign> = of(Stance::Holds).collect();
    let newest = holds.iter().min_by_key(|s| s.age);
    // It lives and says itself that it leaves the names alone; where it answers does not matter then.
    let yields = of(Stance::SteppedBack).find(|s| s.age < limit && newest.is_none_or(|n| n.age >= limit));
    if let Some(sign) = yields {
        return Verdict::Silent(format!("castle {} lives and has stepped back", sign.who));
    }
    let answering: Vec<String> = facts
        .answers
        .iter()
        .filter(|a| a.lives)
        .map(|a| format!("{}: {}", a.place, a.seen))
        .collect();
    if !answering.is_empty() {
        return Verdict::Lives(format!("somebody answers at {}", answering.join(", ")));
    }
    if let Some(sign) = holds.iter().find(|s| facts.renewed.contains(&s.who)) {
        return Verdict::Lives(format!("castle {} gave a new pulse while we looked", sign.who));
    }
    let nobody = nobody_answers(&facts.answers);
    match newest {
        Some(newest) if newest.age < limit => {
            let said = format!("castle {} gave its last pulse {} ago", newest.who, span(newest.age));
            Verdict::Watch(limit - newest.age, said)
        }
        Some(newest) => Verdict::Silent(format!(
            "the newest pulse, of castle {}, is {} old; {nobody}",
            newest.who,
            span(newest.age)
        )),
        None if of(Stance::SteppedBack).next().is_some() => {
            Verdict::Silent(format!("a castle had stepped back, and is silent since; {nobody}"))
        }
        None if facts.answers.is_empty() => Verdict::Silent("the names point to no other castle".into()),
        None if expected == OldPulse::None => Verdict::Silent(format!("{nobody}; it never had a pulse")),
        None => Verdict::Unknown(format!("no castle has ever given a pulse; {nobody}")),
    }
}

fn nobody_answers(answers: &[Answer]) -> String {
    if answers.is_empty() {
        return "the names point nowhere else".into();
    }
    let places: Vec<String> = answers.iter().map(|a| format!("{} ({})", a.place, a.seen)).collect();
    format!("nobody answers at {}", places.join(", "))
}

/// A time as people say it.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);

    fn sign(who: &str, age: u64) -> Sign {
        Sign {
            who: who.into(),
            age: Duration::from_secs(age),
            tag: "t".into(),
            stance: Stance::Holds,
            testament: None,
        }
    }

    fn answer(lives: bool) -> Answer {
        Answer {
            place: "192.0.2.10 as blog.rossi.example".into(),
            lives,
            seen: if lives { "status 200" } else { "connection timed out" }.into(),
        }
    }

    fn facts(signs: Vec<Sign>, answers: Vec<Answer>) -> Facts {
        Facts {
            signs,
            answers,
            renewed: BTreeSet::new(),
        }
    }

    fn judged(signs: Vec<Sign>, answers: Vec<Answer>) -> Verdict {
        judge(&facts(signs, answers), LIMIT, OldPulse::Expected)
    }

    #[test]
    fn every_verdict_says_who_how_old_and_from_where() {
        let stands = |stance| Sign {
            stance,
            ..sign("01J", 3)
        };
        let (back, down) = (stands(Stance::SteppedBack), stands(Stance::TakenDown));
        let mut renewed = facts(vec![sign("home", 2)], vec![answer(false)]);
        renewed.renewed.insert("home".into());
        let declared = judge(&facts(vec![], vec![answer(false)]), LIMIT, OldPulse::None);
        let all = [
            ("answers, and no pulse", judged(vec![], vec![answer(true)])),
            (
                "answers, and an old pulse",
                judged(vec![sign("home", 9000)], vec![answer(true)]),
            ),
            ("a pulse under our eyes", judge(&renewed, LIMIT, OldPulse::Expected)),
            (
                "a young pulse",
                judged(vec![sign("home", 20), sign("01J", 9000)], vec![answer(false)]),
            ),
            (
                "an old pulse",
                judged(vec![sign("home", 9000), sign("01J", 300_000)], vec![answer(false)]),
            ),
            (
                "taken down on purpose, and no other",
                judged(vec![down], vec![answer(false)]),
            ),
            (
                "it has stepped back, and answers",
                judged(vec![back.clone()], vec![answer(true)]),
            ),
            (
                "it had stepped back long ago",
                judged(
                    vec![Sign {
                        stance: Stance::SteppedBack,
                        ..sign("home", 9000)
                    }],
                    vec![answer(false)],
                ),
            ),
            (
                "one has stepped back, another has not",
                judged(vec![back, sign("home", 9)], vec![]),
            ),
            ("no pulse ever", judged(vec![], vec![answer(false)])),
            ("it never had one, says castle.yaml", declared),
            ("a first castle", judged(vec![], vec![])),
        ];
        let lines: Vec<String> = all.iter().map(|(when, v)| format!("{when}:\n  {v:?}")).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_pulse_is_young_up_to_its_limit_and_old_from_it_on() {
        let at = |age| judged(vec![sign("home", age)], vec![answer(false)]);
        assert!(matches!(at(299), Verdict::Watch(left, _) if left == Duration::from_secs(1)));
        assert!(matches!(at(300), Verdict::Silent(_)));
    }
}
