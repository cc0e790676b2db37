//! One cgroup per instance in every hierarchy, so that each kubelet has its own root and so that we can tell when a node is
//! really dead: systemd-nspawn itself may be gone long before its container is.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const ROOT: &str = "/sys/fs/cgroup";
const OURS: &str = "skylab";

/// Every hierarchy: one on a cgroup v2 host, each controller's on v1.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    entries
        .flatten()
        // Links such as cpu -> cpu,cpuacct name the same hierarchy twice.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect()
}

/// Makes an instance's cgroups and returns the files into which its first process writes itself.
pub fn create(id: &str) -> Result<Vec<PathBuf>> {
    let mut doors = Vec::new();
    for hierarchy in hierarchies() {
        let parent = hierarchy.join(OURS);
        let leaf = parent.join(id);
        fs::create_dir_all(&parent)?;
        if hierarchy == Path::new(ROOT) {
            for level in [&hierarchy, &parent] {
                for controller in ["cpu", "cpuset", "io", "memory", "pids"] {
                    let _ = fs::write(level.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
        }
        inherit_cpuset(&hierarchy, &parent);
        fs::create_dir_all(&leaf).with_context(|| format!("making {}", leaf.display()))?;
        inherit_cpuset(&parent, &leaf);
        doors.push(leaf.join("cgroup.procs"));
    }
    Ok(doors)
}

/// A v1 cpuset is born empty and lets no process in until it is filled.
fn inherit_cpuset(from: &Path, to: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let (Ok(wanted), Ok(now)) = (fs::read_to_string(from.join(file)), fs::read_to_string(to.join(file)))
            && now.trim().is_empty()
        {
            let _ = fs::write(to.join(file), wanted.trim());
        }
    }
}

fn folders_below(path: &Path, found: &mut Vec<PathBuf>) {
    if let Ok(entries) = fs::read_dir(path) {
        for entry in entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        {
            folders_below(&entry.path(), found);
        }
        found.push(path.to_owned());
    }
}

/// An instance's cgroup folders, children before parents.
fn folders(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        folders_below(&hierarchy.join(OURS).join(id), &mut found);
    }
    found
}

/// Every process of an instance.
pub fn processes(id: &str) -> Vec<i32> {
    let mut pids: Vec<i32> = folders(id)
        .iter()
        .filter_map(|folder| fs::read_to_string(folder.join("cgroup.procs")).ok())
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
        .filter(|pid| *pid > 0)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// A process's numbers in every PID namespace that sees it, ours first.
fn namespace_pids(pid: &str) -> Vec<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .unwrap_or_default();
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// The container's own PID 1, as the host sees it.
pub fn leader(id: &str) -> Option<i32> {
    let depth = namespace_pids("self").len() + 1;
    processes(id).into_iter().find(|pid| {
        let pids = namespace_pids(&pid.to_string());
        pids.len() == depth && pids.last() == Some(&1)
    })
}

/// Kills an instance and waits until nothing of it runs, then removes its cgroups.
pub fn destroy(id: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    // The death of PID 1 takes its whole namespace along.
    if let Some(leader) = leader(id) {
        let _ = kill(Pid::from_raw(leader), Signal::SIGKILL);
    }
    loop {
        let left = processes(id);
        if left.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            bail!("processes of {id} that do not die: {left:?}");
        }
        thread::sleep(Duration::from_millis(50));
        if leader(id).is_none() {
            for pid in processes(id) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
    while !folders(id).is_empty() {
        for folder in folders(id) {
            let _ = fs::remove_dir(folder);
        }
        if Instant::now() > deadline {
            bail!("cgroups of {id} that do not go: {:?}", folders(id));
        }
        thread::sleep(Duration::from_millis(20));
    }
    remove_parents();
    Ok(())
}

/// The folder above all instances goes with the last of them.
fn remove_parents() {
    for hierarchy in hierarchies() {
        let _ = fs::remove_dir(hierarchy.join(OURS));
    }
}

/// Every instance that has a cgroup.
pub fn instances() -> Vec<String> {
    let mut names: Vec<String> = hierarchies()
        .iter()
        .filter_map(|hierarchy| fs::read_dir(hierarchy.join(OURS)).ok())
        .flat_map(|entries| entries.flatten().collect::<Vec<_>>())
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}
