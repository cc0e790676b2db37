//! `lab-cuts [NUMBER] [SEED]`: a series of power cuts at engine level, as a table in Markdown. Ends with 1 when one did not come out right.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use lab_cuts::{
    story::{RESTORES, SCRIPTED, cuts, events_of_a_run, step_ids, tell_all},
    world::{Owner, World},
};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let number: usize = args.next().map_or(Ok(100), |n| n.parse())?;
    let seed: u64 = args.next().map_or(Ok(20_261_124), |n| n.parse())?;
    let owner = Arc::new(Owner::new(&lab_world::Credentials::laboratory())?);
    let events = events_of_a_run(&World::new().await?, &owner).await?;
    let mut wrong = 0;
    println!(
        "{number} cuts, seed {seed}, a whole run has {events} events. Scripted: {}, {}.\n",
        SCRIPTED.join(", "),
        RESTORES.join(", ")
    );
    println!(
        "| cut | steps done | elsewhere | nodes, balancers, networks | restores | DNS batches | addresses | left after destroy |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (cut, outcome) in tell_all(owner, cuts(seed, number, events, &step_ids()?)).await {
        match outcome {
            Ok(o) => {
                wrong += usize::from(!o.is_right());
                let elsewhere = if o.elsewhere { "yes" } else { "" };
                let [nodes, balancers, networks] = o.stands;
                println!(
                    "| {cut} | {} | {elsewhere} | {nodes}, {balancers}, {networks} | {} | {} | {} | {} |",
                    o.done,
                    o.restores,
                    o.batches,
                    o.records,
                    o.orphans.len()
                );
            }
            Err(error) => {
                wrong += 1;
                println!("| {cut} | failed: {error:#} |||||||");
            }
        }
    }
    println!("\n{wrong} of {number} came out wrong.");
    Ok(ExitCode::from(u8::from(wrong > 0)))
}
