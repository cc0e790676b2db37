//! Claims that are used and named nowhere: pods that mount what nothing makes, and what the last living castle had.

use skykeep_core::castle::{Castle, Treasure};

use super::{CASTLE_FILE, Finding, HELM, Lint, Place, claims::meet, pod_of, releases::target};
use crate::repository::{list, text};

impl Lint<'_> {
    /// A pod that mounts a claim which nothing makes never starts, and no restore waits for it.
    pub(super) fn mounts(&mut self) {
        let claims = self.claims();
        for document in self.documents.clone() {
            let Some((at, pod)) = pod_of(&document) else { continue };
            for (i, volume) in list(pod, "/volumes").iter().enumerate() {
                let name = text(volume, "/persistentVolumeClaim/claimName");
                let here = document.namespace();
                let made = claims.iter().any(|c| c.namespace == here && meet(&c.name, name));
                let treasures = self.castle().map(|c| c.treasures.as_slice()).unwrap_or_default();
                // That a treasure's claim is made by nobody is said of the treasure.
                let named = treasures.iter().any(|t| t.namespace == here && t.claim == name);
                let unseen = self
                    .documents
                    .iter()
                    .any(|d| d.is(HELM, "HelmRelease") && target(d) == here && self.local_chart(d).is_none());
                if name.is_empty() || name.contains("${") || made || named || unseen {
                    continue;
                }
                let what = format!(
                    "{} `{}` mounts the claim {here}/{name}, which nothing makes: its pods would never start",
                    document.kind(),
                    document.name()
                );
                let place = self.at(&document, &format!("{at}/volumes/{i}"));
                let remedy = "Add the claim to the repository and say in castle.yaml where its content comes from (`treasures`) or that it may be lost (`disposable`), or mend the name.";
                self.say(Finding::risk(place, what, remedy));
            }
        }
    }
}

/// What the last living castle had and castle.yaml does not account for. `claims` are `<namespace>/<name>`.
pub fn living(castle: &Castle, who: &str, claims: &[String]) -> Vec<Finding> {
    let lost = claims.iter().filter_map(|claim| {
        let (namespace, name) = claim.split_once('/')?;
        let restored = castle
            .treasures
            .iter()
            .any(|t| t.namespace == namespace && receives(t, name));
        let disposable = castle
            .disposable
            .iter()
            .any(|d| d.namespace == namespace && meet(&d.claim, name));
        (!restored && !disposable).then_some((namespace, name))
    });
    lost.map(|(namespace, name)| {
        let place = Place {
            line: None,
            file: CASTLE_FILE.into(),
        };
        let what = format!("castle {who} had the claim {namespace}/{name} while it lived, and castle.yaml does not name it: it would not come back");
        let remedy = format!(
            "Name its backup under `treasures`, or say there that it may be lost: `disposable: [{{namespace: {namespace}, claim: {name}, why: ...}}]`."
        );
        Finding::risk(place, what, remedy)
    })
    .collect()
}

/// An operator calls the claims of a database after it.
fn receives(treasure: &Treasure, name: &str) -> bool {
    let database = || treasure.postgres.is_some() && name.starts_with(&format!("{}-", treasure.claim));
    treasure.claim == name || database()
}
