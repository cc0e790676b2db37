//! What can go wrong while a cluster is planned, sealed, reached or furnished.

use skykeep_core::{Explain, Explained, Trouble, explain::chain};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Something that another part already explained (the lock file, a wait that ended at its deadline).
    #[error("{0}")]
    Explained(Explained),
    /// A key or certificate could not be made.
    #[error("making {what}: {why}")]
    Pki {
        /// What was being made.
        what: String,
        /// Why it failed.
        why: String,
    },
    /// The castle or its nodes do not fit together.
    #[error("planning the nodes: {0}")]
    Plan(String),
    /// A sealed plan did not open.
    #[error("opening the sealed plan: {0}")]
    Seal(String),
    /// The cluster's API answered with an error, or not at all.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: String,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ClusterError {
    pub(crate) fn pki(what: &str, why: impl std::fmt::Display) -> Self {
        ClusterError::Pki {
            what: what.to_owned(),
            why: why.to_string(),
        }
    }

    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| ClusterError::Api {
            doing,
            source: Box::new(source),
        }
    }

    /// The HTTP status of the API's answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClusterError::Api { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<Explained> for ClusterError {
    fn from(explained: Explained) -> Self {
        ClusterError::Explained(explained)
    }
}

impl From<Trouble> for ClusterError {
    fn from(trouble: Trouble) -> Self {
        ClusterError::Explained(trouble.explained())
    }
}

const REPORT: &str = "This is a fault of the program: please report it with this text.";

impl Explain for ClusterError {
    fn what(&self) -> String {
        match self {
            ClusterError::Explained(e) => e.what.clone(),
            ClusterError::Pki { what, .. } => format!("The cluster's {what} can't be made"),
            ClusterError::Plan(_) => "The nodes can't be planned".into(),
            ClusterError::Seal(_) => "The node's sealed plan did not open".into(),
            ClusterError::Api { doing, .. } => format!("The cluster's API failed while {doing}"),
        }
    }

    fn why(&self) -> String {
        match self {
            ClusterError::Explained(e) => e.why.clone(),
            ClusterError::Pki { why, .. } | ClusterError::Plan(why) | ClusterError::Seal(why) => why.clone(),
            ClusterError::Api { source, .. } => chain(&**source),
        }
    }

    fn remedy(&self) -> String {
        match self {
            ClusterError::Explained(e) => e.remedy.clone(),
            ClusterError::Pki { .. } => REPORT.into(),
            ClusterError::Plan(_) => "Mend castle.yaml, or report it if the file looks right.".into(),
            ClusterError::Seal(_) => {
                "The node needs the user data that was made for it; let the agent replace this node.".into()
            }
            ClusterError::Api { .. } if self.is_transient() => {
                "Wait a little and start again: what stands is kept and adopted.".into()
            }
            ClusterError::Api { .. } => REPORT.into(),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            ClusterError::Api { source, .. } => match &**source {
                // 401 and 403 happen while the API server is still filling its caches; 404 while a kind is being registered.
                kube::Error::Api(status) => matches!(status.code, 401 | 403 | 404 | 408 | 409 | 410 | 429 | 500..=599),
                kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
                _ => false,
            },
            _ => false,
        }
    }
}
