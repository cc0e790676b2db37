//! Running the host's own tools, inside a network namespace or not.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

/// Runs a command line split at spaces; an error carries what the tool said.
pub fn run(line: &str) -> Result<String> {
    run_args(&line.split_whitespace().collect::<Vec<_>>(), None)
}

/// Runs a command, gives it `input`, returns what it printed.
pub fn run_args(args: &[&str], input: Option<&str>) -> Result<String> {
    let (program, rest) = args.split_first().context("an empty command")?;
    let mut child = Command::new(program)
        .args(rest)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(text.as_bytes())
            .with_context(|| format!("writing to {program}"))?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs many `ip` commands in one process.
pub fn ip_batch(netns: &str, lines: &[String]) -> Result<()> {
    let text = lines.join("\n") + "\n";
    run_args(&["ip", "-n", netns, "-batch", "-"], Some(&text))
        .with_context(|| format!("configuring {netns}:\n{text}"))?;
    Ok(())
}

/// Moves the calling thread into a network namespace, for good.
pub fn enter_netns(netns: &str) -> Result<()> {
    let handle = File::open(format!("/run/netns/{netns}")).with_context(|| format!("opening the namespace {netns}"))?;
    setns(handle, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering the namespace {netns}"))?;
    Ok(())
}

/// Runs a closure on a thread inside a network namespace.
pub fn in_netns<T: Send + 'static>(netns: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let netns = netns.to_owned();
    thread::spawn(move || {
        enter_netns(&netns)?;
        work()
    })
    .join()
    .map_err(|_| anyhow!("a thread inside a namespace died"))?
}

/// Hands on every connection until the listener is shut down (which makes accept fail with EINVAL).
pub fn accept_until_shut(listener: &TcpListener, handle: impl Fn(TcpStream)) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => handle(stream),
            Err(error) if error.kind() == ErrorKind::InvalidInput => return,
            // A connection that broke before it was taken, or no descriptors for a moment.
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Whether a named network namespace exists.
pub fn netns_exists(netns: &str) -> bool {
    std::path::Path::new("/run/netns").join(netns).exists()
}

/// Every named network namespace.
pub fn netns_list() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
