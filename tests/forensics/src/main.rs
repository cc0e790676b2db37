//! `forensics IMAGE PROGRAM WORK [all | NAME...]`: boots the image, searches its memory, exits 1 when a secret is where it must not be.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, ensure};
use forensics::{
    boots::{self, Places, Verdict},
    ending::Ending,
};

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let mut path = |what: &str| arguments.next().map(PathBuf::from).with_context(|| what.to_owned());
    let image = path("first argument: a folder made by image/build")?;
    let program = path("second argument: the binary that it was built from")?;
    let work = path("third argument: a folder to work in")?;
    let names: Vec<String> = arguments.collect();
    let known = |name: &str| Ending::ALL.iter().any(|ending| format!("{ending:?}") == name);
    for name in names.iter().filter(|name| *name != "all") {
        ensure!(known(name), "there is no ending {name}; known are {:?}", Ending::ALL);
    }
    let chosen: Vec<Ending> = match names.as_slice() {
        [] => Ending::SHORT.to_vec(),
        [all] if all == "all" => Ending::ALL.to_vec(),
        some => {
            let all = Ending::ALL.iter().copied();
            all.filter(|ending| some.contains(&format!("{ending:?}"))).collect()
        }
    };
    let tree = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let places = Places {
        tree,
        image,
        program,
        work,
    };
    let mut verdicts = Vec::new();
    for ending in chosen {
        // The other endings are looked at all the same.
        if let Err(error) = boots::run(&places, ending, &mut verdicts) {
            println!("  FAIL {error:#}");
            let text = format!("{ending:?} did not get to its end");
            verdicts.push(Verdict { text, held: false });
        }
    }
    if names == ["all"] {
        boots::refuses_an_open_kernel(&places, &mut verdicts)?;
    }
    let failed: Vec<_> = verdicts.iter().filter(|verdict| !verdict.held).collect();
    println!("\n{} of {} held", verdicts.len() - failed.len(), verdicts.len());
    for verdict in &failed {
        println!("not held: {}", verdict.text);
    }
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
