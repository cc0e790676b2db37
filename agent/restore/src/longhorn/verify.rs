//! Compares what is in the claim with what the volume holds. Shares no code with the writing.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{
    ext4::{Ext4, Kind, Node},
    write::{Plan, Sums},
};
use crate::{
    RestoreError,
    job::Outcome,
    report::{Phase, Report},
    target::belongs_to_data,
    verify::{differs, from_the_disk, unreadable},
};

/// Every file is read back and hashed; kind, size, mode, owner, time, links and attributes are compared.
pub(super) fn verify(
    fs: &Ext4<'_>,
    plan: &Plan,
    sums: &Sums,
    target: &Path,
    report: &Report,
) -> Result<Outcome, RestoreError> {
    let mut outcome = Outcome {
        snapshot: String::new(),
        time: String::new(),
        files: 0,
        bytes: 0,
        folders: 0,
        others: 0,
        attributes_left_out: 0,
    };
    let mut seen: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for node in &plan.nodes {
        let path = target.join(&node.path);
        let meta = fs::symlink_metadata(&path).map_err(|e| differs(&path, format!("it can't be looked at: {e}")))?;
        look(fs, node, &path, &meta)?;
        outcome.attributes_left_out += attributes(node, &path)?;
        let first = *seen.entry(node.number).or_insert((meta.dev(), meta.ino()));
        if first != (meta.dev(), meta.ino()) {
            return Err(differs(
                &path,
                "it is a copy and no longer the same file as its other name",
            ));
        }
        match node.inode.kind {
            Kind::Folder => outcome.folders += 1,
            Kind::File => {
                if sums.get(&node.number) != Some(&content(&path)?) {
                    return Err(differs(&path, "its content differs"));
                }
                outcome.files += 1;
                outcome.bytes += node.inode.size;
                report.say(Phase::Verify, outcome.bytes.min(plan.bytes), plan.bytes);
            }
            _ => outcome.others += 1,
        }
    }
    // The root is no folder of the backup's.
    outcome.folders = outcome.folders.saturating_sub(1);
    Ok(outcome)
}

fn look(fs: &Ext4<'_>, node: &Node, path: &Path, meta: &Metadata) -> Result<(), RestoreError> {
    let (inode, kind) = (&node.inode, meta.file_type());
    let same = match inode.kind {
        Kind::File => kind.is_file() && meta.len() == inode.size,
        Kind::Folder => kind.is_dir(),
        Kind::Link => fs::read_link(path).is_ok_and(|to| fs.link(inode).is_ok_and(|wanted| to == wanted)),
        Kind::Pipe => kind.is_fifo(),
        Kind::Socket => kind.is_socket(),
        Kind::Character(device) => kind.is_char_device() && meta.rdev() == device,
        Kind::Block(device) => kind.is_block_device() && meta.rdev() == device,
    };
    if !same {
        return Err(differs(
            path,
            format!("it should be {:?} of {} bytes", inode.kind, inode.size),
        ));
    }
    if (meta.uid(), meta.gid()) != (inode.uid, inode.gid) {
        let wanted = format!("{}:{}", inode.uid, inode.gid);
        return Err(differs(
            path,
            format!("its owner is {}:{} instead of {wanted}", meta.uid(), meta.gid()),
        ));
    }
    let mode = meta.mode() & 0o7777;
    if inode.kind != Kind::Link && mode != inode.mode {
        return Err(differs(
            path,
            format!("its mode is {mode:o} instead of {:o}", inode.mode),
        ));
    }
    // Some file systems count in whole seconds.
    if meta.mtime() != inode.modified.0 {
        return Err(differs(
            path,
            format!("its time is {} s instead of {}", meta.mtime(), inode.modified.0),
        ));
    }
    Ok(())
}

/// Returns how many attributes were left out on purpose.
fn attributes(node: &Node, path: &Path) -> Result<u64, RestoreError> {
    let mut left_out = 0;
    for (name, value) in &node.inode.attributes {
        if !belongs_to_data(name) {
            left_out += 1;
        } else if xattr::get(path, name).ok().flatten().as_ref() != Some(value) {
            return Err(differs(path, format!("its attribute {name} is another one")));
        }
    }
    Ok(left_out)
}

fn content(path: &Path) -> Result<[u8; 32], RestoreError> {
    let unreadable = |e| unreadable(path, &e);
    let mut file = from_the_disk(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer).map_err(unreadable)?;
        match buffer.get(..read) {
            Some(part) if read > 0 => hash.update(part),
            _ => return Ok(hash.finalize().into()),
        }
    }
}
