//! What can go wrong with repository and Flux.

use skykeep_core::Explain;

/// An error of the repository or of Flux.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", Explain::what(self), Explain::why(self))]
pub enum GitopsError {
    /// The repository could not be fetched.
    Fetch {
        /// Its URL.
        url: String,
        /// The transport's words.
        why: String,
        /// Whether it may pass by itself.
        passing: bool,
    },
    /// The server refused the token.
    Token {
        /// The repository's URL.
        url: String,
    },
    /// The branch is not there.
    NoRevision {
        /// The repository's URL.
        url: String,
        /// What was asked for.
        revision: String,
    },
    /// The commit is none of the branch's.
    NotOnBranch {
        /// The repository's URL.
        url: String,
        /// The commit.
        revision: String,
        /// The branch.
        branch: String,
    },
    /// The repository is too large to be held in memory.
    TooLarge(String),
    /// A working tree that can't be read.
    Folder {
        /// The folder or file.
        path: String,
        /// The system's words.
        why: String,
    },
    /// Not the layout of `flux bootstrap`.
    Layout {
        /// What is missing.
        missing: String,
        /// The root path.
        path: String,
    },
    /// An object that can't be changed through Flux.
    Inject {
        /// The object.
        object: String,
        /// Why.
        why: String,
    },
    /// A file that can't be parsed.
    Yaml {
        /// The file.
        file: String,
        /// Line and reason.
        why: String,
    },
    /// The Kubernetes API refused or failed.
    Api {
        /// What was being done.
        doing: String,
        /// The API's words.
        why: String,
        /// Whether it may pass by itself.
        passing: bool,
    },
    /// A value for the cluster is missing.
    Value(String),
    /// Layers did not become ready in time.
    Layers {
        /// One line per layer that is not ready.
        waiting: Vec<String>,
        /// How long was waited, seconds.
        after: u64,
    },
}

impl Explain for GitopsError {
    fn what(&self) -> String {
        match self {
            Self::Fetch { url, .. } => format!("The repository {url} can't be fetched"),
            Self::Token { url } => format!("{url} refuses our token"),
            Self::Inject { object, .. } => format!("{object} can't be changed through Flux"),
            Self::NoRevision { url, revision } => format!("{url} has no `{revision}`"),
            Self::NotOnBranch { revision, branch, .. } => format!("Commit {revision} is not on the branch `{branch}`"),
            Self::TooLarge(_) => "The repository is too large".into(),
            Self::Folder { path, .. } => format!("{path} can't be read"),
            Self::Layout { missing, .. } => format!("The repository has no {missing}"),
            Self::Yaml { file, .. } => format!("{file} in the repository can't be read"),
            Self::Api { doing, .. } => format!("The cluster did not let us {doing}"),
            Self::Value(_) => "A Secret of `beforeFlux` can't be made".into(),
            Self::Layers { waiting, after } => {
                format!(
                    "{} layers of the repository were not ready after {after} s",
                    waiting.len()
                )
            }
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Inject { why, .. } => why.clone(),
            Self::Fetch { why, .. } | Self::Yaml { why, .. } | Self::Api { why, .. } | Self::Folder { why, .. } => {
                why.clone()
            }
            Self::Token { .. } => {
                "it answered 401: the token is wrong, expired, or may not read this repository".into()
            }
            Self::NoRevision { .. } => "no branch of that name can be fetched".into(),
            Self::NotOnBranch { url, .. } => format!(
                "the whole history of that branch at {url} was looked through: it was rewritten since (a force push), or the commit was never pushed there"
            ),
            Self::TooLarge(why) | Self::Value(why) => why.clone(),
            Self::Layout { path, .. } => format!("under `{path}` it has not the layout that `flux bootstrap` makes"),
            Self::Layers { waiting, .. } => waiting.join("; "),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Fetch { .. } => "Look at the network and at `gitops.url` in castle.yaml, then start again.",
            Self::Token { .. } => "Make a token that may read the repository's contents, and put it where `gitops.token` points.",
            Self::NoRevision { .. } => "Mend `gitops.branch` in castle.yaml.",
            Self::NotOnBranch { .. } => {
                "Name another commit (40 hex digits) in `gitops.revision` of castle.yaml, or say `--head` to take the branch's head; Flux can follow only commits of its branch."
            }
            Self::TooLarge(_) => "Keep large files out of the repository that Flux reads.",
            Self::Folder { .. } => "Give the folder of a repository's working tree.",
            Self::Layout { .. } => "Mend `gitops.path` in castle.yaml, or run `flux bootstrap` once for this path.",
            Self::Inject { .. } => {
                "Let a plain manifest of the repository hold the object, under a root Kustomization without patches of its own."
            }
            Self::Yaml { .. } => "Mend that file and push, or name an older commit in `gitops.revision`.",
            Self::Api { .. } => "Start again: what stands is kept. If the API says the same again, mend that object in the repository.",
            Self::Value(_) => "Mend `beforeFlux` in castle.yaml.",
            Self::Layers { .. } => {
                "Mend the first of them in the repository (the others may only wait for it), and start again with `--head` (or with the new commit in `gitops.revision`): without it the same commit is taken."
            }
        }
        .into()
    }

    fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Fetch { passing: true, .. } | Self::Api { passing: true, .. }
        )
    }
}

impl GitopsError {
    /// An error of the Kubernetes client while `doing` something.
    pub(crate) fn api(doing: impl Into<String>, error: &kube::Error) -> Self {
        let (why, passing) = match error {
            kube::Error::Api(status) => {
                let passing = matches!(status.code, 409 | 429 | 500..=599) || status.reason == "Timeout";
                (format!("{} ({})", status.message, status.code), passing)
            }
            other => {
                let lasting = matches!(
                    other,
                    kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) | kube::Error::InferConfig(_)
                );
                (skykeep_core::explain::chain(other), !lasting)
            }
        };
        GitopsError::Api {
            doing: doing.into(),
            why,
            passing,
        }
    }
}
