//! The servers that run beside us: each one's pid is recorded before anything else happens, and each is ended by that pid.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tracing::{info, warn};

use crate::ns;

/// Where the record of a run lies: one place per machine, because the namespaces' names are one per machine too.
const RECORD_DIR: &str = "/run/skykeep-lab/world";

/// How long a server may take to end. Nothing is lost by killing it: its data live for one run.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// The children of one world, and the lock that keeps a second world away.
pub struct Children {
    log_dir: PathBuf,
    record: PathBuf,
    running: Mutex<Vec<(String, Child)>>,
    _lock: Flock<File>,
}

impl Children {
    /// Takes the machine-wide lock and ends what a crashed run left behind.
    pub async fn claim(log_dir: &Path) -> Result<Self> {
        fs::create_dir_all(RECORD_DIR).with_context(|| format!("creating {RECORD_DIR}"))?;
        fs::create_dir_all(log_dir)?;
        let path = Path::new(RECORD_DIR).join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(&path)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            anyhow!(
                "another laboratory is running on this machine (pid {}): {error}",
                holder.trim()
            )
        })?;
        lock.set_len(0)?;
        (&*lock).write_all(format!("{}\n", std::process::id()).as_bytes())?;
        let record = Path::new(RECORD_DIR).join("pids");
        end_leftovers(&record).await;
        fs::write(&record, "")?;
        Ok(Self {
            log_dir: log_dir.to_owned(),
            record,
            running: Mutex::default(),
            _lock: lock,
        })
    }

    /// Starts `program` inside the internet; its output goes to `NAME.log`.
    pub fn start(&self, name: &str, program: &Path, args: &[String], env: &[(&str, &str)]) -> Result<()> {
        let log = File::create(self.log_dir.join(format!("{name}.log")))?;
        let child = Command::new("ip")
            .args(["netns", "exec", ns::INET])
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name} ({})", program.display()))?;
        let pid = child.id().with_context(|| format!("{name} ended at once"))?;
        // `ip netns exec` becomes the program, so the pid and its start time stay true.
        let line = format!("{pid} {} {name}\n", start_time(pid).unwrap_or_default());
        OpenOptions::new()
            .append(true)
            .open(&self.record)?
            .write_all(line.as_bytes())?;
        info!(name, pid, "started");
        self.running
            .lock()
            .map_err(|_| anyhow!("poisoned"))?
            .push((name.to_owned(), child));
        Ok(())
    }

    /// The pid of a running child.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.running
            .lock()
            .ok()?
            .iter()
            .find(|(other, _)| other == name)
            .and_then(|(_, child)| child.id())
    }

    /// Fails when a child has ended, with the last lines that it wrote.
    pub fn check(&self) -> Result<()> {
        let mut running = self.running.lock().map_err(|_| anyhow!("poisoned"))?;
        for (name, child) in running.iter_mut() {
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(self.log_dir.join(format!("{name}.log"))).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                bail!(
                    "{name} ended ({status}): {}",
                    tail.into_iter().rev().collect::<Vec<_>>().join(" | ")
                );
            }
        }
        Ok(())
    }

    /// Ends all children, the youngest first, and waits until each is gone.
    pub async fn stop(&self) {
        let all = self
            .running
            .lock()
            .map(|mut running| std::mem::take(&mut *running))
            .unwrap_or_default();
        for (name, child) in &all {
            if let Some(pid) = child.id() {
                info!(name, pid, "ending");
                signal(pid, Signal::SIGTERM);
            }
        }
        for (name, mut child) in all.into_iter().rev() {
            if tokio::time::timeout(STOP_PATIENCE, child.wait()).await.is_err() {
                warn!(name, "did not end in time; killing it");
                let _ = child.kill().await;
            }
        }
        let _ = fs::write(&self.record, "");
    }
}

async fn end_leftovers(record: &Path) {
    let old: Vec<(u32, u64, String)> = fs::read_to_string(record)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((
                words.next()?.parse().ok()?,
                words.next()?.parse().ok()?,
                words.next()?.to_owned(),
            ))
        })
        .collect();
    for (pid, started, name) in old {
        // The same number with another start time is somebody else's process.
        if start_time(pid) != Some(started) {
            continue;
        }
        warn!(name, pid, "ending a leftover of a crashed run");
        signal(pid, Signal::SIGKILL);
        for _ in 0..50 {
            if start_time(pid) != Some(started) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let Ok(number) = i32::try_from(pid) else { return };
    match kill(Pid::from_raw(number), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => warn!(pid, %error, "could not signal"),
    }
}

/// When the process started, in ticks since boot: with the pid it names a process for ever.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, so count the fields after its end; the start time is the 22nd of all.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}
