//! Which commit comes first.

use super::*;
use crate::pulse::{Stance, Testament};

fn sign(who: &str, age: u64, green: Option<&str>) -> Sign {
    let testament = Testament {
        green: green.map(str::to_owned),
        ..Testament::default()
    };
    Sign {
        who: who.into(),
        age: Duration::from_secs(age),
        tag: String::new(),
        stance: Stance::Holds,
        testament: Some(testament),
    }
}

fn hex(digit: &str) -> String {
    digit.repeat(40)
}

fn said(facts: &Facts<'_>) -> (Option<String>, String) {
    let (commit, because) = choose(facts);
    (commit.map(|c| c.chars().take(1).collect()), because.text())
}

#[test]
fn what_somebody_says_comes_before_the_journal_and_that_before_the_pulse() {
    let (a, b, c) = (hex("a"), hex("b"), format!("main@sha1:{}", hex("c")));
    let chosen = Chosen {
        commit: b,
        because: "the last commit at which castle home was all green".into(),
    };
    let journal = Entries {
        revision: Some(chosen),
        ..Entries::default()
    };
    let back = Entries {
        given_back: true,
        ..journal.clone()
    };
    let signs = [
        sign("older", 9000, Some(&format!("main@sha1:{}", hex("d")))),
        sign("home", 60, Some(&c)),
        sign("never-green", 5, None),
        sign("from-a-registry", 4, Some("latest@sha256:eeee")),
    ];
    let nothing = Facts {
        named: None,
        head: false,
        from: RebornFrom::Green,
        journal: None,
        signs: &[],
    };
    let all = [
        ("nothing is known", said(&nothing)),
        (
            "a pulse says one",
            said(&Facts {
                signs: &signs,
                ..nothing
            }),
        ),
        (
            "castle.yaml wants the head",
            said(&Facts {
                signs: &signs,
                from: RebornFrom::Head,
                ..nothing
            }),
        ),
        (
            "a run before took one",
            said(&Facts {
                signs: &signs,
                from: RebornFrom::Head,
                journal: Some(&journal),
                ..nothing
            }),
        ),
        (
            "--head",
            said(&Facts {
                signs: &signs,
                journal: Some(&journal),
                head: true,
                ..nothing
            }),
        ),
        (
            "castle.yaml names one",
            said(&Facts {
                signs: &signs,
                journal: Some(&journal),
                head: true,
                named: Some(&a),
                ..nothing
            }),
        ),
        (
            "given back",
            said(&Facts {
                signs: &signs,
                journal: Some(&back),
                named: Some(&a),
                ..nothing
            }),
        ),
    ];
    let lines: Vec<String> = all
        .iter()
        .map(|(when, (commit, why))| format!("{when}: {} ({why})", commit.as_deref().unwrap_or("head")))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_commit_that_was_pushed_away_is_a_choice() {
    let gone = RebirthError::RevisionGone {
        revision: hex("b"),
        branch: "main".into(),
        because: Because::Green("home".into()).text(),
    };
    insta::assert_snapshot!(Trouble::from(gone).explained());
}
