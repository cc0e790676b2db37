//! `skykeep dns`: the way back for the castle's names.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use clap::Subcommand;
use skykeep_core::{Explained, Generation, Trouble};
use skykeep_rebirth::WayBack;

use super::Owner;
use crate::console::lines::Output;

#[derive(Subcommand)]
pub enum DnsCommand {
    /// Put the castle's names back to where they pointed before the cutover: shows, asks, writes
    #[command(
        after_help = "Exit codes: 0 done (or nothing to do), 1 failed or not wanted, 2 the command line was wrong, \
3 with -o json and without --yes: there is something to do."
    )]
    Undo {
        #[command(flatten)]
        owner: Owner,
        /// Undo the cutover of this generation instead of the present one
        #[arg(long, value_name = "GENERATION")]
        generation: Option<Generation>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Overwrite what somebody else changed since the cutover
        #[arg(long)]
        even_if_changed: bool,
    },
    /// Take the records as they stand now for what `undo` brings back
    Keep(Owner),
}

pub async fn run(command: DnsCommand) -> Result<ExitCode, Trouble> {
    match command {
        DnsCommand::Undo {
            owner,
            generation,
            yes,
            even_if_changed,
        } => undo(&owner, generation, yes, even_if_changed).await,
        DnsCommand::Keep(owner) => {
            let estate = super::castle::open(&owner).await?;
            for line in skykeep_rebirth::keep_again(&estate).await? {
                println!("kept: {line}");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn undo(
    owner: &Owner,
    generation: Option<Generation>,
    yes: bool,
    even_if_changed: bool,
) -> Result<ExitCode, Trouble> {
    let estate = super::castle::open(owner).await?;
    let way = skykeep_rebirth::way_back(&estate, generation).await?;
    let json = owner.output == Output::Json;
    if !json {
        show(&way);
    }
    if way.already_done() {
        report(json, &way, false);
        return Ok(ExitCode::SUCCESS);
    }
    let strange = way.strange();
    if !strange.is_empty() && !even_if_changed {
        return Err(Explained {
            what: "Nothing was written: somebody has changed these records since the cutover".into(),
            why: strange.join("; "),
            remedy: "Look at the lines above. If they may be overwritten, say `--even-if-changed`.".into(),
        }
        .into());
    }
    if json && !yes {
        report(json, &way, false);
        return Ok(ExitCode::from(3));
    }
    if !yes {
        confirm()?;
    }
    // Asking took its time: what is written must be what stands now.
    let again = skykeep_rebirth::way_back(&estate, Some(way.generation)).await?;
    if lines(&again) != lines(&way) || again.keys() != way.keys() {
        return Err(Explained {
            what: "Nothing was written: the records changed while you were asked".into(),
            why: "somebody works in the zone at this moment".into(),
            remedy: "Start `skykeep dns undo` again and look at what it shows now.".into(),
        }
        .into());
    }
    skykeep_rebirth::go_back(&estate, &again).await?;
    report(json, &way, true);
    Ok(ExitCode::SUCCESS)
}

fn lines(way: &WayBack) -> Vec<&[String]> {
    way.zones.iter().map(|z| z.lines.as_slice()).collect()
}

fn show(way: &WayBack) {
    println!("To undo the cutover of generation {}:", way.generation);
    for zone in &way.zones {
        println!(
            "zone {}{}",
            zone.zone(),
            if zone.lines.is_empty() {
                ": already as before"
            } else {
                ""
            }
        );
        for line in &zone.lines {
            println!("  {line}");
        }
        for line in &zone.strange {
            println!("  ! changed by somebody else since: {line}");
        }
    }
    for key in way.keys() {
        println!("and given back to the old castle: {key}");
    }
    if way.zones.len() > 1 {
        println!("Each zone is a transaction of its own; they are written in this order.");
    }
}

fn report(json: bool, way: &WayBack, written: bool) {
    if json {
        let zones: Vec<_> = way
            .zones
            .iter()
            .map(|z| serde_json::json!({"zone": z.zone(), "change": z.lines, "changedByOthers": z.strange}))
            .collect();
        println!(
            "{}",
            serde_json::json!({"v": 1, "generation": way.generation, "zones": zones, "keys": way.keys(), "written": written})
        );
    } else if written {
        println!("Written. Resolvers may remember the new castle for the ttl shown at `-` and `~`.");
        println!("The new castle still stands; `skykeep apply` would move the names to it again.");
    } else {
        println!("Every name already stands as before, and every key: nothing was written.");
    }
}

/// Asks for a whole word: a stray Enter must not move a castle's names.
fn confirm() -> Result<(), Explained> {
    let refused = |why: &str| Explained {
        what: "Nothing was written".into(),
        why: why.into(),
        remedy: "Start again and type `undo`, or say `--yes` where nobody can be asked.".into(),
    };
    if !std::io::stdin().is_terminal() {
        return Err(refused("there is nobody to ask: standard input is no terminal"));
    }
    print!("Type `undo` to write this (anything else changes nothing): ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && answer.trim() == "undo" {
        Ok(())
    } else {
        Err(refused("it was not wanted"))
    }
}
