//! Control planes that die under way are made anew while the run goes on: the others hold the cluster meanwhile. A machine that is given
//! its address is never started before the cloud says that the old one has ended, so nobody can come back with an old copy of etcd.

use std::time::Duration;

use skykeep_cloud::{CloudError, Instance};
use skykeep_cluster::api;
use skykeep_core::{Explain, Explained, Progress, Trouble};

use super::{
    hung, listen,
    lost::{self, LOOK},
};
use crate::{estate::Estate, launch};

/// Between two looks at the machines.
const EVERY: Duration = Duration::from_secs(20);
/// A control plane that has joined, whose kubelet is silent for this long while the cluster answers, is taken for dead though the cloud
/// calls it running. A reboot takes less.
const SILENT: Duration = Duration::from_secs(240);
/// Another one that is silent for this long may be on its way out: then nobody is ended.
const QUIET: Duration = Duration::from_secs(60);

/// Looks after the control planes until it has to give up; the error is kept for the step that waits for all nodes at the end.
pub(crate) async fn watch(estate: &Estate, progress: &Progress) {
    let mut made = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        let Some((old, why)) = dead(estate).await else {
            continue;
        };
        let done = if made < launch::TRIES {
            made += 1;
            hung::replace(estate, &old, &why, progress).await
        } else {
            Err(too_often(&old, &why).into())
        };
        if let Err(trouble) = done {
            let error = trouble.explained();
            progress.note(format!("{}: {}", error.what, error.why));
            estate.given_up.send_replace(Some(error));
            return;
        }
    }
}

fn too_often(old: &Instance, why: &str) -> Explained {
    Explained {
        what: format!("Control plane {} is not made anew once more", old.name),
        why: format!(
            "{why}, and {} machines were made anew in this run already",
            launch::TRIES
        ),
        remedy: "Look into the cloud's console what ends them; then start again.".into(),
    }
}

/// A control plane that is dead now, and why it is taken for that.
async fn dead(estate: &Estate) -> Option<(Instance, String)> {
    let mut planes = estate.running().ok()?;
    planes.retain(|(node, _)| node.is_control_plane());
    let nodes: Vec<Instance> = planes.iter().map(|(node, _)| node.clone()).collect();
    if let Some(CloudError::NodeDied { name, reason, .. }) = lost::ended(estate, &nodes).await {
        let node = nodes.into_iter().find(|node| node.name == name)?;
        return Some((node, reason));
    }
    let silence = tokio::time::timeout(LOOK, api::silence(estate.api.get().ok()?)).await;
    let silence = silence.ok()?.ok()?;
    let sign = |(node, since): &(Instance, std::time::Instant)| {
        let quiet = silence.iter().find(|(name, _)| *name == node.name);
        quiet.map(|(_, quiet)| (node.name.clone(), *quiet.min(&since.elapsed())))
    };
    let signs: Vec<_> = planes.iter().filter_map(sign).collect();
    let name = suspect(&signs, planes.len())?;
    let node = nodes.iter().find(|node| node.name == name)?;
    // One that is just being made anew is silent too, and has not joined yet.
    let joined = listen::has_joined(estate, node).await;
    let why = format!("it runs, but its kubelet has been silent for {} s", SILENT.as_secs());
    joined.then(|| (node.clone(), why))
}

/// The one control plane that is silent for too long, while all others are heard: a majority lives, and nobody else is in trouble.
fn suspect(quiet: &[(String, Duration)], planned: usize) -> Option<&str> {
    let (dead, others): (Vec<_>, Vec<_>) = quiet.iter().partition(|(_, quiet)| *quiet >= SILENT);
    let [(name, _)] = dead.as_slice() else { return None };
    let well = others.iter().filter(|(_, quiet)| *quiet < QUIET).count();
    (planned > 2 && well + 1 == planned).then_some(name.as_str())
}

/// Waits until the watch gives up.
pub(super) async fn given_up(estate: &Estate) -> Trouble {
    let mut said = estate.given_up.subscribe();
    match said.wait_for(Option::is_some).await.map(|said| said.clone()) {
        Ok(Some(error)) => error.into(),
        // The sender lives as long as the estate.
        _ => std::future::pending().await,
    }
}

/// Ends a node that died at the cloud's hands, as far as it has not ended, and makes it anew.
pub(super) async fn after_death(estate: &Estate, died: CloudError, progress: &Progress) -> Result<(), Trouble> {
    let CloudError::NodeDied { name, .. } = &died else {
        return Err(died.into());
    };
    let old = estate.running()?.into_iter().find(|(node, _)| node.name == *name);
    match old {
        Some((old, _)) => hung::replace(estate, &old, &died.why(), progress).await,
        None => Err(died.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(quiet: &[u64]) -> Vec<(String, Duration)> {
        let one = |(i, s): (usize, &u64)| (format!("cp{}", i + 1), Duration::from_secs(*s));
        quiet.iter().enumerate().map(one).collect()
    }

    #[test]
    fn only_one_silent_control_plane_among_others_that_are_well_is_ended() {
        let table: [(&str, &[u64], Option<&str>); 8] = [
            ("all are well", &[3, 9, 0], None),
            ("a reboot", &[3, 100, 0], None),
            ("silent beyond the deadline", &[3, 241, 0], Some("cp2")),
            (
                "two are silent: who knows what has happened to the network",
                &[3, 300, 280],
                None,
            ),
            ("another one falls silent", &[61, 300, 0], None),
            ("one of two: the other has no majority", &[0, 300], None),
            ("the only one", &[300], None),
            ("one of five", &[0, 1, 2, 300, 4], Some("cp4")),
        ];
        for (what, quiet, wanted) in table {
            assert_eq!(suspect(&signs(quiet), quiet.len()), wanted, "{what}");
        }
        assert_eq!(suspect(&signs(&[3, 300]), 3), None, "one of three was never heard");
    }
}
