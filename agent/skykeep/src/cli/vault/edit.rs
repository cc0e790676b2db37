//! `vault edit`: an editor on a file that lies in memory only.

use std::{
    ffi::OsString,
    fs::Permissions,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::statfs::{self, TMPFS_MAGIC};
use skykeep_core::{Explained, Secret, Trouble};
use zeroize::Zeroizing;

use super::{
    EntryPlace,
    entries::{about, no_entry},
    file::{self, Change},
};

/// `vault edit`
pub async fn run(place: &EntryPlace) -> Result<(), Trouble> {
    // Before the passphrase: nothing may be typed in vain.
    let memory = memory_folder()?;
    let editor = editor()?;
    let mut change = Change::begin(&place.file).await?;
    let before = change.vault.get(&place.path).ok_or_else(|| no_entry(&place.path))?;
    let after = edit(&memory, &editor, before)?;
    if after.expose() == before.expose() {
        eprintln!("Nothing was changed.");
        return Ok(());
    }
    let (note, expires) = about(&change.vault, &place.path);
    change.vault.put(&place.path, after, &note, expires)?;
    change.finish()
}

fn refused(why: &str) -> Explained {
    Explained {
        what: "The entry was not opened for editing".into(),
        why: why.into(),
        remedy: "Give the new value to `skykeep vault put` on standard input instead; it is never in a file.".into(),
    }
}

/// A folder whose files are never on a disk: tmpfs, and no swap that its pages could go to.
fn memory_folder() -> Result<PathBuf, Explained> {
    let swaps = std::fs::read_to_string("/proc/swaps").map_err(|e| refused(&format!("/proc/swaps: {e}")))?;
    if swaps.lines().count() > 1 {
        return Err(refused("this system has swap, so memory may be written to its disk"));
    }
    let candidates = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = candidates.into_iter().chain([PathBuf::from("/dev/shm")]);
    let is_tmpfs = |p: &PathBuf| statfs::statfs(p).is_ok_and(|fs| fs.filesystem_type() == TMPFS_MAGIC);
    candidates
        .into_iter()
        .find(is_tmpfs)
        .ok_or_else(|| refused("neither $XDG_RUNTIME_DIR nor /dev/shm lies in memory (tmpfs) here"))
}

fn editor() -> Result<OsString, Explained> {
    ["VISUAL", "EDITOR"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|name| !name.is_empty())
        .ok_or_else(|| refused("neither $VISUAL nor $EDITOR names an editor"))
}

fn edit(memory: &Path, editor: &OsString, before: &Secret) -> Result<Secret, Trouble> {
    let folder = tempfile::Builder::new()
        .prefix("skykeep-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(memory)
        .map_err(|e| file::problem(memory, &e))?;
    let path = folder.path().join("value");
    std::fs::File::create_new(&path)
        .and_then(|mut f| f.write_all(before.expose()))
        .map_err(|e| file::problem(&path, &e))?;
    // What an editor keeps besides (backups, history, undo) goes into its home: that is the same folder.
    let ended = Command::new("/bin/sh")
        .args(["-c", r#"eval "$0 \"\$1\"""#])
        .arg(editor)
        .arg(&path)
        .envs(["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"].map(|name| (name, folder.path())))
        .status();
    let after = std::fs::read(&path).map(Zeroizing::new);
    wipe(folder.path());
    let ended = ended.map_err(|e| refused(&format!("the editor did not start: {e}")))?;
    if !ended.success() {
        return Err(refused(&format!("the editor ended with {ended}")).into());
    }
    let mut after = after.map_err(|e| file::problem(&path, &e))?;
    // Editors end a file with a newline; one is not part of the value unless it was before.
    if after.last() == Some(&b'\n') && before.expose().last() != Some(&b'\n') {
        after.pop();
    }
    Ok(Secret::new(std::mem::take(&mut *after)))
}

/// Overwrites what is in the folder; its pages would else keep it until the kernel uses them again.
fn wipe(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            wipe(&path);
        } else if let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(&path) {
            let size = file.metadata().map_or(0, |m| m.len());
            let zeros = vec![0; usize::try_from(size).unwrap_or_default()];
            let _ = file.write_all(&zeros);
        }
    }
}
