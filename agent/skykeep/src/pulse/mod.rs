//! `skykeep pulse run`: the job in a living castle. Once a minute it tells the state bucket that the castle lives and what it is
//! made of; when a newer generation has the names, it stops this castle's writers.

mod look;
mod step_back;

use std::{path::Path, time::Duration};

use kube::{Client, Config};
use skykeep_core::{Trouble, explain::chain};
use skykeep_rebirth::pulse::{Pen, Record, Stance, Testament};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, timeout},
};

/// From one pulse to the next.
const BEAT: Duration = Duration::from_secs(60);
/// How long the castle's API may take for one look, or for one step back.
const PATIENCE: Duration = Duration::from_secs(25);

/// Runs until it is told to end; with `once` it gives one pulse.
pub async fn run(spec: &Path, keys: &Path, once: bool) -> Result<(), Trouble> {
    let pen = Pen::open(spec, keys)?;
    // A castle whose API does not answer lives all the same: its pods run.
    // Only the one that it runs in: whoever starts this by hand must not have their own cluster stopped.
    let client = Config::incluster().map_err(|e| chain(&e));
    let client = client.and_then(|config| Client::try_from(config).map_err(|e| chain(&e)));
    let client = client.map_err(|why| say("the API", &why)).ok();
    if once {
        return beat(&pen, client.as_ref(), &mut None).await;
    }
    let problem = |e: std::io::Error| skykeep_core::Explained {
        what: "SIGTERM can't be watched".into(),
        why: e.to_string(),
        remedy: "This is a fault of the program: please report it with this text.".into(),
    };
    let mut end = signal(SignalKind::terminate()).map_err(problem)?;
    let mut every = tokio::time::interval(BEAT);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        tokio::select! {
            _ = end.recv() => return Ok(()),
            _ = every.tick() => match beat(&pen, client.as_ref(), &mut known).await {
                Ok(()) => println!("pulse: given"),
                Err(trouble) => say("giving it", &trouble.explained().why),
            },
        }
    }
}

fn say(what: &str, why: &str) {
    println!("pulse: {what}: {why}");
}

/// Looks, steps back when it must, and gives one pulse. `known` is what the castle was made of when it last answered: a castle
/// that dies often loses its API before its pulse, and then that is what a rebirth wants to know.
async fn beat(pen: &Pen, client: Option<&Client>, known: &mut Option<Testament>) -> Result<(), Trouble> {
    if known.is_none() {
        // Seen before this process began. A bucket that does not give it back must not keep the pulse from being given.
        *known = pen.last().await.ok().flatten().and_then(|last| last.testament);
    }
    let mut stance = Stance::Holds;
    if let Some(client) = client {
        match timeout(PATIENCE, look::testament(client)).await {
            Ok(Ok(seen)) => {
                let before = known.take().and_then(|known| known.green);
                *known = Some(Testament {
                    green: seen.green.clone().or(before),
                    ..seen
                });
            }
            Ok(Err(e)) => say("looking at the castle", &chain(&e)),
            Err(_) => say("looking at the castle", "its API takes too long"),
        }
        stance = step_back(pen, client).await;
    }
    let testament = known.clone();
    pen.beat(&Record {
        v: 1,
        stance,
        testament,
    })
    .await
}

/// Whether this castle has stepped back. What fails is said and tried again with the next pulse.
async fn step_back(pen: &Pen, client: &Client) -> Stance {
    let stop = match pen.must_stop().await {
        Ok(Some(stop)) => stop,
        Ok(None) => return Stance::Holds,
        Err(trouble) => {
            say("reading the lease", &trouble.explained().why);
            return Stance::Holds;
        }
    };
    match timeout(PATIENCE, step_back::carry_out(client, &pen.spec.stop, &stop.why)).await {
        Ok(Ok(done)) => {
            for line in done {
                say("stepping back", &line);
            }
            Stance::SteppedBack
        }
        Ok(Err(e)) => {
            say("stepping back", &chain(&e));
            Stance::Holds
        }
        Err(_) => {
            say("stepping back", "the API takes too long");
            Stance::Holds
        }
    }
}
