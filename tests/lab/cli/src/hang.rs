//! Machines that the cloud calls running and that never come.

use std::time::Instant;

use anyhow::Result;

use crate::{host, inspect, lab::Lab, owner, places::Places, rehearse::page, verdicts::Verdicts};

/// A control plane and a worker hang from the moment they are switched on: the same run ends them and makes them anew.
pub async fn run(lab: &Lab, places: &Places) -> Result<bool> {
    let mut verdicts = Verdicts::new();
    let folder = tokio::task::block_in_place(|| owner::make(lab, places, owner::Supplier::Aws))?;
    // Where castle.yaml's plan puts cp2 and w1.
    for address in ["10.42.16.10", "10.42.0.20"] {
        lab.machines.hang_next(address.parse()?);
    }
    let begin = Instant::now();
    let (code, out, err) = host::castle(places, &folder, &["apply", "--accept-host"])?;
    let calls = lab.cloud.calls();
    let ends = |c: &&lab_ec2::Call| c.action == "TerminateInstances" && c.result == "ok";
    let ended = calls.iter().filter(ends).count();
    let now = lab.instances().len();
    verdicts.must(
        code == Some(0) && ended == 2 && now == 5,
        "a control plane and a worker that hang for ever are made anew, and the castle lives",
        format!(
            "{:.0} s, {ended} machines ended, {now} are there; {}",
            begin.elapsed().as_secs_f64(),
            host::last(&out, &err)
        ),
    );
    let told = out
        .lines()
        .chain(err.lines())
        .filter(|line| line.contains("no sign of life"));
    for line in told {
        println!("           {line}");
    }
    if code != Some(0) {
        println!("{out}\n{err}");
    }
    page(lab, &mut verdicts).await;
    inspect::look(lab, &mut verdicts).await?;
    host::after(lab, places, &folder, &mut verdicts).await?;
    Ok(verdicts.end())
}
