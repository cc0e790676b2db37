//! Machines that the cloud takes away from a castle that has data already: hardware retired, a switched-off machine, a console's wrong
//! button. Waiting for them would take the whole limit of a restore; making one anew in silence would be worse.

use std::time::Duration;

use skykeep_cloud::{CloudError, Instance, Role};
use skykeep_core::{Deadline, Explained, Progress, Trouble, castle::Castle};

use crate::{estate::Estate, restored};

/// Between two looks at the machines.
const EVERY: Duration = Duration::from_secs(20);
/// How long one look may take; who does not answer says nothing about the machines.
pub(super) const LOOK: Duration = Duration::from_secs(15);
/// Provisioners whose volumes are folders or disks of one machine.
const LOCAL: [&str; 3] = [
    "rancher.io/local-path",
    "kubernetes.io/no-provisioner",
    "openebs.io/local",
];

/// Does the work; ends at once when a worker of the castle has died, which the work itself would learn at its deadline.
pub(super) async fn watching<T>(estate: &Estate, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    tokio::select! {
        done = work => done,
        died = until_death(estate) => Err(died.into()),
    }
}

async fn until_death(estate: &Estate) -> CloudError {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Some(died) = died(estate).await {
            return died;
        }
    }
}

/// A worker that has ended at the cloud. Control planes are [`super::revive`]'s.
pub(super) async fn died(estate: &Estate) -> Option<CloudError> {
    let nodes = estate.running().ok()?.into_iter().map(|(node, _)| node);
    let workers: Vec<_> = nodes.filter(|node| !node.is_control_plane()).collect();
    ended(estate, &workers).await
}

/// One of these machines that has ended at the cloud, as [`CloudError::NodeDied`]. A cloud that does not answer says nothing about them.
pub(super) async fn ended(estate: &Estate, nodes: &[Instance]) -> Option<CloudError> {
    let silent = Progress::silent();
    let looked = estate
        .cloud
        .get()
        .ok()?
        .nodes_running(nodes, Deadline::after(LOOK), &silent);
    looked
        .await
        .err()
        .filter(|error| matches!(error, CloudError::NodeDied { .. }))
}

/// Whether a volume of this castle may lie on one machine alone.
fn is_local(castle: &Castle) -> bool {
    let classes = &castle.before_flux.storage_classes;
    classes.iter().any(|class| LOCAL.contains(&class.provisioner.as_str()))
}

/// Refuses to make a worker anew whose disk may have held what was restored: its applications would start on empty volumes.
pub(super) async fn may_be_made_anew(estate: &Estate, name: &str) -> Result<(), Trouble> {
    if !may_hold_data(&estate.castle, name) {
        return Ok(());
    }
    match back(estate).await?.as_slice() {
        [] => Ok(()),
        back => Err(refused(name, back).into()),
    }
}

/// Whether what came back may lie on this machine's own disk.
fn may_hold_data(castle: &Castle, name: &str) -> bool {
    let nodes = skykeep_cloud::plan_nodes(&castle.cloud);
    is_local(castle) && nodes.iter().any(|n| n.name == name && n.role == Role::Worker)
}

/// The same before a first launch: a run that goes on may find the machine gone altogether.
pub(super) async fn may_be_launched(estate: &Estate, name: &str) -> Result<(), Trouble> {
    // In a generation's first run nothing can have come back: no time is spent on asking.
    if !may_hold_data(&estate.castle, name) || estate.journal.get()?.entries().await.runs.len() < 2 {
        return Ok(());
    }
    let back = back(estate).await?;
    if back.is_empty() {
        return Ok(());
    }
    let things = estate.cloud.get()?.inventory().await?;
    let suffix = format!("-{name}");
    match things.iter().any(|t| t.is_machine() && t.name.ends_with(&suffix)) {
        true => Ok(()),
        false => Err(refused(name, &back).into()),
    }
}

/// The treasures that have come back in this generation.
async fn back(estate: &Estate) -> Result<Vec<String>, Trouble> {
    let mut back = Vec::new();
    for treasure in &estate.castle.treasures {
        if restored::read(estate, &treasure.name).await?.is_some() {
            back.push(treasure.name.clone());
        }
    }
    Ok(back)
}

fn refused(name: &str, back: &[String]) -> Explained {
    Explained {
        what: format!("The machine of node {name} is gone, and it is not made anew"),
        why: format!(
            "the castle's volumes lie on its machines' own disks, and {} had come back: what lay on {name} is lost, and an \
             application would start on an empty volume in its place",
            back.join(", ")
        ),
        remedy: "If it is only switched off, start it in the cloud's console and start again. Else take this generation down with `skykeep destroy` and start again: the next one restores everything from the backups.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_worker_with_data_is_told_in_three_parts() {
        insta::assert_snapshot!(refused("w1", &["site".into(), "db".into()]).to_string());
    }

    #[test]
    fn only_volumes_on_machines_are_lost_with_them() {
        let text = include_str!("../../../../tests/castle/castle.yaml");
        assert!(is_local(&Castle::parse(text).unwrap()));
        let elsewhere = text.replace("rancher.io/local-path", "ebs.csi.aws.com");
        assert!(!is_local(&Castle::parse(&elsewhere).unwrap()));
    }
}
