//! The castle's private Git repository, served by the real `git http-backend`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use http::header::HeaderMap;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio_util::io::ReaderStream;
use tracing::warn;

use crate::http::{Body, Request, set, text};

/// Path of the repository at github.com.
pub const REPOSITORY: &str = "/rossi/castle.git";

/// The repositories of the laboratory's github.com.
pub struct Git {
    root: PathBuf,
    backend: PathBuf,
    token: String,
}

impl Git {
    /// Serves the bare repositories under `root` to whoever has `token`.
    pub async fn new(root: PathBuf, token: String) -> Result<Self> {
        let out = Command::new("git")
            .arg("--exec-path")
            .stdin(Stdio::null())
            .output()
            .await
            .context("running git")?;
        let backend = PathBuf::from(String::from_utf8(out.stdout)?.trim()).join("git-http-backend");
        anyhow::ensure!(backend.exists(), "git has no http-backend here: {}", backend.display());
        Ok(Self { root, backend, token })
    }

    /// Makes `root/rossi/castle.git` from the files in `source`: one commit on `main`, always the same one for the same files.
    pub async fn seed(root: &Path, source: &Path) -> Result<String> {
        let bare = root.join(REPOSITORY.trim_start_matches('/'));
        std::fs::create_dir_all(&bare)?;
        let bare_text = bare.to_str().context("path of the repository")?;
        let source_text = source.to_str().context("path of the castle's files")?;
        git(&["init", "-q", "--bare", "-b", "main", bare_text]).await?;
        let here = ["--git-dir", bare_text, "--work-tree", source_text];
        let with =
            |rest: &[&'static str]| -> Vec<String> { here.iter().chain(rest).map(|part| (*part).to_owned()).collect() };
        for (key, value) in [
            ("uploadpack.allowFilter", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("core.fileMode", "true"),
        ] {
            git(&["--git-dir", bare_text, "config", key, value]).await?;
        }
        git(&with(&["add", "-A", "-f", "."])).await?;
        git(&with(&["commit", "-q", "-m", "The castle"])).await?;
        Ok(git(&["--git-dir", bare_text, "rev-parse", "main"])
            .await?
            .trim()
            .to_owned())
    }

    /// Changes one file of the castle's repository under `root` and pushes, as somebody with another laptop would. `clone` is made and
    /// taken away. Gives the new commit.
    pub async fn push(root: &Path, clone: &Path, path: &str, change: impl FnOnce(&str) -> String) -> Result<String> {
        let bare = root.join(REPOSITORY.trim_start_matches('/'));
        let (bare, here) = (
            bare.to_str().context("path of the repository")?,
            clone.to_str().context("path of the clone")?,
        );
        git(&["clone", "-q", bare, here]).await?;
        let file = clone.join(path);
        let before = std::fs::read_to_string(&file).with_context(|| path.to_owned())?;
        std::fs::write(&file, change(&before))?;
        git(&["-C", here, "commit", "-q", "-a", "-m", "Pushed meanwhile"]).await?;
        git(&["-C", here, "push", "-q", "origin", "main"]).await?;
        let commit = git(&["-C", here, "rev-parse", "HEAD"]).await?.trim().to_owned();
        std::fs::remove_dir_all(clone)?;
        Ok(commit)
    }

    /// Answers one request under github.com that concerns a repository.
    pub async fn serve(&self, path: &str, request: Request) -> Response<Body> {
        if !self.allowed(request.headers()) {
            let mut response = text(
                StatusCode::UNAUTHORIZED,
                "Invalid username or token. Password authentication is not supported for Git operations.\n",
            );
            set(response.headers_mut(), "www-authenticate", "Basic realm=\"GitHub\"");
            return response;
        }
        match self.cgi(path, request).await {
            Ok(response) => response,
            Err(error) => {
                warn!("git: {error:#}");
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n"))
            }
        }
    }

    fn allowed(&self, headers: &HeaderMap) -> bool {
        let basic = || {
            let value = headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
            let plain = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
            Some(plain.split_once(':')?.1 == self.token)
        };
        basic().unwrap_or(false)
    }

    async fn cgi(&self, path: &str, request: Request) -> Result<Response<Body>> {
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let mut command = Command::new(&self.backend);
        command
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", request.uri().query().unwrap_or_default())
            .env("REQUEST_METHOD", request.method().as_str())
            .env("CONTENT_TYPE", header("content-type"))
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .env("REMOTE_ADDR", "203.0.113.0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if request.headers().contains_key("content-length") {
            command.env("CONTENT_LENGTH", header("content-length"));
        }
        let mut child = command.spawn().context("starting git http-backend")?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        let mut stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut body = request.into_body();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                if let Ok(data) = frame.into_data()
                    && stdin.write_all(&data).await.is_err()
                {
                    break;
                }
            }
        });

        let mut status = StatusCode::OK;
        let mut headers = HeaderMap::new();
        loop {
            let mut line = String::new();
            if stdout.read_line(&mut line).await? == 0 {
                bail!("git http-backend gave no headers");
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(": ") else {
                continue;
            };
            if name.eq_ignore_ascii_case("status") {
                status = value.split(' ').next().unwrap_or_default().parse()?;
            } else {
                headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
            }
        }
        // The child lives as long as its answer is being read.
        let stream = ReaderStream::with_capacity(stdout, 64 * 1024).map_ok(move |data| {
            let _ = &child;
            Frame::data(data)
        });
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(
            stream.map_err(anyhow::Error::from),
        )));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

async fn git(args: &[impl AsRef<std::ffi::OsStr>]) -> Result<String> {
    let mut command = Command::new("git");
    command
        .args(args)
        .stdin(Stdio::null())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "Rossi")
            .env(format!("GIT_{who}_EMAIL"), "rossi@rossi.example")
            .env(format!("GIT_{who}_DATE"), "2026-11-01T08:00:00Z");
    }
    let out = command.output().await.context("running git")?;
    if !out.status.success() {
        bail!("git: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8(out.stdout)?)
}
