//! An ordinary visitor of the castle's site: knows its name and trusts the CA, nothing else.

use std::path::Path;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::ns;
use crate::servers::run;

/// What the visitor got.
#[derive(Clone, Debug)]
pub struct Visit {
    /// HTTP status.
    pub status: u16,
    /// The address that the name led to.
    pub address: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Fetches `url` with curl from the visitor's own namespace; TLS is verified against `ca_pem` alone.
pub async fn get(url: &str, ca_pem: &Path, dir: &Path) -> Result<Visit> {
    let file = dir.join(format!("visit-{}", crate::http::random_hex(6)));
    let mut command = Command::new("ip");
    command
        .args([
            "netns",
            "exec",
            ns::VISITOR,
            "curl",
            "-sS",
            "--max-time",
            "20",
            "--cacert",
        ])
        .arg(ca_pem);
    command
        .arg("-o")
        .arg(&file)
        .args(["-w", "%{http_code} %{remote_ip}", url]);
    let said = run(&mut command)
        .await
        .with_context(|| format!("a visitor's GET of {url}"));
    let body = std::fs::read(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    let said = said?;
    let (status, address) = said.trim().split_once(' ').context("curl said nothing")?;
    Ok(Visit {
        status: status.parse()?,
        address: address.to_owned(),
        body,
    })
}
