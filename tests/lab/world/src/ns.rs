//! The namespaces of the laboratory's internet: `sk-inet` with its bridge, and two hosts plugged into it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};
use tokio::process::Command;

/// The namespace that is the internet.
pub const INET: &str = "sk-inet";
/// The namespace of an ordinary visitor.
pub const VISITOR: &str = "sk-visitor";
/// The namespace of a foreign Linux host on which `skykeep` runs as a command.
pub const HOST: &str = "sk-host";
/// Address of the HTTPS front.
pub const FRONT: &str = "203.0.113.10";
/// Address of the recursive resolver.
pub const RESOLVER: &str = "203.0.113.53";
/// Address of the authoritative name server.
pub const AUTHORITY: &str = "203.0.113.54";
/// Well-known public resolvers; the same unbound answers there, so that "ask a public resolver" can be rehearsed.
pub const PUBLIC_RESOLVERS: [&str; 3] = ["1.1.1.1", "8.8.8.8", "9.9.9.9"];

const GATEWAY: &str = "203.0.113.1";
const HOSTS: [(&str, &str); 2] = [(VISITOR, "203.0.113.90"), (HOST, "203.0.113.91")];

/// Where we note that the namespace of this name is our own work.
const MARK: &str = "/run/skykeep-lab/world/namespace";

/// Makes the namespaces afresh; what an earlier run of ours left is removed first, another's internet never.
pub async fn create() -> Result<()> {
    if let Some(there) = identity() {
        if fs::read_to_string(MARK).unwrap_or_default() != there {
            bail!(
                "a network namespace {INET} exists that is not of our making: somebody else uses this name on this machine. \
                 End that, or remove it (ip netns del {INET}), or run beside it with tests/lab/world/alone"
            );
        }
        destroy().await;
    }
    ip(&["netns", "add", INET]).await?;
    fs::write(MARK, identity().unwrap_or_default()).with_context(|| format!("writing {MARK}"))?;
    ip_in(INET, &["link", "set", "lo", "up"]).await?;
    ip_in(
        INET,
        &[
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "stp_state",
            "0",
            "forward_delay",
            "0",
        ],
    )
    .await?;
    // An address of its own: otherwise the bridge takes its lowest port's, and neighbours lose it when that port goes.
    ip_in(INET, &["link", "set", "br0", "address", "02:53:4b:00:00:01"]).await?;
    ip_in(INET, &["addr", "add", &format!("{GATEWAY}/24"), "dev", "br0"]).await?;
    for address in [FRONT, RESOLVER, AUTHORITY] {
        ip_in(INET, &["addr", "add", &format!("{address}/24"), "dev", "br0"]).await?;
    }
    for address in PUBLIC_RESOLVERS {
        ip_in(INET, &["addr", "add", &format!("{address}/32"), "dev", "br0"]).await?;
    }
    ip_in(INET, &["link", "set", "br0", "up"]).await?;
    resolv_conf(INET)?;
    for (name, address) in HOSTS {
        let port = format!("p-{}", name.trim_start_matches("sk-"));
        ip(&["netns", "add", name]).await?;
        ip_in(name, &["link", "set", "lo", "up"]).await?;
        ip_in(
            INET,
            &[
                "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", name,
            ],
        )
        .await?;
        ip_in(INET, &["link", "set", &port, "master", "br0", "up"]).await?;
        ip_in(name, &["addr", "add", &format!("{address}/24"), "dev", "eth0"]).await?;
        ip_in(name, &["link", "set", "eth0", "up"]).await?;
        ip_in(name, &["route", "add", "default", "via", GATEWAY]).await?;
        resolv_conf(name)?;
    }
    Ok(())
}

/// What tells this `sk-inet` from any other of the same name.
fn identity() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(Path::new("/run/netns").join(INET)).ok()?;
    Some(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// Removes our namespaces and their resolver files. Never fails: what is not there needs no removing.
pub async fn destroy() {
    if identity().is_none_or(|there| fs::read_to_string(MARK).unwrap_or_default() != there) {
        return;
    }
    for (name, _) in HOSTS {
        // A namespace goes away asynchronously: the cable must go first, or the next start finds it still plugged in.
        let port = format!("p-{}", name.trim_start_matches("sk-"));
        let _ = ip_in(INET, &["link", "del", &port]).await;
        let _ = ip(&["netns", "del", name]).await;
        let _ = fs::remove_dir_all(format!("/etc/netns/{name}"));
    }
    let _ = ip_in(INET, &["link", "del", "br0"]).await;
    let _ = ip(&["netns", "del", INET]).await;
    let _ = fs::remove_dir_all(format!("/etc/netns/{INET}"));
    let _ = fs::remove_dir("/etc/netns");
}

fn resolv_conf(name: &str) -> Result<()> {
    let dir = format!("/etc/netns/{name}");
    fs::create_dir_all(&dir).with_context(|| format!("creating {dir}"))?;
    fs::write(
        format!("{dir}/resolv.conf"),
        format!("nameserver {RESOLVER}\noptions timeout:2 attempts:2\n"),
    )?;
    Ok(())
}

async fn ip_in(namespace: &str, args: &[&str]) -> Result<()> {
    let mut all = vec!["-n", namespace];
    all.extend_from_slice(args);
    ip(&all).await
}

async fn ip(args: &[&str]) -> Result<()> {
    let out = Command::new("ip")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .await
        .context("running ip")?;
    if !out.status.success() {
        bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

/// Runs `work` on a thread of its own that has entered `namespace`. A socket keeps the namespace it was made in, so the caller may
/// use the result anywhere.
pub fn within<T: Send + 'static>(namespace: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let path = Path::new("/run/netns").join(namespace);
    let handle = std::thread::Builder::new()
        .name(format!("in-{namespace}"))
        .spawn(move || {
            let file = fs::File::open(&path).with_context(|| format!("opening {}", path.display()))?;
            setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {}", path.display()))?;
            work()
        })?;
    handle.join().map_err(|_| anyhow!("a thread in {namespace} panicked"))?
}

/// A TCP listener inside the internet, ready for the caller's tokio runtime.
pub fn listen(address: SocketAddr) -> Result<tokio::net::TcpListener> {
    let listener = within(INET, move || {
        let listener =
            std::net::TcpListener::bind(address).with_context(|| format!("listening on {address} in {INET}"))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })?;
    Ok(tokio::net::TcpListener::from_std(listener)?)
}

/// Connects to a server inside the internet (the loopback of `sk-inet` included).
pub async fn connect(address: SocketAddr) -> Result<tokio::net::TcpStream> {
    let stream = tokio::task::spawn_blocking(move || {
        within(INET, move || {
            let stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    })
    .await??;
    Ok(tokio::net::TcpStream::from_std(stream)?)
}

/// Waits until something accepts at `address` inside the internet.
pub async fn wait_for_port(what: &str, address: SocketAddr, limit: Duration) -> Result<()> {
    let end = tokio::time::Instant::now() + limit;
    loop {
        match connect(address).await {
            Ok(_) => return Ok(()),
            Err(error) if tokio::time::Instant::now() > end => {
                return Err(error.context(format!("{what} did not open {address} within {} s", limit.as_secs())));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// `address:port`, for constants of this crate.
pub(crate) fn at(address: &str, port: u16) -> Result<SocketAddr> {
    Ok(SocketAddr::new(
        address
            .parse::<IpAddr>()
            .with_context(|| format!("{address} is no address"))?,
        port,
    ))
}
