//! What can go wrong on a machine that joins.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use skykeep_core::Explain;

/// An error on the node; the console shows it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error("{path}: {why}")]
    File { path: PathBuf, why: String },
    #[error("downloading {what} from {host}: {why}")]
    Download {
        what: String,
        host: String,
        why: String,
        transient: bool,
    },
    #[error("{what} from {url}: wanted SHA-256 {wanted}, got {got}")]
    Hash {
        what: String,
        url: String,
        wanted: String,
        got: String,
    },
    #[error("{title}: {why}")]
    Step { title: String, why: String },
    #[error("{what} took longer than {limit:?}")]
    Late {
        what: String,
        limit: Duration,
        last: String,
    },
    #[error("{0}")]
    Core(skykeep_core::Explained),
}

impl NodeError {
    pub(crate) fn file(path: &Path, e: io::Error) -> Self {
        NodeError::File {
            path: path.to_path_buf(),
            why: e.to_string(),
        }
    }
}

impl Explain for NodeError {
    fn what(&self) -> String {
        match self {
            NodeError::File { path, .. } => format!("{} can't be read or written", path.display()),
            NodeError::Download { what, host, .. } => format!("{what} could not be downloaded from {host}"),
            NodeError::Hash { what, .. } => format!("{what} is not what castle.lock pinned"),
            NodeError::Step { title, .. } => format!("The step \"{title}\" failed"),
            NodeError::Late { what, limit, .. } => format!("Gave up on {what} after {} s", limit.as_secs()),
            NodeError::Core(e) => e.what.clone(),
        }
    }

    fn why(&self) -> String {
        match self {
            NodeError::File { why, .. } | NodeError::Download { why, .. } | NodeError::Step { why, .. } => why.clone(),
            NodeError::Hash { url, wanted, got, .. } => format!("{url} has SHA-256 {got}, the lock says {wanted}"),
            NodeError::Late { last, .. } if last.is_empty() => "see the lines above".into(),
            NodeError::Late { last, .. } => format!("last seen: {last}"),
            NodeError::Core(e) => e.why.clone(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            NodeError::Hash { .. } => {
                "Do not use that file. Find out who changed it; if the change is right, make castle.lock again.".into()
            }
            NodeError::Download { transient: false, .. } => {
                "Check the URL in castle.lock, then start again: the agent replaces this node.".into()
            }
            NodeError::Core(e) => e.remedy.clone(),
            _ => "Start the rebirth again: the agent replaces this node; what stands is kept.".into(),
        }
    }

    fn is_transient(&self) -> bool {
        // A failed or late step is tried again with the whole plan; a wrong file stays wrong until somebody mends the plan.
        matches!(
            self,
            NodeError::Download { transient: true, .. } | NodeError::Step { .. } | NodeError::Late { .. }
        )
    }
}
