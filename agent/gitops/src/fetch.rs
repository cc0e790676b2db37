//! One commit of the repository over HTTPS, by gix: no git program, nothing on a disk, nothing left behind.

use std::{
    any::Any,
    num::NonZeroU32,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gix::{
    bstr::ByteSlice,
    credentials::{helper::Action, protocol::Outcome},
    protocol::transport::client::blocking_io::{Transport, http},
    remote::fetch::Shallow,
};
use skykeep_core::{Deadline, Secret, castle::Gitops, http::Trust};
use zeroize::Zeroizing;

use crate::{error::GitopsError, history, history::Distance, repository::Repository};

/// Most bytes of all files together.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Most files.
const MAX_FILES: usize = 20_000;
/// How much history is fetched until the wanted commit is in it: the head alone, what most castles lag behind, all of it.
const DEPTHS: [Option<NonZeroU32>; 3] = [NonZeroU32::new(1), NonZeroU32::new(300), None];

/// What the blocking side needs.
struct Job {
    url: String,
    username: String,
    token: Zeroizing<String>,
    branch: String,
    wanted: Option<String>,
    tls: rustls::ClientConfig,
    proxy: Option<reqwest::Proxy>,
    limit: Duration,
    /// Set when nobody waits any more.
    stop: Arc<AtomicBool>,
    /// Set when the server sent our token back.
    rejected: Arc<AtomicBool>,
}

/// Stops the blocking side when the waiting side is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The castle's repository as it was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// Its files at the wanted commit.
    pub repository: Repository,
    /// How far that is from the branch's head.
    pub distance: Distance,
}

/// Fetches the castle's repository at the commit `wanted`, or at the head of `gitops.branch`.
///
/// The commit must be one of the branch: Flux, pinned to it, finds no other.
pub async fn fetch(
    gitops: &Gitops,
    wanted: Option<&str>,
    token: &Secret,
    trust: &Trust,
    deadline: Deadline,
) -> Result<Fetched, GitopsError> {
    let url = gitops.url.to_string();
    let problem = |why: String, passing: bool| GitopsError::Fetch {
        url: url.clone(),
        why,
        passing,
    };
    let token = token.expose_str().map(|t| Zeroizing::new(t.trim().to_owned()));
    let job = Job {
        url: url.clone(),
        username: gitops.username.clone(),
        token: token.ok_or_else(|| problem("the token is no text".into(), false))?,
        branch: gitops.branch.clone(),
        wanted: wanted.map(str::to_owned),
        tls: trust.tls().map_err(|e| problem(e.why, false))?,
        proxy: trust.proxy().map_err(|e| problem(e.why, false))?,
        limit: deadline.remaining(),
        stop: Arc::default(),
        rejected: Arc::default(),
    };
    let _stop = StopOnDrop(job.stop.clone());
    let job = Arc::new(job);
    let work = tokio::task::spawn_blocking(move || fetch_blocking(&job));
    match tokio::time::timeout(deadline.remaining(), work).await {
        Ok(Ok(result)) => result,
        Ok(Err(join)) => Err(problem(format!("the git client failed: {join}"), false)),
        Err(_elapsed) => Err(problem(format!("no end after {} s", deadline.limit().as_secs()), true)),
    }
}

/// A folder in memory when the system has one.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let in_memory = ["/dev/shm", "/run"].map(PathBuf::from);
    let made = in_memory
        .iter()
        .find_map(|place| tempfile::Builder::new().prefix("skykeep-git-").tempdir_in(place).ok());
    made.map_or_else(|| tempfile::Builder::new().prefix("skykeep-git-").tempdir(), Ok)
}

/// Our TLS instead of whatever the transport would take from the system.
fn transport(job: &Job) -> http::Options {
    let (tls, proxy, limit) = (job.tls.clone(), job.proxy.clone(), job.limit);
    let backend = http::reqwest::Options {
        configure_client: Some(Box::new(move |builder| {
            let builder = builder
                .tls_backend_preconfigured(tls.clone())
                .timeout(limit)
                .https_only(true)
                .no_proxy();
            Ok(match proxy.clone() {
                Some(proxy) => builder.proxy(proxy),
                None => builder,
            })
        })),
        configure_request: None,
    };
    let backend: Arc<Mutex<dyn Any + Send + Sync>> = Arc::new(Mutex::new(backend));
    http::Options {
        backend: Some(backend),
        ..http::Options::default()
    }
}

fn fetch_blocking(job: &Arc<Job>) -> Result<Fetched, GitopsError> {
    for depth in DEPTHS {
        let folder = folder().map_err(|e| explain(job, &e.to_string()))?;
        let repository = clone(job, folder.path().join("repository"), depth)?;
        let fail = |e: gix::Error| lasting(job, format!("{e:#}"));
        let Some((at, distance)) = history::find(&repository, job.wanted.as_deref()).map_err(fail)? else {
            continue;
        };
        let repository = read(&repository, at, job)?;
        return Ok(Fetched { repository, distance });
    }
    Err(GitopsError::NotOnBranch {
        url: job.url.clone(),
        revision: job.wanted.clone().unwrap_or_default(),
        branch: job.branch.clone(),
    })
}

/// A bare clone of the branch alone, with so much of its history.
fn clone(job: &Arc<Job>, into: PathBuf, depth: Option<NonZeroU32>) -> Result<gix::Repository, GitopsError> {
    let for_connection = job.clone();
    let connect = move |connection: &mut gix::remote::Connection<'_, '_, '_, Box<dyn Transport + Send>>| {
        connection.set_transport_options(Box::new(transport(&for_connection)));
        let job = for_connection.clone();
        connection.set_credentials(move |action| Ok(credentials(&job, action)));
        Ok(())
    };
    let fail = |e: gix::Error| explain(job, &format!("{e:#}"));
    let (kind, plain) = (gix::create::Kind::Bare, gix::create::Options::default());
    let branch = job.branch.clone();
    let mut prepare =
        gix::clone::PrepareFetch::new(job.url.as_str(), into, kind, plain, gix::open::Options::isolated())
            .map_err(fail)?
            .with_shallow(depth.map_or(Shallow::NoChange, Shallow::DepthAtRemote))
            .configure_connection(connect)
            .configure_remote(move |remote| {
                let only = format!("+refs/heads/{branch}:refs/heads/{branch}");
                let remote = remote.with_fetch_tags(gix::remote::fetch::Tags::None);
                remote.with_refspecs([only.as_str()], gix::remote::Direction::Fetch)
            })
            .with_ref_name(Some(job.branch.as_str()))
            .map_err(fail)?;
    let (repository, _) = prepare.fetch_only(gix::progress::Discard, &job.stop).map_err(fail)?;
    Ok(repository)
}

/// The token when the server asks for it; when it is sent back, that is remembered.
fn credentials(job: &Job, action: Action) -> Option<Outcome> {
    match action {
        Action::Get(context) => Some(Outcome {
            identity: gix::sec::identity::Account {
                username: job.username.clone(),
                password: job.token.to_string(),
                oauth_refresh_token: None,
            },
            next: context.into(),
        }),
        Action::Store(_) => None,
        Action::Erase(_) => {
            job.rejected.store(true, Ordering::Relaxed);
            None
        }
    }
}

/// The transport's words as one of our errors.
fn explain(job: &Job, text: &str) -> GitopsError {
    let url = job.url.clone();
    let lower = text.to_lowercase();
    if job.rejected.load(Ordering::Relaxed) || lower.contains("401") {
        return GitopsError::Token { url };
    }
    let absent = [
        "didn't have any ref",
        "not found in remote",
        "could not find",
        "no such remote ref",
        "not our ref",
        "did not match",
    ];
    if absent.iter().any(|words| lower.contains(words)) {
        let revision = job.branch.clone();
        return GitopsError::NoRevision { url, revision };
    }
    let lasting = ["404", "403", "certificate", "unsupported"]
        .iter()
        .any(|words| lower.contains(words));
    GitopsError::Fetch {
        url,
        why: plain(text),
        passing: !lasting,
    }
}

/// gix shows its chain of errors in Rust's notation (`Io(Custom { kind: Other, error: "..." })`); a person wants what stands in quotes.
fn plain(text: &str) -> String {
    let unescaped = text.replace("\\\"", "\"");
    let quoted: Vec<&str> = unescaped
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::trim)
        .filter(|words| words.contains(' '))
        // rustls ends its texts with an address of its manual.
        .map(|words| words.split(": https://docs.rs").next().unwrap_or(words))
        .collect();
    if quoted.is_empty() {
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        return lines.collect::<Vec<_>>().join(": ");
    }
    quoted.join(": ")
}

/// What will not pass by itself.
fn lasting(job: &Job, why: String) -> GitopsError {
    GitopsError::Fetch {
        url: job.url.clone(),
        why,
        passing: false,
    }
}

/// All files of a commit's tree. Links and submodules are left out: Flux does not follow them either.
fn read(repository: &gix::Repository, at: gix::ObjectId, job: &Job) -> Result<Repository, GitopsError> {
    let fail = |e: String| lasting(job, e);
    let commit = repository.find_commit(at).map_err(|e| fail(e.to_string()))?;
    let mut result = Repository {
        commit: commit.id().to_string(),
        ..Repository::default()
    };
    let mut bytes = 0;
    let mut ahead = vec![(String::new(), commit.tree().map_err(|e| fail(e.to_string()))?)];
    while let Some((prefix, tree)) = ahead.pop() {
        for entry in tree.iter() {
            let entry = entry.map_err(|e| fail(e.to_string()))?;
            let name = entry
                .filename()
                .to_str()
                .map_err(|_| fail("a file name is not UTF-8".into()))?;
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            if entry.mode().is_tree() {
                let object = entry.object().map_err(|e| fail(e.to_string()))?;
                ahead.push((path, object.into_tree()));
            } else if entry.mode().is_blob() {
                let mut object = entry.object().map_err(|e| fail(e.to_string()))?;
                bytes += object.data.len();
                if bytes > MAX_BYTES || result.files.len() >= MAX_FILES {
                    let why = format!("it has more than {MAX_FILES} files or {MAX_BYTES} bytes");
                    return Err(GitopsError::TooLarge(why));
                }
                result.files.insert(path, std::mem::take(&mut object.data));
            }
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn of_a_chain_in_rusts_notation_only_the_words_for_people_stay() {
        let text = r#"Message { message: "Transport handshake failed" }
Caused by:
    0: Io(Custom { kind: Other, error: "peer closed connection: https://docs.rs/rustls/x" })"#;
        assert_eq!(plain(text), "Transport handshake failed: peer closed connection");
        assert_eq!(plain("no such host\n"), "no such host");
    }
}
