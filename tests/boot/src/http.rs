//! What a network needs to start machines by HTTP: a server for the folder, and UEFI variables with its address.

use anyhow::{Context, Result, bail};
use lab_laptop::run;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Python's own server for a folder; ended when dropped.
pub struct Server {
    child: Child,
    /// Its port on this machine; the laptop reaches it at 10.0.2.2.
    pub port: u16,
}

impl Server {
    /// Starts it and waits until it answers.
    pub fn start(folder: &Path) -> Result<Self> {
        // A port that is free now. Nobody else on this machine takes one at random in the blink between.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("python3")
            .args([
                "-m",
                "http.server",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--directory",
            ])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("python3 -m http.server")?;
        let server = Server { child, port };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                bail!("the HTTP server does not answer on port {port} within 20 s");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A copy of `from` that starts `url` next. `tool` is virt-fw-vars: DHCP of QEMU cannot name a URL, so the address stands in the firmware, as where
/// a person typed it into the firmware's menu.
pub fn variables(tool: &Path, from: &Path, url: &str, out: &Path) -> Result<PathBuf> {
    run(Command::new(tool)
        .arg("--input")
        .arg(from)
        .arg("--output")
        .arg(out)
        .args(["--set-boot-uri", url]))?;
    Ok(out.to_owned())
}
