//! What stands, seen without changing anything.

use std::time::Duration;

use serde::Serialize;
use skykeep_cloud::Thing;
use skykeep_core::{Trouble, deadline::Look};

use crate::{
    estate::Estate,
    health,
    lease::{self, Phase, Record},
    names,
    pulse::{self, Testament},
};

/// What stands of a castle.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The lease, when a generation was ever born.
    pub lease: Option<Record>,
    /// What carries the generation's tags.
    pub things: Vec<Thing>,
    /// Nodes that are planned and have no machine that runs.
    pub missing_nodes: Vec<String>,
    /// Each health rule, asked by its name alone: the URL and what was wrong (`None` is well).
    pub health: Vec<(String, Option<String>)>,
    /// Records of the castle's names that somebody has changed since the cutover, a line each.
    pub changed: Vec<String>,
    /// The castle's own pulse, when it has given one.
    pub pulse: Option<Pulse>,
}

/// A sign of life.
#[derive(Debug, Serialize)]
pub struct Pulse {
    /// How old it is, seconds.
    pub age_s: u64,
    /// What the castle said of itself.
    pub testament: Option<Testament>,
}

impl Status {
    /// Whether the castle is alive and nothing of it is missing.
    pub fn is_well(&self) -> bool {
        self.lease.as_ref().is_some_and(|l| l.state == Phase::Alive)
            && self.missing_nodes.is_empty()
            && self.changed.is_empty()
            && self.health.iter().all(|(_, wrong)| wrong.is_none())
    }
}

/// Looks at lease, cloud and health.
pub async fn status(estate: &Estate) -> Result<Status, Trouble> {
    let lease = lease::peek(&*estate.s3, &estate.castle.name).await?.map(|f| f.record);
    let mut things = Vec::new();
    let mut missing_nodes = Vec::new();
    if let Some(record) = lease.as_ref().filter(|r| r.state != Phase::Destroyed) {
        things = estate.cloud_for(record.generation, false)?.inventory().await?;
        let lives = |name: &str| things.iter().any(|t| t.is_up() && is_node(&t.name, name));
        missing_nodes = estate
            .planned()
            .into_iter()
            .map(|n| n.name)
            .filter(|name| !lives(name))
            .collect();
    }
    let mut answers = Vec::new();
    if lease.as_ref().is_some_and(|r| r.state == Phase::Alive) {
        for rule in &estate.castle.health {
            let asked = tokio::time::timeout(Duration::from_secs(12), health::ask(&estate.trust, rule, None)).await;
            let wrong = match asked {
                Ok(Ok(Look::Ready(()))) => None,
                Ok(Ok(Look::NotYet(seen))) => Some(seen),
                Ok(Err(trouble)) => Some(trouble.explained().why),
                Err(_) => Some("no answer within 12 s".to_owned()),
            };
            answers.push((rule.url.to_string(), wrong));
        }
    }
    let changed = match &lease {
        Some(record) if record.state == Phase::Alive => names::changed(estate, &record.generation).await?,
        _ => Vec::new(),
    };
    let pulse = match &lease {
        Some(record) if record.state != Phase::Destroyed => {
            let own = record.generation.to_string();
            let signs = pulse::signs(estate, None).await?;
            signs.into_iter().find(|sign| sign.who == own).map(|sign| Pulse {
                age_s: sign.age.as_secs(),
                testament: sign.testament,
            })
        }
        _ => None,
    };
    Ok(Status {
        lease,
        things,
        missing_nodes,
        health: answers,
        changed,
        pulse,
    })
}

/// Whether the name of a thing (`rossi-cp1` or `cp1`) is that of a node.
pub(crate) fn is_node(thing: &str, node: &str) -> bool {
    thing == node
        || thing
            .strip_suffix(node)
            .is_some_and(|rest| rest.ends_with(['-', '.', '/']))
}

#[cfg(test)]
mod tests {
    use super::is_node;

    #[test]
    fn a_node_is_known_by_its_last_word_only() {
        assert!(is_node("rossi-cp1", "cp1") && is_node("cp1", "cp1"));
        assert!(!is_node("rossi-xcp1", "cp1") && !is_node("rossi-cp11", "cp1"));
    }
}
