//! Waiting for machines that nobody can log in to: while the cluster is awaited, their consoles are listened to. A machine that says why
//! it can't become a node ends the wait at once; a wait that ends at its deadline tells what each machine said last.

use std::{collections::BTreeMap, time::Duration};

use skykeep_cloud::Instance;
use skykeep_cluster::Cry;
use skykeep_core::{Explained, Progress, Trouble};

use crate::estate::Estate;

/// Between two rounds: consoles change slowly and cloud APIs count calls.
const EVERY: Duration = Duration::from_secs(10);
/// Lines of a console that are looked through.
const LINES: usize = 40;

/// Does the work, listening meanwhile.
pub(super) async fn listening<T>(
    estate: &Estate,
    progress: &Progress,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let result = tokio::select! {
        result = work => result,
        cry = first_lasting(estate, progress) => Err(cry.into()),
    };
    let Err(trouble) = result else { return result };
    let mut error = trouble.explained();
    for word in last_words(estate).await {
        error.why.push_str("; ");
        error.why.push_str(&word);
    }
    Err(error.into())
}

async fn consoles(estate: &Estate) -> Vec<(&Instance, Vec<String>)> {
    let (Ok(cloud), Ok(nodes)) = (estate.cloud.get(), estate.nodes.get()) else {
        return Vec::new();
    };
    let all = nodes.iter().map(|node| async move {
        // A console that can't be read says nothing; the wait itself has the better error.
        (node, cloud.console(node, LINES).await.unwrap_or_default())
    });
    futures::future::join_all(all).await
}

/// Ends with the first failure that will not pass by itself.
async fn first_lasting(estate: &Estate, progress: &Progress) -> Explained {
    let mut heard: BTreeMap<&str, Cry> = BTreeMap::new();
    for round in 0_u32.. {
        tokio::time::sleep(EVERY).await;
        for (node, lines) in consoles(estate).await {
            let Some(cry) = Cry::last_in(&lines.join("\n")) else {
                continue;
            };
            let plan = plan_mark(estate, &node.name);
            let new = heard.get(node.name.as_str()) != Some(&cry);
            if new {
                progress.note(format!("{}: {}: {}", node.name, cry.what, cry.why));
            }
            if cry.lasting && counts(&cry, plan.as_deref(), new && round > 0) {
                return cry.explained(&node.name);
            }
            heard.insert(&node.name, cry);
        }
    }
    // The counter of rounds would need centuries to run out.
    std::future::pending().await
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
        .filter_map(|(node, lines)| last_word(&node.name, &lines))
        .collect()
}

fn last_word(node: &str, lines: &[String]) -> Option<String> {
    if let Some(cry) = Cry::last_in(&lines.join("\n")) {
        return Some(format!("{node} said: {}: {}", cry.what, cry.why));
    }
    let ours = lines.iter().rev().find(|line| line.contains("skykeep: "));
    let Some(line) = ours.or(lines.last()) else {
        return Some(format!("{node} has printed nothing at all"));
    };
    let short: String = line.chars().take(120).collect();
    (!line.trim_end().ends_with(" joined")).then(|| format!("{node} said last: {short}"))
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
