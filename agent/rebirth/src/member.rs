//! How etcd on a control plane's next machine begins: together with the others, or in the place of the member that died. etcd keeps what a
//! member has promised on that member's disk; an empty one under the same id could break those promises, so it has to join as a new one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skykeep_cloud::Role;
use skykeep_core::{Explained, Trouble};

use crate::{estate::Estate, journal::Entries, status::is_node};

/// How long a cloud may take to show a machine that was launched.
const SHOWN: Duration = Duration::from_secs(10);

/// What is known when a control plane needs a machine.
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Control planes of the castle.
    planned: usize,
    /// Whether this cluster's API has ever answered: then etcd holds what must not be lost.
    formed: bool,
    /// Whether a machine of this control plane may have run before.
    had_one: bool,
    /// The other control planes that have a machine which runs.
    others_there: usize,
    /// The other control planes that still have their first machine, or will get it.
    others_first: usize,
}

/// How etcd begins on a machine.
#[derive(Debug, PartialEq, Eq)]
enum Begin {
    /// With the static list of all control planes.
    Together,
    /// As a member that is added to those that run.
    Joins,
    /// Not at all: what etcd held is lost.
    Lost,
}

fn begin(facts: Facts) -> Begin {
    let majority = facts.planned / 2 + 1;
    match (facts.formed, facts.had_one) {
        (true, _) if facts.others_there >= majority => Begin::Joins,
        (true, _) => Begin::Lost,
        (false, false) => Begin::Together,
        // The others start by themselves; then this one joins. Without their majority nobody would, and nothing is lost yet.
        (false, true) if facts.others_first >= majority => Begin::Joins,
        (false, true) => Begin::Together,
    }
}

/// The control planes among `names` whose next machine's etcd joins; an error when one can't. `there`: nodes that have a machine which
/// runs. Each of `gone` had one that ended, as far as anybody knows.
fn joining(
    entries: &Entries,
    planes: &BTreeSet<String>,
    there: &BTreeSet<String>,
    gone: &BTreeSet<String>,
) -> Result<BTreeMap<String, bool>, Explained> {
    let mut lost: BTreeSet<&String> = entries.anew.keys().collect();
    lost.extend(gone);
    let mut all = BTreeMap::new();
    for name in gone {
        let others = || planes.iter().filter(|other| *other != name);
        let facts = Facts {
            planned: planes.len(),
            formed: entries.formed,
            had_one: true,
            others_there: others().filter(|other| there.contains(*other)).count(),
            others_first: others().filter(|other| !lost.contains(other)).count(),
        };
        match begin(facts) {
            Begin::Lost => return Err(no_majority(name, facts)),
            other => all.insert(name.clone(), other == Begin::Joins),
        };
    }
    Ok(all)
}

fn no_majority(name: &str, facts: Facts) -> Explained {
    Explained {
        what: format!("Control plane {name} is gone, and it can't be made anew"),
        why: format!(
            "etcd, which holds the cluster's state, needs {} of its {} members to take a new one, and only {} other machines are there",
            facts.planned / 2 + 1,
            facts.planned,
            facts.others_there
        ),
        remedy: "If a missing machine is only switched off, start it in the cloud's console and start again. Else take this generation down with `skykeep destroy` and start again: the next one restores everything from the backups.".into(),
    }
}

fn planes(estate: &Estate) -> BTreeSet<String> {
    let planes = estate.nodes().into_iter().filter(|n| n.role == Role::ControlPlane);
    planes.map(|n| n.name).collect()
}

/// The nodes that have a machine which runs. One that is only switched off still has its copy of etcd, but it does not answer.
async fn up(estate: &Estate) -> Result<BTreeSet<String>, Trouble> {
    let things = estate.cloud.get()?.inventory().await?;
    let names = estate.planned().into_iter().map(|n| n.name);
    let is_up = |name: &String| things.iter().any(|t| t.is_up() && is_node(&t.name, name));
    Ok(names.filter(is_up).collect())
}

/// For the node whose machine has just ended: whether the next one joins. `None`: it is no control plane, there is nothing to say.
pub(crate) async fn next(estate: &Estate, name: &str) -> Result<BTreeMap<String, bool>, Trouble> {
    let planes = planes(estate);
    if !planes.contains(name) {
        return Ok(BTreeMap::new());
    }
    let entries = estate.journal.get()?.entries().await;
    // Before the first quorum nothing depends on who is there, and machines are just being made.
    let there = if entries.formed {
        up(estate).await?
    } else {
        BTreeSet::new()
    };
    let gone = BTreeSet::from([name.to_owned()]);
    Ok(joining(&entries, &planes, &there, &gone)?)
}

/// For a node that gets another address than planned. `None`: etcd could not live with it. A control plane's address stands in what the
/// others start with, so it joins once they have begun without it; that takes their majority.
pub(crate) async fn at_another_address(estate: &Estate, name: &str) -> Result<Option<BTreeMap<String, bool>>, Trouble> {
    let joins = next(estate, name).await?;
    let can = joins.get(name).is_none_or(|joins| *joins);
    Ok(can.then_some(joins))
}

/// At the begin of a run that goes on: control planes that had a machine and have none that runs.
pub(crate) async fn gone(estate: &Estate) -> Result<BTreeMap<String, bool>, Trouble> {
    let entries = estate.journal.get()?.entries().await;
    let planes = planes(estate);
    let had: BTreeSet<String> = planes
        .iter()
        .filter(|name| entries.formed || entries.machines.contains_key(*name))
        .cloned()
        .collect();
    if had.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut seen = up(estate).await?;
    if had.is_subset(&seen) {
        return Ok(BTreeMap::new());
    }
    // What another run made a moment ago may not be shown yet.
    tokio::time::sleep(SHOWN).await;
    seen.extend(up(estate).await?);
    let gone = had.difference(&seen).cloned().collect();
    Ok(joining(&entries, &planes, &seen, &gone)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_one_way_to_begin() {
        let facts = |planned, formed, had_one, others_there, others_first| Facts {
            planned,
            formed,
            had_one,
            others_there,
            others_first,
        };
        let table = [
            ("the first start", facts(3, false, false, 0, 2), Begin::Together),
            (
                "it died before etcd's first quorum, the others are on their way",
                facts(3, false, true, 0, 2),
                Begin::Joins,
            ),
            (
                "a second one dies before the first quorum",
                facts(3, false, true, 0, 1),
                Begin::Together,
            ),
            (
                "all die before the first quorum",
                facts(3, false, true, 0, 0),
                Begin::Together,
            ),
            (
                "one of one dies before the first quorum",
                facts(1, false, true, 0, 0),
                Begin::Together,
            ),
            ("it died later, two are there", facts(3, true, true, 2, 2), Begin::Joins),
            (
                "it died later, the other two were made anew before",
                facts(3, true, true, 2, 0),
                Begin::Joins,
            ),
            (
                "it was never seen, but the cluster lives",
                facts(3, true, false, 2, 2),
                Begin::Joins,
            ),
            ("two of three are gone", facts(3, true, true, 1, 1), Begin::Lost),
            ("the only one is gone", facts(1, true, true, 0, 0), Begin::Lost),
            ("one of two is gone", facts(2, true, true, 1, 1), Begin::Lost),
            ("two of five are gone", facts(5, true, true, 3, 3), Begin::Joins),
            ("three of five are gone", facts(5, true, true, 2, 2), Begin::Lost),
        ];
        for (what, facts, wanted) in table {
            assert_eq!(begin(facts), wanted, "{what}");
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn of_those_that_die_before_the_first_quorum_only_a_minority_waits_for_the_others() {
        let planes = set(&["cp1", "cp2", "cp3"]);
        let mut entries = Entries::default();
        let mut die = |name: &str| {
            let decided = joining(&entries, &planes, &set(&[]), &set(&[name])).unwrap();
            entries.anew.extend(decided.clone());
            decided[name]
        };
        assert!(die("cp1"));
        assert!(!die("cp2"), "cp2 and cp3 start together, cp1 joins them");
        assert!(!die("cp1"), "of the first machines only cp3's is left");
    }

    #[test]
    fn two_that_vanished_at_once_are_more_than_etcd_can_lose() {
        let planes = set(&["cp1", "cp2", "cp3"]);
        let entries = Entries {
            formed: true,
            ..Entries::default()
        };
        let error = joining(&entries, &planes, &set(&["cp3", "w1"]), &set(&["cp1", "cp2"])).unwrap_err();
        insta::assert_snapshot!(error.to_string());
        let one = joining(&entries, &planes, &set(&["cp1", "cp3"]), &set(&["cp2"])).unwrap();
        assert_eq!(one, BTreeMap::from([("cp2".to_owned(), true)]));
    }
}
