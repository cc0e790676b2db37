//! The plan as data. It travels as JSON inside the sealed blob; the node's executor knows no more than this.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use skykeep_core::lock::{Artifact, Image};
use zeroize::Zeroize;

use super::Role;
use crate::etcd::Join;

/// What one node has to do, from first boot to joined.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePlan {
    /// Format version; 1.
    pub version: u32,
    /// The castle's name.
    pub castle: String,
    /// The generation.
    pub generation: String,
    /// The node's name in Kubernetes.
    pub node: String,
    /// What it is for.
    pub role: Role,
    /// All of it must be done within this many seconds.
    pub deadline_s: u64,
    /// What is downloaded, in parallel.
    pub artifacts: Vec<Artifact>,
    /// Images that are taken from their copies should their registry refuse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// Where copies lie, for an hour, by the SHA-256 of their content in hex.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub copies: BTreeMap<String, SecretText>,
    /// Who to ask when this machine takes the place of a dead etcd member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<Join>,
    /// Lines for /etc/hosts.
    pub hosts: Vec<String>,
    /// Files, written in this order after the downloads.
    pub files: Vec<PlanFile>,
    /// What is run, in this order.
    pub steps: Vec<Step>,
    /// Files that must exist at the end; each proves that something worked.
    pub done_when: Vec<String>,
    /// Files that are wiped at the end.
    pub wipe: Vec<String>,
}

/// A file to write.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// Absolute path.
    pub path: String,
    /// Octal mode.
    pub mode: String,
    /// What is in it.
    pub content: SecretText,
    /// Written only when this path exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<String>,
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// For the console.
    pub title: String,
    /// Program and arguments; never a secret.
    pub argv: Vec<String>,
    /// The step, with all its tries, must be done within this many seconds.
    pub deadline_s: u64,
    /// Try again until the deadline.
    #[serde(default)]
    pub retry: bool,
    /// Failing is not fatal.
    #[serde(default)]
    pub optional: bool,
    /// Wait until this path exists before running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for: Option<String>,
    /// The executor's own work instead of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Own>,
}

/// What the executor does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Own {
    /// Ask for the plan's images, and take the copy of each that its registry refuses.
    Images,
    /// Put this machine into etcd in the place of the dead member at its address.
    EtcdJoin,
    /// Wait until etcd here has caught up, and give it its vote.
    EtcdVote,
}

/// Text that may hold keys: wiped when dropped, never shown by `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// The text, for the moment of its use.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        SecretText(text)
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl PlanFile {
    pub(super) fn new(path: &str, mode: &str, content: impl Into<String>) -> Self {
        PlanFile {
            path: path.into(),
            mode: mode.into(),
            content: SecretText(content.into()),
            only_if: None,
        }
    }

    pub(super) fn only_if(mut self, path: &str) -> Self {
        self.only_if = Some(path.into());
        self
    }
}

impl Step {
    pub(super) fn new(title: &str, deadline_s: u64, argv: &[&str]) -> Self {
        Step {
            title: title.into(),
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
            deadline_s,
            retry: false,
            optional: false,
            wait_for: None,
            own: None,
        }
    }

    pub(super) fn own(title: &str, deadline_s: u64, own: Own) -> Self {
        Step {
            own: Some(own),
            ..Step::new(title, deadline_s, &[])
        }
    }

    pub(super) fn retried(mut self) -> Self {
        self.retry = true;
        self
    }

    pub(super) fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub(super) fn wait_for(mut self, path: &str) -> Self {
        self.wait_for = Some(path.into());
        self
    }
}
