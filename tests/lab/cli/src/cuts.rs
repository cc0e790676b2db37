//! Power cuts with real nodes: one rebirth is killed again and again, at moments that a seed chooses; each time another run goes on,
//! every third one on another laptop. What stands in the end must be what one undisturbed run makes.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    audit, host, inspect,
    lab::Lab,
    owner::{self, PASSPHRASE},
    places::Places,
    rehearse::page,
    verdicts::Verdicts,
};

/// Beginnings and ends of steps in one whole run, of which the last few are left alone: a run that is through can't be cut.
const EVENTS: u64 = 96;
/// How much later than its event a cut may fall; long enough to fall into the middle of a wait.
const LATER_MS: u64 = 8000;
/// How long one run may take to reach its moment.
const PATIENCE: Duration = Duration::from_secs(900);
/// Lowering the TTL, and moving the names.
const DNS_CHANGES: usize = 2;

/// The same numbers for the same seed, on any machine.
fn chosen(seed: u64, cut: u64, what: &str, below: u64) -> u64 {
    let hash = Sha256::digest(format!("{seed} {cut} {what}"));
    let number = hash
        .iter()
        .take(7)
        .fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
    number % below
}

/// Where a run is started: the laptop's place in the network, and its folder with the owner's part.
struct Laptop {
    place: &'static str,
    folder: PathBuf,
}

/// A run of `apply`, whose beginnings and ends of steps can be listened to.
pub struct Run {
    child: Child,
    events: Receiver<(String, String)>,
}

impl Run {
    /// Starts it.
    pub fn begin(places: &Places, place: &str, folder: &Path, log: &Path) -> Result<Self> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", place])
            .arg(&places.skykeep)
            .args(["apply", "--accept-host", "-o", "json", "--castle"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log)?)
            .spawn()?;
        let mut input = child.stdin.take().context("standard input")?;
        input.write_all(format!("{PASSPHRASE}\n").as_bytes())?;
        let lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
        let (told, events) = std::sync::mpsc::channel();
        // Reads on whatever becomes of the listener: a full pipe would hold the run.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                if matches!(event["event"].as_str(), Some("started" | "finished")) {
                    let _ = told.send((word("step"), word("event")));
                }
            }
        });
        Ok(Run { child, events })
    }

    /// Waits for the first event that is wanted; `None` when the run ended before, or patience did.
    pub fn until(&mut self, mut wanted: impl FnMut(&str, &str) -> bool) -> Option<String> {
        let begin = Instant::now();
        loop {
            let (step, kind) = self
                .events
                .recv_timeout(PATIENCE.saturating_sub(begin.elapsed()))
                .ok()?;
            if wanted(&step, &kind) {
                return Some(format!("{step} {kind}"));
            }
        }
    }

    /// Waits for its end; the exit code.
    pub fn end(mut self) -> Result<Option<i32>> {
        Ok(self.child.wait()?.code())
    }

    /// Kills it as a power cut would; whether it was still at work.
    pub fn cut(mut self) -> Result<bool> {
        self.child.kill()?;
        Ok(self.child.wait()?.code().is_none())
    }
}

/// One run, killed at its moment. What it was doing, or `None` when it came to its end before.
fn cut(places: &Places, laptop: &Laptop, seed: u64, number: u64) -> Result<Option<String>> {
    let event = 1 + chosen(seed, number, "event", EVENTS - 4);
    let later = chosen(seed, number, "later", LATER_MS);
    let log = places.work.join(format!("cut-{number}.log"));
    let mut run = Run::begin(places, laptop.place, &laptop.folder, &log)?;
    let mut seen = 0;
    let reached = run.until(|_, _| {
        seen += 1;
        seen == event
    });
    std::thread::sleep(Duration::from_millis(later));
    let fell = run.cut()?;
    let moment = reached.map(|step| format!("{later} ms after event {event}, `{step}`"));
    Ok(moment.filter(|_| fell))
}

/// The owner's stick, in another laptop's hands.
fn second(folder: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// All of it.
pub async fn run(lab: &Lab, places: &Places, number: u64, seed: u64) -> Result<bool> {
    let mut verdicts = Verdicts::new();
    let folder = tokio::task::block_in_place(|| owner::make(lab, places, owner::Supplier::Aws))?;
    let other = places.work.join("owner-elsewhere");
    second(&folder, &other)?;
    println!("{number} cuts, seed {seed}\n\n| cut | elsewhere | machines then |\n|---|---|---|");
    let mut fallen = 0;
    for one in 0..number {
        let elsewhere = one % 3 == 2;
        let laptop = Laptop {
            place: if elsewhere { "sk-visitor" } else { "sk-host" },
            folder: if elsewhere { other.clone() } else { folder.clone() },
        };
        let seen = tokio::task::block_in_place(|| cut(places, &laptop, seed, one))?;
        fallen += u64::from(seen.is_some());
        println!(
            "| {} | {} | {} |",
            seen.as_deref().unwrap_or("the run had ended"),
            if elsewhere { "yes" } else { "" },
            lab.instances().len()
        );
    }
    ensure!(fallen > 0, "no run was cut");
    let begin = Instant::now();
    let (code, out, err) = host::castle(places, &folder, &["apply", "--accept-host"])?;
    verdicts.must(
        code == Some(0),
        "after all cuts one more run goes on to a living castle",
        format!(
            "{fallen} cuts; {:.0} s, {}",
            begin.elapsed().as_secs_f64(),
            host::last(&out, &err)
        ),
    );
    if code != Some(0) {
        println!("{out}\n{err}");
    }
    page(lab, &mut verdicts).await;
    let things = lab.inventory();
    let count = |kind: &str| things.iter().filter(|t| t.starts_with(kind)).count();
    let (machines, balancers, networks) = (lab.instances().len(), count("load-balancer"), count("vpc"));
    verdicts.must(
        (machines, balancers, networks) == (5, 1, 1),
        "five machines, one load balancer, one network",
        format!("{machines}, {balancers}, {networks} of {} things", things.len()),
    );
    let changes = lab.world.cloudflare().changes();
    verdicts.must(
        changes == DNS_CHANGES,
        "the TTL was lowered once and the names moved once",
        format!("{changes} changes at Cloudflare"),
    );
    tokio::task::block_in_place(|| audit::once_each(lab, &mut verdicts))?;
    inspect::look(lab, &mut verdicts).await?;
    host::after(lab, places, &folder, &mut verdicts).await?;
    Ok(verdicts.end())
}
