//! Control planes that the cloud takes away: before etcd's first quorum, in the middle of a rebirth, and from a castle that lives. Each is
//! made anew and joins etcd; no run has to be begun again.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    audit,
    host::{self, castle, last},
    inspect,
    lab::{Lab, Machine},
    owner,
    places::Places,
    rehearse::page,
    verdicts::Verdicts,
};

/// By when etcd must be whole again once a run has ended; it should be so at once.
const WHOLE: Duration = Duration::from_secs(30);
/// etcd's own client, in the container of a control plane's etcd.
const MEMBERS: &str = "PATH=/usr/local/bin:$PATH; pki=/etc/kubernetes/pki/etcd; \
    for id in $(ctr -n k8s.io containers ls -q 'labels.\"io.kubernetes.container.name\"==etcd'); do \
    ctr -n k8s.io tasks exec --exec-id look-$$ $id etcdctl --cacert $pki/ca.crt --cert $pki/server.crt --key $pki/server.key \
    member list 2>/dev/null && exit 0; done; exit 1";

fn machine(lab: &Lab, name: &str) -> Result<Machine> {
    let found = lab.instances().into_iter().find(|m| m.name == name);
    found.with_context(|| format!("there is no {name}"))
}

/// Takes a machine's power away: nothing on it is told. Before, its audit log goes to another one, because the judge reads all of them.
fn kill(lab: &Lab, name: &str, heir: &str) -> Result<()> {
    let (lost, heir) = (machine(lab, name)?, machine(lab, heir)?);
    audit::bequeath(lab, &lost.id, &heir.id, name)?;
    let _ = lab
        .machines
        .run_in(&lost.id, &["systemctl", "poweroff", "--force", "--force"]);
    Ok(())
}

/// Each member's id by its name; only of members that have started and have a vote.
fn members(lab: &Lab, asked: &str) -> Result<BTreeMap<String, String>> {
    let said = lab.machines.run_in(&machine(lab, asked)?.id, &["sh", "-c", MEMBERS])?;
    let mut all = BTreeMap::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split(", ").collect();
        if let [id, "started", name, .., "false"] = words.as_slice() {
            all.insert((*name).to_owned(), (*id).to_owned());
        }
    }
    ensure!(!all.is_empty(), "etcdctl says: {said}");
    Ok(all)
}

fn whole(lab: &Lab, asked: &str) -> Result<BTreeMap<String, String>> {
    let begin = Instant::now();
    loop {
        let now = members(lab, asked).unwrap_or_default();
        if now.len() == 3 || begin.elapsed() > WHOLE {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// All of it.
pub async fn run(lab: &Lab, places: &Places) -> Result<bool> {
    let mut verdicts = Verdicts::new();
    let folder = tokio::task::block_in_place(|| owner::make(lab, places, owner::Supplier::Aws))?;
    tokio::task::block_in_place(|| under_way(lab, places, &folder, &mut verdicts))?;
    page(lab, &mut verdicts).await;
    living(lab, places, &folder, &mut verdicts)?;
    page(lab, &mut verdicts).await;
    crate::shapes::look(lab, &mut verdicts).await?;
    inspect::look(lab, &mut verdicts).await?;
    host::after(lab, places, &folder, &mut verdicts).await?;
    Ok(verdicts.end())
}

/// One run loses cp3 before etcd has a quorum, and cp2 once all of them had joined.
fn under_way(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let log = places.work.join("lost-plane.log");
    let mut run = crate::cuts::Run::begin(places, "sk-host", folder, &log)?;
    run.until(|step, kind| step == "node.running" && kind == "finished")
        .context("the machines never ran")?;
    let first = machine(lab, "cp3")?.id;
    kill(lab, "cp3", "cp1")?;
    run.until(|step, kind| step == "cluster.quorum" && kind == "finished")
        .context("the control plane never was whole")?;
    let before = members(lab, "cp1")?;
    verdicts.must(
        before.len() == 3 && machine(lab, "cp3")?.id != first,
        "a control plane that dies before etcd's first quorum is made anew in the same run",
        format!("{before:?}"),
    );
    kill(lab, "cp2", "cp1")?;
    let begin = Instant::now();
    let code = run.end()?;
    let said = std::fs::read_to_string(&log)?;
    let after = whole(lab, "cp1")?;
    let same = |name: &str| after.get(name) == before.get(name);
    verdicts.must(
        code == Some(0) && after.len() == 3 && same("cp1") && same("cp3") && !same("cp2"),
        "one that dies later is made anew while the run goes on: etcd has three started members, the new one under a new id",
        format!("{:.0} s later; {after:?}; {}", begin.elapsed().as_secs_f64(), last("", &said)),
    );
    Ok(())
}

/// The castle lives and loses the control plane that did what is done once.
fn living(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let before = tokio::task::block_in_place(|| {
        let before = members(lab, "cp2")?;
        kill(lab, "cp1", "cp2")?;
        anyhow::Ok(before)
    })?;
    let (code, out, err) = castle(places, folder, &["apply", "--accept-host"])?;
    let after = tokio::task::block_in_place(|| whole(lab, "cp2"))?;
    let new = after.get("cp1").is_some_and(|id| before.get("cp1") != Some(id));
    verdicts.must(
        code == Some(0) && after.len() == 3 && new,
        "a living castle that lost its first control plane: the next apply makes it anew, a member like the others",
        format!("{after:?}; {}", last(&out, &err)),
    );
    Ok(())
}
