//! The short form: twenty cuts at engine level.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use lab_cuts::{
    story::{cuts, events_of_a_run, step_ids, tell_all},
    world::{Owner, World},
};

const SEED: u64 = 20_261_124;

#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_power_is_cut_the_next_laptop_makes_the_same_castle() {
    let owner = Arc::new(Owner::new(&lab_world::Credentials::laboratory()).unwrap());
    let events = events_of_a_run(&World::new().await.unwrap(), &owner).await.unwrap();
    let mut amid = 0;
    for (cut, outcome) in tell_all(owner, cuts(SEED, 20, events, &step_ids().unwrap())).await {
        let outcome = outcome.unwrap_or_else(|e| panic!("cut {cut}: {e:#}"));
        println!("cut {cut}: {outcome:?}");
        assert!(outcome.is_right(), "cut {cut}: {outcome:?}");
        amid += usize::from((1..36).contains(&outcome.done));
    }
    assert!(
        amid >= 12,
        "only {amid} of 20 cuts fell between the first step's end and the last one's"
    );
}
