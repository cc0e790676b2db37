//! The volume that a treasure comes back to.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustic_core::repofile::{Node, NodeType};

use crate::{RestoreError, survey::Survey};

/// Made by mkfs at the root of ext4 volumes; nobody's data.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";

pub(crate) fn refused(path: &Path, e: impl std::fmt::Display) -> RestoreError {
    RestoreError::Target {
        path: path.display().to_string(),
        why: e.to_string(),
    }
}

/// Something is in the way at `path`.
pub(crate) fn occupied(target: &Path, path: &Path, why: &str) -> RestoreError {
    RestoreError::Occupied {
        target: target.display().to_string(),
        why: format!("{} is there already and {why}", path.display()),
    }
}

/// Takes away everything that the target holds, for a restore that replaces it. Links are not followed.
pub(crate) fn empty(target: &Path) -> Result<(), RestoreError> {
    for entry in fs::read_dir(target).map_err(|e| refused(target, e))? {
        let entry = entry.map_err(|e| refused(target, e))?;
        let path = entry.path();
        if entry.file_name() == LOST_AND_FOUND {
            continue;
        }
        let gone = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(e) => Err(e),
        };
        gone.map_err(|e| refused(&path, e))?;
    }
    Ok(())
}

/// Makes sure that the target holds nothing but (parts of) what is to be restored: nobody's data is overwritten, and
/// nothing strange is left among the treasure. Second names of hard links go, because they are made anew.
pub(crate) fn make_ready(target: &Path, seen: &Survey) -> Result<(), RestoreError> {
    let mut there = Vec::new();
    walk(target, &mut there)?;
    there.retain(|p| {
        p != &target.join(LOST_AND_FOUND) || seen.nodes.iter().any(|(n, _)| n == Path::new(LOST_AND_FOUND))
    });
    if there.is_empty() {
        return Ok(());
    }
    let wanted: BTreeSet<PathBuf> = seen.nodes.iter().map(|(p, _)| target.join(p)).collect();
    let occupied = |path: &Path, why: &str| occupied(target, path, why);
    if let Some(stranger) = there.iter().find(|p| !wanted.contains(*p)) {
        return Err(occupied(stranger, "is not in the backup"));
    }
    let mut links = BTreeSet::new();
    for (path, node) in &seen.nodes {
        let path = target.join(path);
        let second = link_key(node).is_some_and(|key| !links.insert(key));
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        let kind = meta.file_type();
        let fits = match &node.node_type {
            NodeType::File => kind.is_file(),
            NodeType::Dir => kind.is_dir(),
            NodeType::Symlink { .. } => {
                kind.is_symlink() && fs::read_link(&path).is_ok_and(|to| to == node.node_type.to_link())
            }
            NodeType::Dev { .. } => kind.is_block_device(),
            NodeType::Chardev { .. } => kind.is_char_device(),
            NodeType::Fifo => kind.is_fifo(),
            NodeType::Socket => kind.is_socket(),
        };
        if !fits {
            return Err(occupied(&path, "is another kind of thing in the backup"));
        }
        if second {
            fs::remove_file(&path).map_err(|e| refused(&path, e))?;
        }
    }
    Ok(())
}

pub(crate) fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), RestoreError> {
    for entry in fs::read_dir(folder).map_err(|e| refused(folder, e))? {
        let entry = entry.map_err(|e| refused(folder, e))?;
        let path = entry.path();
        let is_folder = entry.file_type().map_err(|e| refused(&path, e))?.is_dir();
        into.push(path.clone());
        // Nobody looks into the root's lost+found.
        if is_folder && entry.file_name() != LOST_AND_FOUND {
            walk(&path, into)?;
        }
    }
    Ok(())
}

/// By which a file that has several names in the backup is recognised.
pub(crate) fn link_key(node: &Node) -> Option<(u64, u64)> {
    let meta = &node.meta;
    let linked = node.is_file() && meta.links > 1 && meta.device_id != 0 && meta.inode != 0;
    linked.then_some((meta.device_id, meta.inode))
}

/// Refuses before anything is written when the volume is too small. Blocks of a former attempt count as free.
pub(crate) fn check_room(target: &Path, seen: &Survey, needed: u64) -> Result<(), RestoreError> {
    let blocks = |(path, node): &(PathBuf, Node)| {
        node.is_file()
            .then(|| fs::symlink_metadata(target.join(path)).map_or(0, |m| m.blocks() * 512))
    };
    must_fit(target, seen.nodes.iter().filter_map(blocks).sum(), needed)
}

/// Refuses when so many bytes are more than the volume has free, `ours` counted as free.
pub(crate) fn must_fit(target: &Path, ours: u64, needed: u64) -> Result<(), RestoreError> {
    let volume = nix::sys::statvfs::statvfs(target).map_err(|e| refused(target, e))?;
    let free = volume.blocks_free().saturating_mul(volume.fragment_size());
    if needed > free.saturating_add(ours) {
        return Err(refused(
            target,
            format!("it has room for {free} bytes, {needed} are to be written"),
        ));
    }
    Ok(())
}

/// Attributes that are part of the data. The others (`security.selinux`, `trusted.*`) belong to the machine.
pub(crate) fn belongs_to_data(name: &str) -> bool {
    name.starts_with("user.") || name.starts_with("system.posix_acl_") || name == "security.capability"
}

/// Restic keeps modes as Go does.
pub(crate) fn unix_mode(go: u32) -> u32 {
    let special = [(23, 0o4000), (22, 0o2000), (20, 0o1000)];
    special.iter().fold(
        go & 0o777,
        |mode, (bit, unix)| if go & (1 << bit) == 0 { mode } else { mode | unix },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_modes_become_unix_modes() {
        assert_eq!(unix_mode(0x8000_0000 | (1 << 20) | 0o777), 0o1777);
        assert_eq!(unix_mode((1 << 23) | 0o755), 0o4755);
        assert_eq!(unix_mode((1 << 22) | 0o750), 0o2750);
        assert_eq!(unix_mode(0o640), 0o640);
    }
}
