//! A worker that the cloud takes away in the middle of a restore: the run ends soon and says so, nothing starts on an empty volume,
//! and the castle comes to life.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{
    host::{self, castle, last},
    lab::Lab,
    owner,
    places::Places,
    rehearse::page,
    trials::in_three_parts,
    verdicts::Verdicts,
};

/// By when a run must have noticed: looks come every 20 s.
const NOTICED: Duration = Duration::from_secs(120);

/// All of it.
pub async fn run(lab: &Lab, places: &Places) -> Result<bool> {
    let mut verdicts = Verdicts::new();
    let folder = tokio::task::block_in_place(|| owner::make(lab, places, owner::Supplier::Aws))?;
    let log = places.work.join("lost.log");
    let mut run = crate::cuts::Run::begin(places, "sk-host", &folder, &log)?;
    let restoring = tokio::task::block_in_place(|| run.until(|step, kind| step == "restore.db" && kind == "started"));
    verdicts.must(
        restoring.is_some(),
        "a database's restore has begun",
        restoring.unwrap_or_default(),
    );
    let lost = lab
        .instances()
        .into_iter()
        .find(|m| m.name == "w1")
        .context("there is no w1")?;
    // A machine that loses its power: nothing on it is told.
    let _ = lab
        .machines
        .run_in(&lost.id, &["systemctl", "poweroff", "--force", "--force"]);
    let begin = Instant::now();
    let code = tokio::task::block_in_place(|| run.end())?;
    let said = std::fs::read_to_string(&log)?;
    verdicts.must(
        code == Some(1) && in_three_parts(&said) && said.contains("w1") && begin.elapsed() < NOTICED,
        "the run ends with an error that names the machine, long before a restore's own deadline",
        format!("{:.0} s; {}", begin.elapsed().as_secs_f64(), last("", &said)),
    );
    let (code, out, err) = castle(places, &folder, &["apply", "--accept-host"])?;
    if code == Some(0) {
        verdicts.must(
            true,
            "nothing had come back yet: the next run makes the machine anew",
            last(&out, &err),
        );
    } else {
        verdicts.must(
            in_three_parts(&err) && err.contains("empty volume"),
            "treasures had come back: the next run does not put an empty disk in the place of theirs, and says what to do",
            last("", &err),
        );
        let (code, out, err) = castle(places, &folder, &["destroy", "--yes-destroy", "rossi"])?;
        verdicts.must(
            code == Some(0) && lab.inventory().is_empty(),
            "destroy takes the generation down",
            last(&out, &err),
        );
        let (code, out, err) = castle(places, &folder, &["apply", "--accept-host"])?;
        verdicts.must(code == Some(0), "and the next generation lives", last(&out, &err));
    }
    page(lab, &mut verdicts).await;
    crate::shapes::look(lab, &mut verdicts).await?;
    host::after(lab, places, &folder, &mut verdicts).await?;
    Ok(verdicts.end())
}
