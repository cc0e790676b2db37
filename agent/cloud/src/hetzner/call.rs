//! Finding by name, adopting or creating; and waiting for actions. A name is unique in a project and each of ours holds castle and
//! generation, so a second creation is refused by Hetzner itself: there are no twins, and no window that a lost answer could leave.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use skykeep_core::{
    Deadline, Explain, Explained, Progress,
    deadline::Look,
    ids::{TAG_CASTLE, TAG_GENERATION, TAG_ROLE},
};

use super::{HetznerCloud, HetznerError, api::pick};
use crate::{CloudError, Result, wait::wait};

/// How long Hetzner may take to begin or end a thing other than a server.
const ACTION: Duration = Duration::from_secs(120);
/// Most actions take one to ten seconds; five nodes at once use some 200 of the 3600 requests that an hour has.
const PAUSE: Duration = Duration::from_millis(300);

/// What every listed thing has.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub id: u64,
    pub name: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A thing with an id, a name and labels.
pub(super) trait Thing: DeserializeOwned {
    fn named(&self) -> &Named;
}

impl Thing for Named {
    fn named(&self) -> &Named {
        self
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Action {
    id: u64,
    command: String,
    status: String,
    error: Option<ActionError>,
}

#[derive(Debug, Deserialize)]
struct ActionError {
    code: String,
    #[serde(default)]
    message: String,
}

pub(super) fn lift(doing: &str) -> impl FnOnce(HetznerError) -> CloudError {
    let doing = doing.to_owned();
    move |error| CloudError::Hetzner {
        doing,
        error: Box::new(error),
    }
}

impl HetznerCloud {
    /// The name of a thing of this generation: a valid host name, at most 20 + 1 + 26 + 1 + 15 characters.
    pub(super) fn name_of(&self, what: &str) -> String {
        format!("{}-{}-{what}", self.tags.castle, self.tags.generation).to_ascii_lowercase()
    }

    /// Our labels; a prefix and a slash are allowed in their keys.
    pub(super) fn labels(&self, role: &str) -> Value {
        json!({
            TAG_CASTLE: self.tags.castle,
            TAG_GENERATION: self.tags.generation.to_string(),
            TAG_ROLE: role,
        })
    }

    /// Selects everything of this generation.
    pub(super) fn selector(&self) -> String {
        let (castle, generation) = (&self.tags.castle, &self.tags.generation);
        format!("{TAG_CASTLE}={castle},{TAG_GENERATION}={generation}")
    }

    /// Everything of one kind in this generation.
    pub(super) async fn ours<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>> {
        let doing = format!("Looking for {}", kind.replace('_', " "));
        let selector = self.selector();
        let found = self.api.list(kind, &[("label_selector", selector.as_str())]).await;
        found.map_err(lift(&doing))
    }

    /// The thing with one of our names; one that does not carry our labels is somebody else's.
    pub(super) async fn find<T: Thing>(&self, kind: &str, name: &str) -> Result<Option<T>> {
        let doing = format!("Looking for {name}");
        let found = self
            .api
            .list::<T>(kind, &[("name", name)])
            .await
            .map_err(lift(&doing))?;
        let Some(found) = found.into_iter().find(|t| t.named().name == name) else {
            return Ok(None);
        };
        let labels = &found.named().labels;
        let is = |key: &str, value: &str| labels.get(key).is_some_and(|v| v == value);
        if is(TAG_CASTLE, &self.tags.castle) && is(TAG_GENERATION, &self.tags.generation.to_string()) {
            return Ok(Some(found));
        }
        Err(CloudError::Unfit(Explained {
            what: format!("The name {name} is taken in the Hetzner project"),
            why: "what has it does not carry the castle's labels".into(),
            remedy: "Put its labels back, or rename it in the console; then start again.".into(),
        }))
    }

    /// Finds and adopts, or else creates. `one` is the key of a single thing in answers.
    pub(super) async fn adopt<T: Thing>(
        &self,
        (kind, one): (&str, &str),
        name: &str,
        body: &Value,
        progress: &Progress,
    ) -> Result<T> {
        let doing = format!("Creating {name}");
        let what = format!("{name} to be created");
        wait(&what, Deadline::after(ACTION), PAUSE, || async {
            if let Some(found) = self.find::<T>(kind, name).await? {
                progress.note(format!("{name} {} adopted", found.named().id));
                return Ok(Look::Ready(found));
            }
            match self.api.create(kind, body).await {
                Ok(answer) => {
                    self.finish(&doing, &answer).await?;
                    let made: T = pick(answer, one).map_err(lift(&doing))?;
                    progress.note(format!("{name} {} created", made.named().id));
                    Ok(Look::Ready(made))
                }
                // Somebody made it since we looked, perhaps we: it is looked for again.
                Err(e) if e.code() == Some("uniqueness_error") => Ok(Look::NotYet("its name is taken".into())),
                Err(e) => Err(lift(&doing)(e)),
            }
        })
        .await
    }

    /// Waits for every action that an answer names.
    pub(super) async fn finish(&self, doing: &str, answer: &Value) -> Result<()> {
        let one = answer.get("action").filter(|action| !action.is_null());
        let several = answer.get("actions").and_then(Value::as_array);
        for action in one.into_iter().chain(several.into_iter().flatten()) {
            let action = Action::deserialize(action)
                .map_err(|e| lift(doing)(HetznerError::Unreadable(format!("an action: {e}"))))?;
            self.action_done(doing, action).await?;
        }
        Ok(())
    }

    async fn action_done(&self, doing: &str, begun: Action) -> Result<()> {
        let (id, command) = (begun.id, begun.command.clone());
        let what = format!("Hetzner's action {command} ({id})");
        let first = std::sync::Mutex::new(Some(begun));
        wait(&what, Deadline::after(ACTION), PAUSE, || async {
            let known = first.lock().ok().and_then(|mut first| first.take());
            let action = match known {
                Some(action) => action,
                None => {
                    let path = format!("actions/{id}");
                    self.api.get::<Action>(&path, "action").await.map_err(lift(doing))?
                }
            };
            match (action.status.as_str(), action.error) {
                ("success", _) => Ok(Look::Ready(())),
                ("error", Some(ActionError { code, message })) => Err(lift(doing)(HetznerError::Failed {
                    command: command.clone(),
                    code,
                    message,
                })),
                (status, _) => Ok(Look::NotYet(format!("it is {status}"))),
            }
        })
        .await
    }
}

/// Whether this may pass by itself.
pub(super) fn passes(error: &CloudError) -> bool {
    matches!(error, CloudError::Hetzner { error, .. } if error.is_transient())
}
