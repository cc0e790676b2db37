//! What there is of this generation, and which generations there are.

use std::collections::BTreeSet;

use serde_json::Value;
use skykeep_core::{
    Generation,
    ids::{TAG_CASTLE, TAG_GENERATION},
};

use super::{
    HetznerCloud,
    call::{Named, lift},
};
use crate::{Result, Thing};

/// Everything that a castle is made of here: Hetzner's word and ours.
pub(super) const KINDS: [(&str, &str); 5] = [
    ("load_balancers", "load-balancer"),
    ("servers", "server"),
    ("firewalls", "firewall"),
    ("placement_groups", "placement-group"),
    ("networks", "network"),
];

impl HetznerCloud {
    pub(super) async fn list_everything(&self) -> Result<Vec<Thing>> {
        let mut all = Vec::new();
        for (kind, ours) in KINDS {
            for thing in self.ours::<Value>(kind).await? {
                let text = |key: &str| thing.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                let id = thing.get("id").map(Value::to_string).unwrap_or_default();
                all.push(Thing {
                    kind: ours.to_owned(),
                    id,
                    name: text("name"),
                    state: text("status"),
                });
            }
        }
        all.sort();
        Ok(all)
    }

    pub(super) async fn all_generations(&self) -> Result<Vec<Generation>> {
        let selector = format!("{TAG_CASTLE}={}", self.tags.castle);
        let mut found = BTreeSet::new();
        for (kind, _) in KINDS {
            let all = self
                .api
                .list::<Named>(kind, &[("label_selector", selector.as_str())])
                .await;
            let all = all.map_err(lift("Looking for generations"))?;
            // A label that is no generation was written by somebody else.
            found.extend(
                all.iter()
                    .filter_map(|thing| thing.labels.get(TAG_GENERATION)?.parse::<Generation>().ok()),
            );
        }
        Ok(found.into_iter().collect())
    }
}
