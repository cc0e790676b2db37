//! What lives on this host because of us, and which process answers for it: several laboratories may run side by side, and a
//! crashed one must be cleaned up by the next without harming the living.

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const ROOT: &str = "/run/skylab";

/// Kinds of things that are registered, one folder each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Instances; the note is the hypervisor's work folder.
    Instance,
    /// Networks; the note is the router's own address.
    Vpc,
    /// Router addresses taken; the note is empty.
    Uplink,
    /// Work folders, by process and name; the note is the path.
    Work,
}

impl Kind {
    fn folder(self) -> PathBuf {
        Path::new(ROOT).join(match self {
            Self::Instance => "instance",
            Self::Vpc => "vpc",
            Self::Uplink => "uplink",
            Self::Work => "work",
        })
    }
}

/// One registered thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The process that made it: pid and start time, so that a reused pid is not mistaken for it.
    pub owner: String,
    /// What its kind says.
    pub note: String,
}

/// Takes a name, or fails because it is taken.
pub fn claim(kind: Kind, name: &str, note: &str) -> Result<()> {
    if !try_claim(kind, name, note)? {
        bail!("{name} exists already on this host");
    }
    Ok(())
}

fn try_claim(kind: Kind, name: &str, note: &str) -> Result<bool> {
    fs::create_dir_all(kind.folder())?;
    let path = kind.folder().join(name);
    // A name appears with its whole content or not at all.
    let draft = kind.folder().join(format!(".{name}.{}", std::process::id()));
    fs::write(&draft, format!("{}\n{note}\n", identity(std::process::id())))?;
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("writing {}", path.display())),
    }
}

/// Takes the first free router address of a range.
pub fn claim_uplink((first, last): (Ipv4Addr, Ipv4Addr)) -> Result<Ipv4Addr> {
    for address in u32::from(first)..=u32::from(last) {
        let address = Ipv4Addr::from(address);
        if try_claim(Kind::Uplink, &address.to_string(), "")? {
            return Ok(address);
        }
    }
    bail!("no free router address between {first} and {last}");
}

/// Gives a name back.
pub fn release(kind: Kind, name: &str) {
    let _ = fs::remove_file(kind.folder().join(name));
}

/// Everything of a kind.
pub fn entries(kind: Kind) -> Vec<Entry> {
    let Ok(files) = fs::read_dir(kind.folder()) else {
        return Vec::new();
    };
    files
        .flatten()
        .filter_map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            let text = fs::read_to_string(file.path()).ok()?;
            let mut lines = text.lines();
            let owner = lines.next()?.to_owned();
            (!name.starts_with('.')).then(|| Entry {
                name,
                owner,
                note: lines.next().unwrap_or_default().to_owned(),
            })
        })
        .collect()
}

/// Whether the process that made an entry still runs.
pub fn owner_lives(entry: &Entry) -> bool {
    entry
        .owner
        .split_once(' ')
        .and_then(|(pid, _)| pid.parse().ok())
        .is_some_and(|pid: u32| !entry.owner.ends_with("gone") && identity(pid) == entry.owner)
}

/// "pid starttime"; "gone" instead of the time for a process that is none any more, a zombie included.
fn identity(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command's name may hold spaces and parentheses. After it: the state, and nineteen fields on the start time.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    match (fields.first(), fields.get(19)) {
        (Some(state), Some(start)) if !["Z", "X"].contains(state) => format!("{pid} {start}"),
        _ => format!("{pid} gone"),
    }
}

const INOTIFY: &str = "/proc/sys/fs/inotify/max_user_instances";

/// Five kubelets need more inotify instances than Debian gives one user; the old value is kept to be put back.
pub fn raise_inotify() -> Result<()> {
    fs::create_dir_all(ROOT)?;
    let current: u64 = fs::read_to_string(INOTIFY)?.trim().parse()?;
    if current < 8192 {
        fs::write(Path::new(ROOT).join("inotify"), current.to_string())?;
        fs::write(INOTIFY, "8192").context("raising fs.inotify.max_user_instances")?;
    }
    Ok(())
}

/// Puts the inotify limit back when no instance of anybody is left.
pub fn restore_inotify() {
    let kept = Path::new(ROOT).join("inotify");
    if !entries(Kind::Instance).is_empty() {
        return;
    }
    if let Ok(value) = fs::read_to_string(&kept)
        && fs::write(INOTIFY, value).is_ok()
    {
        let _ = fs::remove_file(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_a_reused_pid_does_not() {
        let mut entry = Entry {
            name: "x".into(),
            owner: identity(std::process::id()),
            note: String::new(),
        };
        assert!(owner_lives(&entry));
        entry.owner = format!("{} 1", std::process::id());
        assert!(!owner_lives(&entry));
        entry.owner = "4194305 99".into();
        assert!(!owner_lives(&entry));
    }

    #[test]
    fn a_zombie_does_not_live() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let entry = Entry {
            name: "x".into(),
            owner: identity(child.id()),
            note: String::new(),
        };
        assert!(owner_lives(&entry));
        child.kill().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!owner_lives(&entry));
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_never_was_does_not_live() {
        let entry = Entry {
            name: "x".into(),
            owner: identity(4_194_305),
            note: String::new(),
        };
        // Both sides say "gone", which must not count as the same living process.
        assert!(!owner_lives(&entry));
    }
}
