//! Working on somebody's running system: what can be closed there is closed, and what can't is said before the passphrase.

use std::{io, path::Path};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::prctl,
    unistd::{Gid, Uid},
};
use skykeep_sys::LockedBuf;

/// Where temporary files go: in memory on every system, and then replaced by a place of our own.
const SCRATCH: &str = "/dev/shm";

/// What this system lets us protect.
pub struct Host {
    /// Why files could not be closed against changes, if they could not.
    open: Option<String>,
    secrets: Memory,
    /// All memory of this process stays in RAM.
    locked: bool,
    /// Swap is on.
    swap: bool,
    /// This system may hibernate.
    hibernates: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Hidden,
    Locked,
    Ordinary,
}

/// Closes what can be closed. Before any thread is made: a namespace of users is entered alone.
pub fn enter() -> Host {
    // Before the namespaces: the right to lock without limit is lost in them.
    let locked = skykeep_sys::keep_memory_in_ram().unwrap_or(false);
    let open = close_files().err().map(|e| e.to_string());
    let probe = LockedBuf::with_len(1);
    Host {
        open,
        secrets: match (probe.hidden_from_kernel(), probe.locked()) {
            (true, _) => Memory::Hidden,
            (_, true) => Memory::Locked,
            _ => Memory::Ordinary,
        },
        locked,
        swap: lines("/proc/swaps") > 1,
        hibernates: std::fs::read_to_string("/sys/power/state").is_ok_and(|s| s.contains("disk")),
    }
}

fn lines(path: impl AsRef<Path>) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// A view of the file systems in which nothing can be changed, and temporary files are in memory and nobody else's.
fn close_files() -> io::Result<()> {
    let (user, group) = (Uid::current(), Gid::current());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC)?;
    // The files of a process that can't be dumped are root's. There is no secret in it yet.
    prctl::set_dumpable(true)?;
    let mapped = map_to_itself("uid", &user)
        .and_then(|()| std::fs::write("/proc/self/setgroups", "deny"))
        .and_then(|()| map_to_itself("gid", &group));
    prctl::set_dumpable(false)?;
    mapped?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    skykeep_sys::make_mounts_read_only()?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(
        Some("skykeep"),
        SCRATCH,
        Some("tmpfs"),
        flags,
        Some("size=512m,mode=0700"),
    )?;
    Ok(())
}

fn map_to_itself(which: &str, id: &impl std::fmt::Display) -> io::Result<()> {
    std::fs::write(format!("/proc/self/{which}_map"), format!("{id} {id} 1"))
}

impl Host {
    /// What is promised here, and what is not, for the person who is about to type the passphrase.
    pub fn text(&self) -> String {
        let mut less = vec![
            "whoever is root here, or was, can read this program's memory and what is typed".to_owned(),
            "this system's keyboard, screen and kernel are trusted as they are".to_owned(),
            "its clock, DNS and network settings are used as they are".to_owned(),
        ];
        let mut kept = Vec::new();
        match &self.open {
            None => kept.push("no file of this system can be changed by it: it sees all of them read-only"),
            Some(why) => less.push(format!(
                "its files are not closed against changes (no namespaces for this user: {why}); the repository is unpacked \
                 into a temporary folder and deleted, secrets are written nowhere"
            )),
        }
        match self.secrets {
            Memory::Hidden => kept.push("each secret lies in memory that this system's kernel itself does not map"),
            Memory::Locked => {
                less.push("secrets are locked in memory, but this kernel can read them (no memfd_secret)".into())
            }
            Memory::Ordinary => less.push("secrets lie in ordinary memory: this user may lock none".into()),
        }
        let swap = if self.swap {
            "is on"
        } else {
            "is off, but may be switched on"
        };
        match (self.locked, self.secrets) {
            (true, _) => kept.push("none of its memory is written to swap"),
            (false, Memory::Ordinary) => less.push(format!("secrets may be written to swap, which {swap}")),
            (false, _) => less.push(format!(
                "copies of secrets that requests work with may be written to swap, which {swap}; \
                 the passphrase, the vault's key and the castle's root are not"
            )),
        }
        if self.hibernates {
            less.push("hibernation would write all memory to a disk: don't close the lid".into());
        }
        less.push("nothing is wiped but this program's own memory when it ends".into());
        let list = |lines: &[String]| lines.iter().map(|l| format!("\n  - {l};")).collect::<String>();
        let kept: Vec<String> = kept.into_iter().map(str::to_owned).collect();
        let mut text = format!(
            "On this computer Skykeep protects your secrets less than the image does:{}",
            list(&less)
        );
        if !kept.is_empty() {
            text.push_str(&format!("\nWhat it does protect:{}", list(&kept)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_protected_is_listed_and_what_is_too() {
        let good = Host {
            open: None,
            secrets: Memory::Hidden,
            locked: true,
            swap: false,
            hibernates: false,
        };
        let bad = Host {
            open: Some("Operation not permitted".into()),
            secrets: Memory::Ordinary,
            locked: false,
            swap: true,
            hibernates: true,
        };
        let middle = Host {
            secrets: Memory::Locked,
            locked: false,
            open: None,
            ..good
        };
        insta::assert_snapshot!([&good, &middle, &bad].map(Host::text).join("\n\n"));
    }
}
