//! One commit of the repository over HTTPS, by gix: no git program, nothing on a disk, nothing left behind.

use std::{
    any::Any,
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

use crate::{error::GitopsError, repository::Repository};

/// Most bytes of all files together.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Most files.
const MAX_FILES: usize = 20_000;

/// What the blocking side needs.
struct Job {
    url: String,
    username: String,
    token: Zeroizing<String>,
    branch: String,
    revision: Option<String>,
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

/// Fetches the castle's repository: the commit `gitops.revision`, or the head of `gitops.branch`.
pub async fn fetch(
    gitops: &Gitops,
    token: &Secret,
    trust: &Trust,
    deadline: Deadline,
) -> Result<Repository, GitopsError> {
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
        revision: gitops.revision.clone(),
        tls: trust.tls().map_err(|e| problem(e.why, false))?,
        proxy: trust.proxy().map_err(|e| problem(e.why, false))?,
        limit: deadline.remaining(),
        stop: Arc::default(),
        rejected: Arc::default(),
    };
    let _stop = StopOnDrop(job.stop.clone());
    let job = Arc::new(job);
    let work = tokio::task::spawn_blocking(move || clone(&job));
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

fn clone(job: &Arc<Job>) -> Result<Repository, GitopsError> {
    let folder = folder().map_err(|e| explain(job, &e.to_string()))?;
    let depth = Shallow::DepthAtRemote(std::num::NonZeroU32::MIN);
    let for_connection = job.clone();
    let connect = move |connection: &mut gix::remote::Connection<'_, '_, '_, Box<dyn Transport + Send>>| {
        connection.set_transport_options(Box::new(transport(&for_connection)));
        let job = for_connection.clone();
        connection.set_credentials(move |action| Ok(credentials(&job, action)));
        Ok(())
    };
    let fail = |e: gix::Error| explain(job, &format!("{e:#}"));
    let mut prepare = gix::clone::PrepareFetch::new(
        job.url.as_str(),
        folder.path().join("repository"),
        gix::create::Kind::Bare,
        gix::create::Options::default(),
        gix::open::Options::isolated(),
    )
    .map_err(fail)?
    .with_shallow(depth)
    .configure_connection(connect);
    prepare = match &job.revision {
        Some(commit) => prepare.with_revision(Some(commit.as_str())).map_err(fail)?,
        None => prepare.with_ref_name(Some(job.branch.as_str())).map_err(fail)?,
    };
    let (repository, _) = prepare.fetch_only(gix::progress::Discard, &job.stop).map_err(fail)?;
    read(&repository, job)
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
        let revision = job.revision.clone().unwrap_or_else(|| job.branch.clone());
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

/// All files of the head's tree. Links and submodules are left out: Flux does not follow them either.
fn read(repository: &gix::Repository, job: &Job) -> Result<Repository, GitopsError> {
    let fail = |e: String| GitopsError::Fetch {
        url: job.url.clone(),
        why: e,
        passing: false,
    };
    let commit = repository.head_commit().map_err(|e| fail(e.to_string()))?;
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
