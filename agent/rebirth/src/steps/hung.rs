//! Machines that the cloud calls running but that never come: a dead kernel, a broken host. Nobody can log in to look, and a rerun
//! would adopt them for ever; so they are ended and made anew.

use std::time::Duration;

use skykeep_cloud::Instance;
use skykeep_core::{Deadline, Progress, Trouble};

use crate::{estate::Estate, launch};

/// A machine without a sign of life for this long is taken for dead. Our first word comes before the first download; Debian on EC2
/// gets there within a minute.
const SILENT: Duration = Duration::from_secs(150);
/// An instance that hangs takes its time to end, and its address is free only then.
const END: Duration = Duration::from_secs(240);

/// Why such a machine is replaced.
pub(super) fn why() -> String {
    format!("it runs and has given no sign of life for {} s", SILENT.as_secs())
}

/// What is known of one machine.
pub(super) struct Sign<'a> {
    pub name: &'a str,
    /// Since it was first seen running.
    pub runs_for: Duration,
    /// Whether its console holds a word of ours; `None` when the console could not be read.
    pub spoke: Option<bool>,
    /// Whether this very run launched it.
    pub ours: bool,
}

/// The machines to be made anew. `joined`: who has joined the cluster, once its API answers.
///
/// A machine that was restarted prints no word of ours either. So a machine counts as dead only when the cluster has never seen it, or, while nobody can be asked, when
/// this run has launched it itself. And only when another machine's words came through: consoles may lag.
pub(super) fn hung<'a>(signs: &[Sign<'a>], joined: Option<&[String]>) -> Vec<&'a str> {
    if signs.iter().all(|sign| sign.spoke != Some(true)) {
        return Vec::new();
    }
    let never_came = |sign: &&Sign<'a>| match joined {
        Some(joined) => joined.iter().all(|name| name != sign.name),
        None => sign.ours,
    };
    let silent = |sign: &&Sign<'a>| sign.spoke == Some(false) && sign.runs_for >= SILENT;
    let dead = signs.iter().filter(silent).filter(never_came);
    dead.map(|sign| sign.name).collect()
}

/// Ends the machine and makes it anew: same name, same address, next attempt. Does nothing when somebody else has done so meanwhile.
pub(super) async fn replace(estate: &Estate, old: &Instance, why: &str, progress: &Progress) -> Result<(), Trouble> {
    let name = &old.name;
    // One machine at a time, whoever notices.
    let _alone = estate.replacing.lock().await;
    if estate.running()?.iter().all(|(now, _)| now.id != old.id) {
        return Ok(());
    }
    progress.note(format!("{name} ({}): {why}; it is ended and made anew", old.id));
    if let Ok(mut replaced) = estate.replaced.lock() {
        replaced.insert(name.clone());
    }
    let cloud = estate.cloud.get()?;
    cloud.end_node(old, Deadline::after(END), progress).await?;
    let new = launch::replacement(estate, name, progress).await?;
    let new = cloud.nodes_running(&[new], Deadline::after(END), progress).await?;
    estate.runs(new);
    launch::note_machines(estate).await?;
    // When the entry is not there yet, its own step registers all of them.
    if let Ok(entry) = estate.entry.get() {
        let nodes: Vec<Instance> = estate.running()?.into_iter().map(|(node, _)| node).collect();
        cloud.register(entry, &nodes).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(name: &str, seconds: u64, spoke: Option<bool>, ours: bool) -> Sign<'_> {
        Sign {
            name,
            runs_for: Duration::from_secs(seconds),
            spoke,
            ours,
        }
    }

    #[test]
    fn a_silent_machine_that_never_joined_is_dead() {
        let signs = [sign("cp1", 200, Some(true), true), sign("w1", 200, Some(false), false)];
        assert_eq!(hung(&signs, Some(&["cp1".to_owned()])), ["w1"]);
    }

    #[test]
    fn a_machine_that_has_joined_once_is_never_made_anew() {
        let signs = [sign("cp1", 200, Some(true), true), sign("cp2", 200, Some(false), true)];
        assert!(hung(&signs, Some(&["cp1".to_owned(), "cp2".to_owned()])).is_empty());
    }

    #[test]
    fn while_the_cluster_cannot_be_asked_only_what_this_run_launched_is_made_anew() {
        let signs = [
            sign("cp1", 200, Some(true), true),
            sign("cp2", 200, Some(false), false),
            sign("cp3", 200, Some(false), true),
        ];
        assert_eq!(hung(&signs, None), ["cp3"]);
    }

    #[test]
    fn consoles_that_cannot_be_read_or_all_lag_prove_nothing() {
        let all_silent = [sign("cp1", 900, Some(false), true), sign("w1", 900, Some(false), true)];
        assert!(hung(&all_silent, Some(&[])).is_empty());
        let unreadable = [sign("cp1", 900, Some(true), true), sign("w1", 900, None, true)];
        assert!(hung(&unreadable, Some(&[])).is_empty());
    }

    #[test]
    fn a_young_machine_has_time() {
        let signs = [sign("cp1", 100, Some(true), true), sign("w1", 149, Some(false), true)];
        assert!(hung(&signs, Some(&[])).is_empty());
    }
}
