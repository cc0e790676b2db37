//! What a file has besides its content: owner, mode, attributes, times. Set on the open file, and only what is not so already.

use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, fchown, lchown},
    path::Path,
    time::SystemTime,
};

use nix::sys::{
    stat::{UtimensatFlags, utimensat},
    time::{TimeSpec, TimeValLike},
};
use rustic_core::repofile::{Metadata, Node};
use xattr::FileExt;

use crate::target::{belongs_to_data, unix_mode};

/// A file or a folder. The order matters: a new owner takes capabilities and special modes away, and everything changes the time.
pub(super) fn dress(file: &File, node: &Node) -> io::Result<()> {
    let (wanted, there) = (&node.meta, file.metadata()?);
    let changes = |wanted: Option<u32>, there: u32| wanted.is_some_and(|wanted| wanted != there);
    let new_owner = changes(wanted.uid, there.uid()) || changes(wanted.gid, there.gid());
    if new_owner {
        fchown(file, wanted.uid, wanted.gid)?;
    }
    if let Some(mode) = mode(node)
        && (new_owner || there.mode() & 0o7777 != mode)
    {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    // A folder may have given it some: what the backup does not have goes.
    for name in file.list_xattr().into_iter().flatten() {
        if is_strange(&name, wanted) {
            file.remove_xattr(&name)?;
        }
    }
    for (name, value) in attributes(wanted) {
        if file.get_xattr(name).ok().flatten().as_deref() != Some(value) {
            file.set_xattr(name, value).map_err(|e| named(name, &e))?;
        }
    }
    if let Some((accessed, modified)) = times(wanted) {
        file.set_times(FileTimes::new().set_accessed(accessed).set_modified(modified))?;
    }
    Ok(())
}

/// A link, a device, a pipe: nothing that should be opened.
pub(super) fn dress_special(path: &Path, node: &Node) -> io::Result<()> {
    let wanted = &node.meta;
    lchown(path, wanted.uid, wanted.gid)?;
    if let Some(mode) = mode(node)
        && !node.is_symlink()
    {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    for (name, value) in attributes(wanted) {
        xattr::set(path, name, value).map_err(|e| named(name, &e))?;
    }
    if let (Some(accessed), Some(modified)) = (wanted.atime.or(wanted.mtime), wanted.mtime) {
        let spec = |time: i128| TimeSpec::nanoseconds(i64::try_from(time).unwrap_or(i64::MAX));
        let (accessed, modified) = (spec(accessed.as_nanosecond()), spec(modified.as_nanosecond()));
        utimensat(
            nix::fcntl::AT_FDCWD,
            path,
            &accessed,
            &modified,
            UtimensatFlags::NoFollowSymlink,
        )?;
    }
    Ok(())
}

/// Restic leaves out a mode of 0; those of everything but files have a bit for their kind.
fn mode(node: &Node) -> Option<u32> {
    node.meta.mode.or(node.is_file().then_some(0)).map(unix_mode)
}

fn times(wanted: &Metadata) -> Option<(SystemTime, SystemTime)> {
    let modified = wanted.mtime?;
    Some((wanted.atime.unwrap_or(modified).into(), modified.into()))
}

fn attributes(wanted: &Metadata) -> impl Iterator<Item = (&str, &[u8])> {
    let all = wanted.extended_attributes.iter();
    all.filter(|a| belongs_to_data(&a.name))
        .map(|a| (a.name.as_str(), a.value.as_deref().unwrap_or_default()))
}

fn is_strange(name: &OsStr, wanted: &Metadata) -> bool {
    let name = name.to_string_lossy();
    belongs_to_data(&name) && !wanted.extended_attributes.iter().any(|a| a.name == name)
}

fn named(attribute: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("attribute {attribute}: {e}"))
}
