//! The same product as a command on a Linux machine, against the same laboratory.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    lab::Lab,
    owner::{self, PASSPHRASE, Supplier, skykeep_any},
    places::Places,
    rehearse::{SITE, page},
    verdicts::Verdicts,
};

/// Where the name pointed before the rebirth.
const OLD_CASTLE: &str = "192.0.2.10";

/// What changes something at a cloud; everything else only looks.
fn writes(lab: &Lab) -> usize {
    let looks = ["Describe", "Get", "List"];
    let aws = lab.cloud.calls();
    let aws = aws
        .iter()
        .filter(|c| c.result == "ok" && !looks.iter().any(|l| c.action.starts_with(l)));
    let hetzner = lab.hetzner.faults().calls();
    let hetzner = hetzner
        .iter()
        .filter(|c| c.result == "ok" && !c.action.starts_with("GET"));
    aws.count() + hetzner.count()
}

/// Runs a castle command with the passphrase.
pub fn castle(places: &Places, folder: &Path, args: &[&str]) -> Result<(Option<i32>, String, String)> {
    let folder = folder.to_str().context("path")?;
    let args: Vec<&str> = args.iter().copied().chain(["--castle", folder]).collect();
    tokio::task::block_in_place(|| skykeep_any(places, &args, &format!("{PASSPHRASE}\n")))
}

/// With a living castle: a second apply changes nothing, status and plan say so, destroy leaves the cloud empty.
pub async fn after(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let before = writes(lab);
    let (code, out, err) = castle(places, folder, &["apply", "--accept-host"])?;
    let changed = writes(lab) - before;
    verdicts.must(
        code == Some(0) && out.contains("Nothing to do") && changed == 0,
        "a second apply, from another machine, changes nothing and says so",
        format!("{changed} writes at the cloud; {}", last(&out, &err)),
    );
    verdicts.must(
        err.contains("less than the image"),
        "as a command it lists first what this host does not protect",
        "on standard error",
    );
    let (code, out, err) = castle(places, folder, &["plan"])?;
    verdicts.must(code == Some(0), "plan finds nothing to do", last(&out, &err));
    let (code, out, err) = castle(places, folder, &["status"])?;
    verdicts.must(
        code == Some(0) && out.contains("Alive"),
        "status shows the living castle",
        last(&out, &err),
    );
    let pulse = out
        .lines()
        .find(|line| line.contains("pulse: given"))
        .unwrap_or_default()
        .trim()
        .to_owned();
    verdicts.must(
        pulse.contains("Kubernetes v"),
        "the castle gives a pulse, with the few rights of its own key, and says what it is made of",
        pulse,
    );
    let (code, out, err) = castle(places, folder, &["report"])?;
    verdicts.must(
        code == Some(0) && out.contains("restore.site") && out.contains("whole run"),
        "the report of the run is read back from the bucket, where it lies sealed",
        last(&out, &err),
    );
    crate::shapes::guard(lab, places, folder, verdicts).await?;
    crate::shapes::drill_and_audit(lab, places, folder, verdicts).await?;
    crate::giveback::look(lab, places, folder, verdicts).await?;
    undo(lab, places, folder, verdicts).await?;
    destroy(lab, places, folder, verdicts)
}

/// The names go back to the (dead) old castle, and only when that is wanted.
async fn undo(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let keys = lab.world.credentials().clone();
    let accepted = async || {
        let token = lab.world.cloudflare().accepts(&keys.old_cloudflare_token).await;
        (token, lab.cloud.accepts(&keys.old_access_key_id))
    };
    verdicts.must(
        accepted().await == (false, false),
        "the old castle's own keys are switched off: its token at Cloudflare, its access key at AWS",
        "should it wake up where nobody reaches it, it writes no name and no backup",
    );
    let (code, out, err) = castle(places, folder, &["dns", "undo"])?;
    verdicts.must(
        code == Some(1) && out.contains("blog.rossi.example A") && lab.world.visitor_get(SITE).await.is_ok(),
        "dns undo shows what it would write, and writes nothing where nobody can be asked",
        last(&out, &err),
    );
    let (code, out, err) = castle(places, folder, &["dns", "undo", "--yes"])?;
    // At Cloudflare itself: the visitor's resolver may keep what it was just told for the record's TTL.
    let records = lab.world.cloudflare().records().await;
    let back = records
        .iter()
        .map(|record| record.to_json())
        .any(|record| record["name"] == "blog.rossi.example" && record["content"] == OLD_CASTLE);
    let (again, said, _) = castle(places, folder, &["dns", "undo", "--yes"])?;
    verdicts.must(
        code == Some(0) && back && again == Some(0) && said.contains("already stands as before"),
        "dns undo puts the names back where they pointed before the cutover; a second one has nothing to do",
        last(&out, &err),
    );
    verdicts.must(
        accepted().await == (true, true),
        "and gives the old castle its keys back",
        "both are switched on again",
    );
    Ok(())
}

fn destroy(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let (code, out, err) = castle(places, folder, &["destroy", "--yes-destroy", "rossi"])?;
    let left = lab.inventory();
    verdicts.must(
        code == Some(0) && left.is_empty(),
        "destroy removes everything of the generation: the cloud is empty",
        format!("{} left; {}", left.len(), last(&out, &err)),
    );
    for thing in left {
        println!("           left: {thing}");
    }
    Ok(())
}

/// The last line of output, or of errors when there is none.
pub fn last(out: &str, err: &str) -> String {
    let text = if out.trim().is_empty() { err } else { out };
    text.trim().lines().last().unwrap_or_default().to_owned()
}

/// A castle from the host, killed in the middle of node creation, started again, and taken down.
pub async fn run(lab: &Lab, places: &Places, supplier: Supplier) -> Result<bool> {
    let mut verdicts = Verdicts::new();
    let folder = tokio::task::block_in_place(|| owner::make(lab, places, supplier))?;
    // Two launches are answered; the other three are carried out, but their answers are still on the way when the run is killed.
    let late = Duration::from_secs(30);
    lab.cloud
        .faults()
        .after("RunInstances", 2, 3, lab_ec2::Fault::Slow(late));
    lab.hetzner
        .faults()
        .after("POST servers", 2, 3, lab_hetzner::Fault::Slow(late));
    verdicts.stage("apply on the host, to be killed in the middle of node creation");
    let log = std::fs::File::create(places.work.join("killed.log"))?;
    let mut first = Command::new("ip")
        .args(["netns", "exec", "sk-host"])
        .arg(&places.skykeep)
        .args(["apply", "--accept-host", "--castle"])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    first
        .stdin
        .take()
        .context("standard input")?
        .write_all(format!("{PASSPHRASE}\n").as_bytes())?;
    let begin = Instant::now();
    while lab.instances().len() < 2 {
        anyhow::ensure!(
            begin.elapsed() < Duration::from_secs(120),
            "no machine was ever launched"
        );
        anyhow::ensure!(first.try_wait()?.is_none(), "the first run ended before it was killed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.kill()?;
    first.wait()?;
    lab.cloud.faults().clear();
    lab.hetzner.faults().clear();
    verdicts.must(
        true,
        "killed in the middle",
        format!("{} machines were there", lab.instances().len()),
    );
    let (code, out, err) = castle(places, &folder, &["apply", "--accept-host"])?;
    println!("{out}");
    verdicts.must(
        code == Some(0),
        "started again it goes on to a living castle",
        last(&out, &err),
    );
    if code != Some(0) {
        println!("{err}");
    }
    let machines = lab.instances().len();
    verdicts.must(machines == 5, "five machines, not more", machines);
    page(lab, &mut verdicts).await;
    crate::inspect::look(lab, &mut verdicts).await?;
    after(lab, places, &folder, &mut verdicts).await?;
    Ok(verdicts.end())
}
