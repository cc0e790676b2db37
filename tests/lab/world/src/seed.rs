//! What the castle left behind when it burnt: its buckets, its backup, its secrets.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::process::Command;

use crate::ca::Ca;
use crate::credentials::Credentials;
use crate::ns;
use crate::servers::run;

/// Bucket of the lease and the journal.
pub const STATE_BUCKET: &str = "rossi-skykeep";
/// Bucket of the backups.
pub const BACKUP_BUCKET: &str = "rossi-backups";
/// Region of both.
pub const REGION: &str = "eu-central-1";
/// The site's name.
pub const SITE_HOST: &str = "blog.rossi.example";

/// How long SeaweedFS may take until it serves; seconds on a quiet machine.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// What lies in the backup.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The snapshot's identifier, as restic prints it (its first eight digits).
    pub snapshot: String,
    /// SHA-256 of the site's first page, in hexadecimal.
    pub index_sha256: String,
}

/// The secrets that Infisical holds.
pub fn secrets(credentials: &Credentials, ca: &Ca) -> Result<BTreeMap<String, String>> {
    let tls = ca.issue_chain(SITE_HOST)?;
    let pairs = [
        ("AWS_ACCESS_KEY_ID", credentials.aws_access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", credentials.aws_secret_access_key.clone()),
        ("PULSE_ACCESS_KEY_ID", credentials.pulse_access_key_id.clone()),
        ("PULSE_SECRET_ACCESS_KEY", credentials.pulse_secret_access_key.clone()),
        ("GITHUB_TOKEN", credentials.github_token.clone()),
        ("CLOUDFLARE_API_TOKEN", credentials.cloudflare_token.clone()),
        ("CLOUDFLARE_KEYS_TOKEN", credentials.cloudflare_keys_token.clone()),
        ("KEYS_ACCESS_KEY_ID", credentials.keys_access_key_id.clone()),
        ("KEYS_SECRET_ACCESS_KEY", credentials.keys_secret_access_key.clone()),
        ("HCLOUD_TOKEN", credentials.hcloud_token.clone()),
        ("RESTIC_PASSWORD", credentials.restic_password.clone()),
        ("SHOP_DATABASE_PASSWORD", credentials.database_password.clone()),
        ("BLOG_TLS_CRT", tls.chain_pem),
        ("BLOG_TLS_KEY", tls.key_pem),
    ];
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

/// Makes the buckets, through the front, as an owner would: curl signs the requests itself.
pub async fn buckets(ca_pem: &Path, credentials: &Credentials) -> Result<()> {
    for bucket in [STATE_BUCKET, BACKUP_BUCKET] {
        // 409: an attempt whose answer said otherwise had made it after all.
        signed(ca_pem, credentials, &["-X", "PUT"], bucket, &[200, 409]).await?;
        // SeaweedFS takes buckets seconds before it can take objects, so it is ready when one has been written and removed.
        let probe = format!("{bucket}/ready");
        // This curl signs a body's hash wrongly for S3, so the body is declared unsigned.
        let unsigned = "x-amz-content-sha256: UNSIGNED-PAYLOAD";
        let put = [
            "-X",
            "PUT",
            "-H",
            unsigned,
            "-H",
            "Content-Type: text/plain",
            "--data-binary",
            "ready",
        ];
        signed(ca_pem, credentials, &put, &probe, &[200]).await?;
        signed(ca_pem, credentials, &["-X", "DELETE"], &probe, &[204]).await?;
    }
    Ok(())
}

/// Puts a backup that Longhorn's own library made into the bucket, as it lies in a folder.
pub async fn longhorn(store: &Path, ca_pem: &Path, credentials: &Credentials) -> Result<()> {
    let mut folders = vec![store.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let key = path.strip_prefix(store)?.display().to_string();
            let body = format!("@{}", path.display());
            let unsigned = "x-amz-content-sha256: UNSIGNED-PAYLOAD";
            let put = ["-X", "PUT", "-H", unsigned, "--data-binary", &body];
            signed(
                ca_pem,
                credentials,
                &put,
                &format!("{BACKUP_BUCKET}/longhorn/{key}"),
                &[200],
            )
            .await?;
        }
    }
    Ok(())
}

/// A signed request to S3, repeated until its status is one of `wanted`.
async fn signed(ca_pem: &Path, credentials: &Credentials, what: &[&str], path: &str, wanted: &[u16]) -> Result<()> {
    let end = tokio::time::Instant::now() + READY_WITHIN;
    loop {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", ns::HOST, "curl", "-sS", "--max-time", "10", "--cacert"])
            .arg(ca_pem);
        command.args([
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--aws-sigv4",
            &format!("aws:amz:{REGION}:s3"),
        ]);
        command.args([
            "--user",
            &format!(
                "{}:{}",
                credentials.aws_access_key_id, credentials.aws_secret_access_key
            ),
        ]);
        command
            .args(what)
            .arg(format!("https://s3.{REGION}.amazonaws.com/{path}"));
        let status = run(&mut command).await;
        if let Ok(status) = &status
            && status.trim().parse().is_ok_and(|status: u16| wanted.contains(&status))
        {
            return Ok(());
        }
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "S3 at {path} was not ready within {} s: {:?}",
            READY_WITHIN.as_secs(),
            status.map_err(|error| error.to_string())
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[derive(Deserialize)]
struct Summary {
    snapshot_id: String,
}

/// Writes the site with `generator` and backs it up as `/srv/site` with the real restic.
pub async fn backup(
    generator: &Path,
    dir: &Path,
    cache: &Path,
    ca_pem: &Path,
    credentials: &Credentials,
) -> Result<Backup> {
    let site = dir.join("site");
    if site.exists() {
        std::fs::remove_dir_all(&site)?;
    }
    let said = run(Command::new("python3").arg(generator).arg(&site))
        .await
        .context("writing the example site")?;
    let index_sha256 = said.trim().to_owned();
    anyhow::ensure!(
        index_sha256.len() == 64,
        "the site's generator printed no SHA-256: {said:?}"
    );
    // The mount lives only in the namespace that `ip netns exec` makes: the machine's own /srv is not touched.
    let script = "mount -t tmpfs -o mode=755 none /srv && mkdir /srv/site && mount --bind \"$1\" /srv/site && \
                  restic --cacert \"$2\" -q init && restic --cacert \"$2\" backup --json --host castle --time '2026-11-20 03:00:00' /srv/site";
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", ns::HOST, "sh", "-ec", script, "sh"])
        .arg(&site)
        .arg(ca_pem)
        .env(
            "RESTIC_REPOSITORY",
            format!("s3:https://s3.{REGION}.amazonaws.com/{BACKUP_BUCKET}/restic"),
        )
        .env("RESTIC_PASSWORD", &credentials.restic_password)
        .env("RESTIC_CACHE_DIR", dir.join("restic-cache"))
        .env("AWS_ACCESS_KEY_ID", &credentials.aws_access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &credentials.aws_secret_access_key)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("TMPDIR", cache);
    let said = run(&mut command).await.context("backing up the example site")?;
    let last = said
        .lines()
        .rev()
        .find(|line| line.contains("\"summary\""))
        .context("restic gave no summary")?;
    let summary: Summary = serde_json::from_str(last)?;
    Ok(Backup {
        snapshot: summary.snapshot_id,
        index_sha256,
    })
}
