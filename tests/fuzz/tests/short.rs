//! The short form: the corpus, and a fixed number of changes of it, the same ones every time.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    panic::catch_unwind,
    time::{Duration, Instant},
};

use fuzz::{TARGETS, Target, inputs, mutate::Dice};

/// Changes for each target.
const CHANGES: u64 = 3000;
/// Nothing that small may take longer, on a slow and busy machine and unoptimised.
const LONGEST: Duration = Duration::from_secs(5);

fn send(target: &Target, bytes: &[u8], what: &str) {
    let began = Instant::now();
    let read = target.read;
    if catch_unwind(|| read(bytes)).is_err() || began.elapsed() > LONGEST {
        let path = std::env::temp_dir().join(format!("skykeep-fuzz-{}", target.name));
        std::fs::write(&path, bytes).unwrap();
        panic!(
            "{} fails with {what} after {:?}: {}",
            target.name,
            began.elapsed(),
            path.display()
        );
    }
}

#[test]
fn whatever_comes_is_an_error_and_never_a_panic() {
    for target in TARGETS {
        let inputs = inputs(target).unwrap();
        assert!(!inputs.is_empty(), "{} has a corpus", target.name);
        for (number, input) in inputs.iter().enumerate() {
            send(target, input, &format!("input {number}"));
        }
        for seed in 0..CHANGES {
            send(target, &Dice::new(seed).change(&inputs), &format!("change {seed}"));
        }
    }
}

#[test]
fn the_changes_are_the_same_every_time_and_differ_from_each_other() {
    let inputs = vec![b"a castle of many rooms".to_vec(), b"{\"a\": [1, 2]}".to_vec()];
    let all: Vec<Vec<u8>> = (0..500).map(|seed| Dice::new(seed).change(&inputs)).collect();
    assert_eq!(all[7], Dice::new(7).change(&inputs));
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert!(distinct.len() > 400, "{}", distinct.len());
}

#[test]
fn a_panic_is_noticed() {
    let faulty = Target {
        name: "faulty",
        read: |bytes| assert!(bytes.len() < 3),
        seeds: &[],
    };
    assert!(catch_unwind(|| send(&faulty, b"abc", "a test")).is_err());
    send(&faulty, b"ab", "a test");
}
