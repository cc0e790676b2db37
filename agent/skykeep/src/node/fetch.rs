//! Downloads: the sealed plan, then everything the lock pins, in parallel, checked before it gets its name.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Client, StatusCode, Url};
use sha2::{Digest, Sha256};
use skykeep_cluster::plan::SecretText;
use skykeep_core::{
    Deadline,
    explain::chain,
    http::Trust,
    lock::{Artifact, Unpack},
};
use tokio::{fs, io::AsyncWriteExt, process::Command};

use super::{Say, error::NodeError, files};

/// Where copies lie, by SHA-256 in hex.
pub(super) type Copies = BTreeMap<String, SecretText>;

/// Largest plan we would read.
const MAX_PLAN: u64 = 1024 * 1024;
/// Tries after which an answer like 404 or a wrong hash is believed.
const LASTING_TRIES: u32 = 4;
/// Downloads at a time.
const PARALLEL: usize = 4;
/// The machine's own roots: an owner's or a company's extra CAs are there.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The HTTPS client: public roots and those of the machine.
pub(super) fn client() -> Result<Client, NodeError> {
    let trust = std::fs::read_to_string(SYSTEM_ROOTS).map_or_else(|_| Trust::public(), |pem| with_usable(&pem));
    trust.http(Duration::from_secs(300)).map_err(NodeError::Core)
}

/// One odd certificate in the system's store must not cost us the others.
fn with_usable(pem: &str) -> Trust {
    const END: &str = "-----END CERTIFICATE-----";
    let usable: String = pem
        .split_inclusive(END)
        .filter(|one| one.contains(END) && Trust::with_extra_pem(one.as_bytes()).is_ok())
        .collect::<Vec<_>>()
        .join("\n");
    Trust::with_extra_pem(usable.as_bytes()).unwrap_or_else(|_| Trust::public())
}

fn host(url: &str) -> String {
    Url::parse(url)
        .ok()
        .and_then(|u| u.host_str().map(str::to_owned))
        .unwrap_or_else(|| "an unreadable URL".into())
}

fn failed(what: &str, url: &str, e: &reqwest::Error) -> NodeError {
    // The URL may carry a signature: only its host is shown.
    let status = e.status();
    let transient = status.is_none_or(|s| s.is_server_error() || s == StatusCode::TOO_MANY_REQUESTS);
    let why = status.map_or_else(
        || chain(e).replace(url, "the URL"),
        |s| format!("the server answered {s}"),
    );
    NodeError::Download {
        what: what.to_owned(),
        host: host(url),
        why,
        transient,
    }
}

/// Tries until it works, the deadline passes, or a lasting answer came several times.
async fn patiently<T, F: Future<Output = Result<T, NodeError>>>(
    what: &str,
    deadline: Deadline,
    say: Say,
    mut attempt: impl FnMut() -> F,
) -> Result<T, NodeError> {
    let mut lasting = 0;
    let mut pause = Duration::from_millis(500);
    loop {
        let error = match tokio::time::timeout(deadline.remaining(), attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(e)) => e,
            Err(_) => {
                return Err(NodeError::Late {
                    what: what.to_owned(),
                    limit: deadline.limit(),
                    last: "no end".into(),
                });
            }
        };
        if !skykeep_core::Explain::is_transient(&error) {
            lasting += 1;
        }
        if lasting >= LASTING_TRIES || matches!(error, NodeError::File { .. } | NodeError::Step { .. }) {
            return Err(error);
        }
        say.line(&format!("{error}; again in {} ms", pause.as_millis()));
        if deadline.remaining() <= pause {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(8));
    }
}

/// The sealed plan.
pub(super) async fn plan(client: &Client, url: &str, deadline: Deadline, say: Say) -> Result<Vec<u8>, NodeError> {
    let what = "the sealed plan";
    patiently(what, deadline, say, || async {
        let response = client
            .get(url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        let mut response = response.map_err(|e| failed(what, url, &e))?;
        let mut blob = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(what, url, &e))? {
            blob.extend_from_slice(&chunk);
            if blob.len() as u64 > MAX_PLAN {
                return Err(NodeError::Download {
                    what: what.into(),
                    host: host(url),
                    why: format!("it has more than {MAX_PLAN} bytes"),
                    transient: false,
                });
            }
        }
        Ok(blob)
    })
    .await
}

/// All artifacts, from the copy of each that its own place refuses; `unpacked` remembers which archives are unpacked already.
pub(super) async fn artifacts(
    client: &Client,
    (artifacts, copies): (&[Artifact], &Copies),
    unpacked: &Path,
    deadline: Deadline,
    say: Say,
) -> Result<(), NodeError> {
    stream::iter(artifacts)
        .map(|a| async move {
            patiently(&a.name, deadline, say, || async {
                let refused = match artifact(client, a, &a.url, unpacked).await {
                    Err(error @ (NodeError::Download { .. } | NodeError::Hash { .. })) => error,
                    done => return done,
                };
                let Some(copy) = copies.get(&a.sha256) else {
                    return Err(refused);
                };
                say.line(&format!("{refused}; taking the mirror's copy"));
                artifact(client, a, copy.expose(), unpacked).await
            })
            .await?;
            say.line(&format!("{} is here", a.name));
            Ok(())
        })
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await
}

async fn artifact(client: &Client, artifact: &Artifact, url: &str, unpacked: &Path) -> Result<(), NodeError> {
    let dest = PathBuf::from(&artifact.dest);
    let (folder, there) = match artifact.unpack {
        None => (dest.parent().unwrap_or(Path::new("/")).to_path_buf(), dest.clone()),
        Some(Unpack::TarGz) => (dest.clone(), unpacked.join(&artifact.sha256)),
    };
    let done = match artifact.unpack {
        None => file_hash(&there).await.is_some_and(|hash| hash == artifact.sha256),
        Some(Unpack::TarGz) => there.exists(),
    };
    if done {
        return Ok(());
    }
    fs::create_dir_all(&folder)
        .await
        .map_err(|e| NodeError::file(&folder, e))?;
    let part = folder.join(format!(".skykeep-{}.part", artifact.name));
    let what = Pinned {
        name: &artifact.name,
        url,
        sha256: &artifact.sha256,
        size: artifact.size,
    };
    let result = download(client, &what, &part).await;
    if let Err(e) = result {
        let _ = fs::remove_file(&part).await;
        return Err(e);
    }
    match artifact.unpack {
        None => {
            let mode = files::mode(&artifact.mode)?;
            files::set_mode(&part, mode)?;
            fs::rename(&part, &dest).await.map_err(|e| NodeError::file(&dest, e))
        }
        Some(Unpack::TarGz) => {
            untar(&part, &folder, &artifact.name).await?;
            fs::remove_file(&part).await.map_err(|e| NodeError::file(&part, e))?;
            files::write(&there, 0o644, artifact.name.as_bytes())
        }
    }
}

/// A file by address and hash.
pub(super) struct Pinned<'a> {
    pub name: &'a str,
    pub url: &'a str,
    pub sha256: &'a str,
    pub size: u64,
}

/// Streams into `part`; succeeds only when size and hash are right.
pub(super) async fn download(client: &Client, pinned: &Pinned<'_>, part: &Path) -> Result<(), NodeError> {
    let problem = |e: reqwest::Error| failed(pinned.name, pinned.url, &e);
    let wrong = |got: String| NodeError::Hash {
        what: pinned.name.to_owned(),
        // A copy's query is its signature.
        url: pinned.url.split('?').next().unwrap_or_default().to_owned(),
        wanted: pinned.sha256.to_owned(),
        got,
    };
    let response = client
        .get(pinned.url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status);
    let mut response = response.map_err(problem)?;
    let mut file = fs::File::create(part).await.map_err(|e| NodeError::file(part, e))?;
    let (mut hash, mut size) = (Sha256::new(), 0_u64);
    while let Some(chunk) = response.chunk().await.map_err(problem)? {
        size += chunk.len() as u64;
        if size > pinned.size {
            return Err(wrong(format!("of a file with more than {} bytes", pinned.size)));
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(|e| NodeError::file(part, e))?;
    }
    file.flush().await.map_err(|e| NodeError::file(part, e))?;
    let got = hex::encode(hash.finalize());
    if got == pinned.sha256 { Ok(()) } else { Err(wrong(got)) }
}

async fn file_hash(path: &Path) -> Option<String> {
    use tokio::io::AsyncReadExt;
    let mut file = fs::File::open(path).await.ok()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let n = file.read(&mut buffer).await.ok()?;
        if n == 0 {
            return Some(hex::encode(hash.finalize()));
        }
        hash.update(buffer.get(..n)?);
    }
}

/// Debian's own tar; the archive's hash is right, so its content is what was pinned.
async fn untar(archive: &Path, folder: &Path, name: &str) -> Result<(), NodeError> {
    let problem = |why: String| NodeError::Step {
        title: format!("unpacking {name}"),
        why,
    };
    let output = Command::new("tar")
        .args(["--no-same-owner", "-xzf"])
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .output()
        .await
        .map_err(|e| problem(e.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(problem(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_certificate_does_not_cost_the_others() {
        let good = rcgen_free_ca();
        let bundle = format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{good}");
        assert_eq!(with_usable(&bundle).extra_der().len(), 1);
        assert_eq!(with_usable("").extra_der().len(), 0);
    }

    /// Any CA certificate will do; this one is derived, as a castle's is.
    fn rcgen_free_ca() -> String {
        let derive = |label: &str| skykeep_core::Secret::new(Sha256::digest(label.as_bytes()).to_vec());
        let generation = "01KAS0000000000000000000RS".parse().unwrap();
        skykeep_cluster::Pki::derive("t", &generation, &derive)
            .unwrap()
            .ca
            .certificate
    }
}
