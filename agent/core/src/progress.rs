//! Progress events: what the capabilities tell the console and the report while they work.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast;

/// One thing that happened. Texts never hold a secret.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A step began.
    Started {
        /// The step's id, for example `cloud.nodes`.
        step: String,
        /// For people.
        title: String,
    },
    /// Something worth a line happened inside a step.
    Note {
        /// The step's id.
        step: String,
        /// One line.
        text: String,
    },
    /// A step waits, and this is what it sees meanwhile; said when it changes.
    Waiting {
        /// The step's id.
        step: String,
        /// What it waits for.
        what: String,
        /// What it saw last.
        seen: String,
    },
    /// Bytes moved so far, of how many (0 when unknown).
    Bytes {
        /// The step's id.
        step: String,
        /// Done.
        done: u64,
        /// In all; 0 when unknown.
        total: u64,
    },
    /// A step ended well.
    Finished {
        /// The step's id.
        step: String,
        /// How long it took.
        took: Duration,
        /// One line on its outcome.
        outcome: String,
    },
    /// A step failed.
    Failed {
        /// The step's id.
        step: String,
        /// How long it took.
        took: Duration,
        /// What happened, why, what to do.
        error: crate::Explained,
    },
}

/// A handle that speaks for one step. Cheap to clone. Sending never blocks and never fails.
#[derive(Clone)]
pub struct Progress {
    sender: broadcast::Sender<Event>,
    step: String,
}

impl Progress {
    /// A new channel and the handle that speaks into it for `step`.
    pub fn channel(step: &str) -> (Self, broadcast::Receiver<Event>) {
        let (sender, receiver) = broadcast::channel(4096);
        (
            Progress {
                sender,
                step: step.to_owned(),
            },
            receiver,
        )
    }

    /// A handle whose words nobody hears.
    pub fn silent() -> Self {
        Progress::channel("silent").0
    }

    /// The same channel, speaking for another step.
    pub fn for_step(&self, step: &str) -> Self {
        Progress {
            sender: self.sender.clone(),
            step: step.to_owned(),
        }
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// The step this handle speaks for.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Says one line.
    pub fn note(&self, text: impl Into<String>) {
        self.send(Event::Note {
            step: self.step.clone(),
            text: text.into(),
        });
    }

    /// Says what is waited for, and what is seen instead.
    pub fn waits(&self, what: &str, seen: &str) {
        self.send(Event::Waiting {
            step: self.step.clone(),
            what: what.to_owned(),
            seen: seen.to_owned(),
        });
    }

    /// Says how many bytes are done.
    pub fn bytes(&self, done: u64, total: u64) {
        self.send(Event::Bytes {
            step: self.step.clone(),
            done,
            total,
        });
    }

    /// Sends any event.
    pub fn send(&self, event: Event) {
        // Nobody listening is fine: the work goes on.
        let _ = self.sender.send(event);
    }
}
