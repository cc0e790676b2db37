//! A restic repository, read: the snapshot and the path that the castle file names.

use std::{
    ffi::OsString,
    path::{Component, Path},
    sync::Arc,
    thread,
};

use rustic_core::{
    Credentials, IndexedFullStatus, OpenStatus, Repository, RepositoryBackends, RepositoryOptions, RusticError,
    repofile::{Metadata, Node, NodeType, SnapshotFile},
};
use serde::{Deserialize, Serialize};
use skykeep_aws::S3;
use skykeep_core::Secret;

use crate::{
    RestoreError,
    job::JobSpec,
    older::{INDEX_PATIENCE, Look, Whole, newest_whole},
    store::{Backend, Bucket, Fault, Store},
    survey::survey,
};

/// What a backup holds, as far as its index and its folders tell. No file content was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The snapshot's whole id.
    pub snapshot: String,
    /// When it was made, RFC 3339.
    pub time: String,
    /// The machine that made it.
    pub hostname: String,
    /// Files below the path.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Opens the repository, finds snapshot and path, and checks that every piece they need is in the index and lies in a
/// pack of the right size. Reads only; to be called inside a runtime.
///
/// All specs must be of one repository: it is opened once, because that costs seconds (its key, its index).
pub async fn inspect(s3: Arc<S3>, password: &Secret, specs: Vec<JobSpec>) -> Result<Vec<Backup>, RestoreError> {
    let (store, password) = (Box::new(Bucket::new(s3)), password.duplicate());
    blocking(move || inspect_in(store, &password, &specs)).await
}

pub(crate) fn inspect_in(
    store: Box<dyn Store>,
    password: &Secret,
    specs: &[JobSpec],
) -> Result<Vec<Backup>, RestoreError> {
    let Some(first) = specs.first() else {
        return Ok(Vec::new());
    };
    let opened = Opened::new(store, password, first)?;
    let seen = |spec: &JobSpec| opened.find(spec).and_then(|found| of(&found));
    let looked =
        |spec| seen(spec).map_err(|e| e.or_else_whole(|| newest_whole(&opened, spec, Look::Index, INDEX_PATIENCE)));
    specs.iter().map(looked).collect()
}

fn of(found: &Found) -> Result<Backup, RestoreError> {
    let seen = survey(found)?;
    Ok(Backup {
        snapshot: found.snapshot_id(),
        time: found.time(),
        hostname: found.snapshot.hostname.clone(),
        files: seen.files,
        bytes: seen.bytes,
    })
}

/// Runs blocking work; a panic in it (rustic_core has some) is an error.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(RestoreError::Internal(e.to_string())),
    }
}

/// Snapshot and path, found in an opened repository.
pub(crate) struct Found {
    pub(crate) repo: Arc<Repository<IndexedFullStatus>>,
    pub(crate) snapshot: SnapshotFile,
    /// What the path names.
    pub(crate) node: Node,
    backend: Arc<Backend>,
    place: String,
}

impl Found {
    pub(crate) fn snapshot_id(&self) -> String {
        self.snapshot.id.to_hex().as_str().to_owned()
    }

    /// When it was made, RFC 3339.
    pub(crate) fn time(&self) -> String {
        self.snapshot.time.timestamp().to_string()
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Turns rustic_core's error into ours; the store's own error comes first.
    pub(crate) fn trouble(&self, error: &RusticError) -> RestoreError {
        trouble(&self.backend, &self.place, error)
    }

    /// What the store said, when it was the cause of whatever happened.
    pub(crate) fn fault(&self) -> Option<RestoreError> {
        self.backend.fault().map(|f| fault(f, &self.place))
    }

    /// The repository is damaged here.
    pub(crate) fn damaged(&self, why: String) -> RestoreError {
        RestoreError::Damaged {
            place: self.place.clone(),
            why,
            whole: Whole::Unknown,
        }
    }
}

fn fault(fault: Fault, place: &str) -> RestoreError {
    match fault {
        Fault::Store(e) => RestoreError::Store(e),
        Fault::Missing(key) => RestoreError::Damaged {
            place: place.to_owned(),
            why: format!("the object {key} is missing"),
            whole: Whole::Unknown,
        },
        Fault::Short(key) => RestoreError::Damaged {
            place: place.to_owned(),
            why: format!("the object {key} is cut short"),
            whole: Whole::Unknown,
        },
    }
}

fn trouble(backend: &Backend, place: &str, error: &RusticError) -> RestoreError {
    match backend.fault() {
        Some(first) => fault(first, place),
        None => RestoreError::Damaged {
            place: place.to_owned(),
            why: one_line(error),
            whole: Whole::Unknown,
        },
    }
}

/// rustic_core's errors are whole pages; this is their first words and their cause.
pub(crate) fn one_line(error: &RusticError) -> String {
    let text = error.display_log();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.strip_prefix("Error: ").unwrap_or(&text).to_owned()
}

fn open(backend: &Arc<Backend>, place: &str, password: &Secret) -> Result<Repository<OpenStatus>, RestoreError> {
    let repository = |why: String| RestoreError::Repository {
        place: place.to_owned(),
        why,
    };
    if !backend.exists()? {
        return Err(repository("there is no repository: it has no object `config`".into()));
    }
    // rustic_core keeps the password in an ordinary string while it opens; nothing we can wipe.
    let password = password
        .expose_str()
        .ok_or_else(|| repository("its password is no text".into()))?;
    let backends = RepositoryBackends::new(backend.clone(), None);
    let options = RepositoryOptions::default().no_cache(true);
    Repository::new(&options, &backends)
        .and_then(|r| r.open(&Credentials::password(password)))
        .map_err(|e| match e.is_incorrect_password() {
            true if backend.fault().is_none() => repository("no key in it fits this password".into()),
            _ => trouble(backend, place, &e),
        })
}

/// A repository with its index and its list of snapshots.
pub(crate) struct Opened {
    repo: Arc<Repository<IndexedFullStatus>>,
    snapshots: Vec<SnapshotFile>,
    backend: Arc<Backend>,
    place: String,
}

impl Opened {
    pub(crate) fn new(store: Box<dyn Store>, password: &Secret, spec: &JobSpec) -> Result<Self, RestoreError> {
        let place = spec.place();
        let backend = Arc::new(Backend::new(store, place.clone(), &spec.prefix));
        thread::scope(|scope| {
            scope.spawn(|| backend.read_ahead());
            let repo = open(&backend, &place, password)?;
            let trouble = |e: Box<RusticError>| trouble(&backend, &place, &e);
            let snapshots = repo.get_all_snapshots().map_err(trouble)?;
            // A wrong name is told before the index is unpacked.
            choose(snapshots.clone(), spec)?;
            let repo = Arc::new(repo.to_indexed().map_err(trouble)?);
            Ok((repo, snapshots))
        })
        .map(|(repo, snapshots)| {
            backend.opened();
            Opened {
                repo,
                snapshots,
                backend,
                place,
            }
        })
    }

    /// All other snapshots of what the spec names, the newest first.
    pub(crate) fn others(&self, spec: &JobSpec) -> Vec<String> {
        let chosen = choose(self.snapshots.clone(), spec).ok().map(|s| s.id);
        let path = Path::new(&spec.path);
        let others = self
            .snapshots
            .iter()
            .filter(|s| Some(s.id) != chosen && covers(s, path));
        let mut others: Vec<_> = others
            .map(|s| (s.time.timestamp(), s.id.to_hex().as_str().to_owned()))
            .collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        others.into_iter().map(|(_, id)| id).collect()
    }

    /// What the spec names.
    pub(crate) fn find(&self, spec: &JobSpec) -> Result<Found, RestoreError> {
        let trouble = |e: Box<RusticError>| trouble(&self.backend, &self.place, &e);
        let snapshot = choose(self.snapshots.clone(), spec)?;
        let mut node = Node::new_node(OsString::new().as_os_str(), NodeType::Dir, Metadata::default());
        node.subtree = Some(snapshot.tree);
        for part in Path::new(&spec.path).components() {
            let Component::Normal(name) = part else { continue };
            let missing = || RestoreError::NoSnapshot {
                place: self.place.clone(),
                wanted: format!("path `{}` in its snapshot {}", spec.path, snapshot.id),
            };
            let tree = self
                .repo
                .get_tree(&node.subtree.ok_or_else(missing)?)
                .map_err(trouble)?;
            node = tree.nodes.into_iter().find(|n| n.name() == name).ok_or_else(missing)?;
        }
        Ok(Found {
            repo: self.repo.clone(),
            snapshot,
            node,
            backend: self.backend.clone(),
            place: self.place.clone(),
        })
    }
}

/// The snapshot named by its id, or the newest one that was made of the path. When the newest one does not hold the
/// path any more, that is an error later on: an older state never comes back silently.
fn choose(mut snapshots: Vec<SnapshotFile>, spec: &JobSpec) -> Result<SnapshotFile, RestoreError> {
    let none = |wanted: String| RestoreError::NoSnapshot {
        place: spec.place(),
        wanted,
    };
    if spec.snapshot != "latest" {
        let wanted = spec.snapshot.to_lowercase();
        snapshots.retain(|s| s.id.to_hex().as_str().starts_with(&wanted));
        if snapshots.len() > 1 {
            return Err(none(format!(
                "single snapshot `{wanted}`: {} begin so",
                snapshots.len()
            )));
        }
        return snapshots
            .pop()
            .filter(|_| !wanted.is_empty())
            .ok_or_else(|| none(format!("snapshot `{wanted}`")));
    }
    let path = Path::new(&spec.path);
    snapshots.retain(|s| covers(s, path));
    snapshots
        .into_iter()
        .max_by_key(|s| s.time.timestamp())
        .ok_or_else(|| none(format!("snapshot of `{}`", spec.path)))
}

/// Whether a snapshot was made of the path, or of something in it or around it.
fn covers(snapshot: &SnapshotFile, path: &Path) -> bool {
    let mut paths = snapshot.paths.iter();
    paths.any(|p| path.starts_with(p) || Path::new(p).starts_with(path))
}
