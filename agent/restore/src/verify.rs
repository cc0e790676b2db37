//! Compares what is on the volume with what the backup holds. Shares no code with the writing.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use rustic_core::repofile::{Node, NodeType};
use sha2::{Digest, Sha256};

use crate::{
    RestoreError,
    job::Outcome,
    report::{Phase, Report},
    repository::Found,
    survey::Survey,
    target::{belongs_to_data, link_key, unix_mode},
};

/// Every file is read back and each of its pieces hashed; kind, size, mode, owner, time, link and attributes compared.
pub(crate) fn verify(found: &Found, seen: &Survey, target: &Path, report: &Report) -> Result<Outcome, RestoreError> {
    let mut outcome = Outcome {
        snapshot: found.snapshot_id(),
        time: found.time(),
        files: 0,
        bytes: 0,
        folders: 0,
        others: 0,
        attributes_left_out: 0,
    };
    let mut links = BTreeMap::new();
    for (path, node) in &seen.nodes {
        let path = target.join(path);
        let meta = fs::symlink_metadata(&path).map_err(|e| differs(&path, format!("it can't be looked at: {e}")))?;
        compare_kind(&path, node, &meta)?;
        compare_meta(&path, node, &meta)?;
        outcome.attributes_left_out += compare_attributes(&path, node)?;
        match node.node_type {
            NodeType::File => {
                compare_content(found, &path, node, &meta)?;
                if let Some(key) = link_key(node) {
                    let inode = (meta.dev(), meta.ino());
                    if *links.entry(key).or_insert(inode) != inode {
                        return Err(differs(
                            &path,
                            "it is a copy and no longer the same file as its other name",
                        ));
                    }
                }
                outcome.files += 1;
                outcome.bytes += node.meta.size;
                report.say(Phase::Verify, outcome.bytes, seen.bytes);
            }
            NodeType::Dir => outcome.folders += 1,
            _ => outcome.others += 1,
        }
    }
    let root = &found.node;
    if root.is_dir() && !root.name.is_empty() {
        let meta = fs::metadata(target).map_err(|e| differs(target, format!("it can't be looked at: {e}")))?;
        compare_meta(target, root, &meta)?;
        outcome.attributes_left_out += compare_attributes(target, root)?;
    }
    Ok(outcome)
}

fn differs(path: &Path, why: impl Into<String>) -> RestoreError {
    RestoreError::Differs {
        path: path.display().to_string(),
        why: why.into(),
    }
}

fn compare_kind(path: &Path, node: &Node, meta: &Metadata) -> Result<(), RestoreError> {
    let kind = meta.file_type();
    let same = match &node.node_type {
        NodeType::File => kind.is_file(),
        NodeType::Dir => kind.is_dir(),
        NodeType::Symlink { .. } => {
            kind.is_symlink() && fs::read_link(path).is_ok_and(|to| to == node.node_type.to_link())
        }
        NodeType::Dev { device } => kind.is_block_device() && meta.rdev() == *device,
        NodeType::Chardev { device } => kind.is_char_device() && meta.rdev() == *device,
        NodeType::Fifo => kind.is_fifo(),
        NodeType::Socket => kind.is_socket(),
    };
    if same {
        Ok(())
    } else {
        Err(differs(path, format!("it should be {}", node.node_type)))
    }
}

fn compare_meta(path: &Path, node: &Node, meta: &Metadata) -> Result<(), RestoreError> {
    let wanted = &node.meta;
    let mode = meta.mode() & 0o7777;
    // Restic leaves out a mode of 0; those of everything but files have a bit for their kind.
    let left_out = node.is_file().then_some(0);
    if let Some(go) = wanted.mode.or(left_out)
        && !node.is_symlink()
        && unix_mode(go) != mode
    {
        return Err(differs(
            path,
            format!("its mode is {mode:o} instead of {:o}", unix_mode(go)),
        ));
    }
    if wanted.uid.is_some_and(|uid| uid != meta.uid()) || wanted.gid.is_some_and(|gid| gid != meta.gid()) {
        let (uid, gid) = (wanted.uid.unwrap_or_default(), wanted.gid.unwrap_or_default());
        return Err(differs(
            path,
            format!("its owner is {}:{} instead of {uid}:{gid}", meta.uid(), meta.gid()),
        ));
    }
    if let Some(time) = wanted.mtime {
        let there = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        // Some filesystems count in whole seconds.
        if there.abs_diff(time.as_nanosecond()) >= 1_000_000_000 {
            return Err(differs(
                path,
                format!("its time is {} s instead of {time}", meta.mtime()),
            ));
        }
    }
    Ok(())
}

/// Returns how many attributes were left out on purpose.
fn compare_attributes(path: &Path, node: &Node) -> Result<u64, RestoreError> {
    let mut left_out = 0;
    for attribute in &node.meta.extended_attributes {
        let there = xattr::get(path, &attribute.name).ok().flatten();
        if there == Some(attribute.value.clone().unwrap_or_default()) {
            continue;
        }
        if belongs_to_data(&attribute.name) {
            return Err(differs(
                path,
                format!("its attribute {} is another one", attribute.name),
            ));
        }
        left_out += 1;
    }
    Ok(left_out)
}

fn compare_content(found: &Found, path: &Path, node: &Node, meta: &Metadata) -> Result<(), RestoreError> {
    if meta.len() != node.meta.size {
        return Err(differs(
            path,
            format!("it has {} bytes instead of {}", meta.len(), node.meta.size),
        ));
    }
    let unreadable = |e: std::io::Error| differs(path, format!("it can't be read: {e}"));
    let mut file = File::open(path).map_err(unreadable)?;
    // It was synced: from here on the volume is read, not what the kernel remembers of it. Only a wish.
    let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    let mut buffer = vec![0; 64 * 1024];
    let mut at = 0;
    for id in node.content.iter().flatten() {
        let length = found
            .repo
            .get_index_entry(id)
            .map_err(|e| found.trouble(&e))?
            .data_length();
        let mut piece = Read::take(&mut file, u64::from(length));
        let mut hash = Sha256::new();
        loop {
            let read = piece.read(&mut buffer).map_err(unreadable)?;
            match buffer.get(..read) {
                Some(part) if read > 0 => hash.update(part),
                _ => break,
            }
        }
        if hex::encode(hash.finalize()) != id.to_hex().as_str() {
            return Err(differs(
                path,
                format!("its content differs somewhere in the {length} bytes from {at} on"),
            ));
        }
        at += u64::from(length);
    }
    Ok(())
}
