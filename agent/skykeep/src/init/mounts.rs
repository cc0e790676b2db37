//! The kernel's own file systems, and a tidy owner's part.

use nix::mount::{MsFlags, mount};
use std::fs;
use std::path::Path;

/// Mounts everything, in order, and gives back what could not be (said later: there is no console yet).
pub fn mount_all() -> Vec<String> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let bare = quiet | MsFlags::MS_NODEV;
    let list = [
        ("devtmpfs", "/dev", quiet, Some("mode=0755")),
        ("proc", "/proc", bare, None),
        ("sysfs", "/sys", bare, None),
        ("tmpfs", "/run", bare, Some("mode=0755")),
        ("tmpfs", "/tmp", bare, Some("mode=1777")),
        ("securityfs", "/sys/kernel/security", bare, None),
    ];
    let mut troubles = Vec::new();
    for (kind, place, flags, data) in list {
        // The folder may exist already; if it can be neither made nor found, the mount says so.
        let _ = fs::create_dir(place);
        match mount(Some(kind), place, Some(kind), flags, data) {
            // The kernel may have mounted /dev itself.
            Ok(()) | Err(nix::errno::Errno::EBUSY) => {}
            Err(e) => troubles.push(format!("{place} can't be mounted: {e}")),
        }
    }
    attach_console(&mut troubles);
    troubles
}

/// The kernel opened /dev/console before devtmpfs was there, perhaps in vain: open it again as standard input, output and error.
fn attach_console(troubles: &mut Vec<String>) {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/console") {
        Ok(console) => {
            let results = [
                nix::unistd::dup2_stdin(&console),
                nix::unistd::dup2_stdout(&console),
                nix::unistd::dup2_stderr(&console),
            ];
            troubles.extend(
                results
                    .into_iter()
                    .filter_map(Result::err)
                    .map(|e| format!("console: {e}")),
            );
        }
        Err(e) => troubles.push(format!("/dev/console can't be opened: {e}")),
    }
}

/// Takes away from a folder everything that is not a plain file (links, folders, devices). Says what it took.
///
/// The owner's part is given by a boot loader from a stick that anybody may have written on.
pub fn keep_only_plain_files(folder: &Path) -> Vec<String> {
    let mut taken = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let plain = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !plain {
            let path = entry.path();
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let gone = if folder {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            let outcome = gone.map_or_else(|e| format!("can't be taken away: {e}"), |()| "taken away".to_owned());
            taken.push(format!(
                "{} in the owner's part is not a plain file: {outcome}",
                entry.file_name().display()
            ));
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_folders_in_the_owners_part_are_taken_away_and_files_stay() {
        let folder = std::env::temp_dir().join(format!("skykeep-init-{}", std::process::id()));
        fs::create_dir_all(folder.join("deep/er")).expect("folder");
        fs::write(folder.join("castle.yaml"), "x").expect("file");
        std::os::unix::fs::symlink("/etc/passwd", folder.join("vault.skv")).expect("link");
        let taken = keep_only_plain_files(&folder);
        assert_eq!(taken.len(), 2, "{taken:?}");
        let left: Vec<_> = fs::read_dir(&folder)
            .expect("read")
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(left, ["castle.yaml"]);
        assert!(Path::new("/etc/passwd").exists());
        fs::remove_dir_all(&folder).expect("clean up");
    }

    #[test]
    fn no_owners_part_is_nothing_to_tidy() {
        assert!(keep_only_plain_files(Path::new("/nonexistent/skykeep")).is_empty());
    }
}
