//! Waiting for machines that nobody can log in to: while the cluster is awaited, their consoles are listened to. A machine that says why
//! it can't become a node ends the wait at once; one that gives no sign of life is made anew; a wait that ends at its deadline tells
//! what each machine said last.

use std::{collections::BTreeMap, time::Duration};

use skykeep_cloud::{CloudError, Instance};
use skykeep_cluster::{Cry, api};
use skykeep_core::{Explained, Progress, Trouble};

use super::{
    hung::{self, Sign},
    lost, revive,
};
use crate::{estate::Estate, launch};

/// Between two rounds: consoles change slowly and cloud APIs count calls.
const EVERY: Duration = Duration::from_secs(10);
/// Lines of a console that are looked through: all that clouds keep.
const LINES: usize = 2000;
/// By which every line of ours on a machine's console is known.
const OURS: &str = "skykeep: ";

/// Does the work, listening meanwhile.
pub(super) async fn listening<T>(
    estate: &Estate,
    progress: &Progress,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let result = tokio::select! {
        result = work => result,
        trouble = until_trouble(estate, progress) => Err(trouble),
    };
    let Err(trouble) = result else { return result };
    let mut error = trouble.explained();
    for word in last_words(estate).await {
        error.why.push_str("; ");
        error.why.push_str(&word);
    }
    Err(error.into())
}

/// One machine and its console; `None` when that can't be read: the wait itself has the better error.
struct Heard {
    node: Instance,
    runs_for: Duration,
    lines: Option<Vec<String>>,
}

async fn consoles(estate: &Estate) -> Vec<Heard> {
    let (Ok(cloud), Ok(nodes)) = (estate.cloud.get(), estate.running()) else {
        return Vec::new();
    };
    let all = nodes.into_iter().map(|(node, since)| async move {
        let lines = cloud.console(&node, LINES).await.ok();
        let runs_for = since.elapsed();
        Heard { node, runs_for, lines }
    });
    futures::future::join_all(all).await
}

/// Ends with the first failure that will not pass by itself; machines that hang are made anew meanwhile.
async fn until_trouble(estate: &Estate, progress: &Progress) -> Trouble {
    let mut cries = BTreeMap::new();
    let mut replaced = 0;
    for round in 0_u32.. {
        tokio::time::sleep(EVERY).await;
        let heard = consoles(estate).await;
        if let Some(cry) = first_lasting(estate, &heard, &mut cries, round > 0, progress) {
            return cry.into();
        }
        if let Some(died) = lost::died(estate).await {
            replaced += 1;
            if let Err(trouble) = made_anew(estate, died, replaced, progress).await {
                return trouble;
            }
            continue;
        }
        for dead in dead(estate, &heard).await {
            replaced += 1;
            if replaced > launch::TRIES {
                break;
            }
            if let Err(trouble) = hung::replace(estate, dead, &hung::why(), progress).await {
                return trouble;
            }
        }
    }
    // The counter of rounds would need centuries to run out.
    std::future::pending().await
}

/// A machine that the cloud has taken away is made anew, unless it has taken data with it, or this happens again and again.
async fn made_anew(estate: &Estate, died: CloudError, times: u32, progress: &Progress) -> Result<(), Trouble> {
    let CloudError::NodeDied { name, .. } = &died else {
        return Err(died.into());
    };
    if times > launch::TRIES {
        return Err(died.into());
    }
    lost::may_be_made_anew(estate, name).await?;
    revive::after_death(estate, died, progress).await
}

/// Whether this machine's console says that it has joined.
pub(super) async fn has_joined(estate: &Estate, node: &Instance) -> bool {
    let Ok(cloud) = estate.cloud.get() else { return false };
    let lines = cloud.console(node, LINES).await.unwrap_or_default();
    lines.iter().any(|line| is_joined(line))
}

fn is_joined(line: &str) -> bool {
    line.contains(OURS) && line.trim_end().ends_with(" joined")
}

fn first_lasting(
    estate: &Estate,
    heard: &[Heard],
    cries: &mut BTreeMap<String, Cry>,
    later: bool,
    progress: &Progress,
) -> Option<Explained> {
    for Heard { node, lines, .. } in heard {
        let Some(cry) = lines.as_ref().and_then(|lines| Cry::last_in(&lines.join("\n"))) else {
            continue;
        };
        let plan = plan_mark(estate, &node.name);
        let new = cries.get(&node.name) != Some(&cry);
        if new {
            progress.note(format!("{}: {}: {}", node.name, cry.what, cry.why));
        }
        if cry.lasting && counts(&cry, plan.as_deref(), new && later) {
            return Some(cry.explained(&node.name));
        }
        cries.insert(node.name.clone(), cry);
    }
    None
}

/// The machines that hang; the cluster is asked only when one is under suspicion.
async fn dead<'a>(estate: &Estate, heard: &'a [Heard]) -> Vec<&'a Instance> {
    let sign = |one: &'a Heard| Sign {
        name: &one.node.name,
        runs_for: one.runs_for,
        spoke: one
            .lines
            .as_ref()
            .map(|lines| lines.iter().any(|line| line.contains(OURS))),
        ours: launch::is_new(estate, &one.node.name),
    };
    let signs: Vec<Sign<'a>> = heard.iter().map(sign).collect();
    if hung::hung(&signs, Some(&[])).is_empty() {
        return Vec::new();
    }
    let joined = match estate.api.get() {
        Ok(client) => match tokio::time::timeout(EVERY, api::registered(client)).await {
            Ok(Ok(names)) => Some(names),
            // It answered before: this is no moment to end machines.
            _ => return Vec::new(),
        },
        Err(_) => None,
    };
    let names = hung::hung(&signs, joined.as_deref());
    let among = |one: &&'a Heard| names.contains(&one.node.name.as_str());
    heard.iter().filter(among).map(|one| &one.node).collect()
}

fn plan_mark(estate: &Estate, node: &str) -> Option<String> {
    let launches = estate.launches.lock().ok()?;
    launches.get(node).map(|launch| launch.mark.clone())
}

/// Whether a cry is about this run: not one that was there when we began to listen, and not one about a plan that was replaced since.
/// What an earlier run died of may be mended, and the machine tries again every half minute.
fn counts(cry: &Cry, plan: Option<&str>, new: bool) -> bool {
    new && cry.plan.as_deref().is_none_or(|tried| plan == Some(tried))
}

/// What each machine that has not joined said last.
async fn last_words(estate: &Estate) -> Vec<String> {
    let all = tokio::time::timeout(EVERY, consoles(estate)).await.unwrap_or_default();
    all.into_iter()
        .filter_map(|one| last_word(&one.node.name, &one.lines?))
        .collect()
}

fn last_word(node: &str, lines: &[String]) -> Option<String> {
    if let Some(cry) = Cry::last_in(&lines.join("\n")) {
        return Some(format!("{node} said: {}: {}", cry.what, cry.why));
    }
    let ours = lines.iter().rev().find(|line| line.contains(OURS));
    let Some(line) = ours.or(lines.last()) else {
        return Some(format!("{node} has printed nothing at all"));
    };
    let short: String = line.chars().take(120).collect();
    (!is_joined(line)).then(|| format!("{node} said last: {short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_cry_or_one_about_an_older_plan_does_not_end_this_run() {
        let now = "0a0b";
        let cry = |plan: Option<&str>| Cry {
            what: String::new(),
            why: String::new(),
            remedy: String::new(),
            lasting: true,
            tries: 1,
            plan: plan.map(str::to_owned),
        };
        assert!(counts(&cry(Some("0a0b")), Some(now), true));
        assert!(!counts(&cry(Some("0a0b")), Some(now), false));
        assert!(!counts(&cry(Some("ffff")), Some(now), true));
        assert!(counts(&cry(None), Some(now), true));
        assert!(!counts(&cry(None), Some(now), false));
    }

    #[test]
    fn a_machine_that_joined_is_not_quoted_and_a_silent_one_is_named() {
        let lines = |text: &str| vec![text.to_owned()];
        assert_eq!(last_word("cp1", &lines("skykeep:   20.1 s  joined")), None);
        assert_eq!(last_word("w1", &[]), Some("w1 has printed nothing at all".into()));
        assert_eq!(
            last_word("w2", &lines("[ 3.1] skykeep:    1.0 s  the plan is open")),
            Some("w2 said last: [ 3.1] skykeep:    1.0 s  the plan is open".into())
        );
    }
}
