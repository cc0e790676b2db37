//! Compares what is on the volume with what the backup holds. Shares no code with the writing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Metadata},
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
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

/// How many files are read back at once: a cloud's disk answers many as fast as one.
const READERS: usize = 8;
/// How many things a reader takes at a time.
const HANDFUL: usize = 64;

/// Every file is read back and each of its pieces hashed, unless that is done and good; kind, size, mode, owner, time, link and attributes
/// compared.
pub(crate) fn verify(
    found: &Found,
    seen: &Survey,
    target: &Path,
    good: &BTreeSet<usize>,
    report: &Report,
) -> Result<Outcome, RestoreError> {
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
    let all = compare_all(found, seen, target, good, report)?;
    for (told, (path, node)) in all.iter().zip(&seen.nodes) {
        outcome.attributes_left_out += told.attributes_left_out;
        match node.node_type {
            NodeType::File => {
                if let Some(key) = link_key(node)
                    && *links.entry(key).or_insert(told.inode) != told.inode
                {
                    return Err(differs(
                        &target.join(path),
                        "it is a copy and no longer the same file as its other name",
                    ));
                }
                outcome.files += 1;
                outcome.bytes += node.meta.size;
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

/// What was seen of one thing that is as it should be.
struct Told {
    inode: (u64, u64),
    attributes_left_out: u64,
}

/// Looks at everything, several things at once. Answers in the order of the backup, and of several differences tells the first: handfuls
/// are begun in that order, and one that was begun is looked at to its end or its own difference.
fn compare_all(
    found: &Found,
    seen: &Survey,
    target: &Path,
    good: &BTreeSet<usize>,
    report: &Report,
) -> Result<Vec<Told>, RestoreError> {
    let all: Vec<_> = seen.nodes.iter().enumerate().collect();
    let handfuls: Vec<_> = all.chunks(HANDFUL).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done = Mutex::new(0);
    let one = |(number, (path, node)): &(usize, &(PathBuf, Node)), buffer: &mut [u8]| {
        let path = target.join(path);
        let (told, meta) = compare(&path, node)?;
        if node.is_file() {
            if !good.contains(number) {
                compare_content(found, &path, node, &meta, buffer)?;
            }
            // Said while it is held, or a reader that was overtaken would say less than the one before.
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            *done += node.meta.size;
            report.say(Phase::Verify, *done, seen.bytes);
        }
        Ok(told)
    };
    let reader = || {
        let mut buffer = vec![0; 64 * 1024];
        let mut mine = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(handful) = handfuls.get(number) else { break };
            let told: Result<Vec<Told>, RestoreError> = handful.iter().map(|thing| one(thing, &mut buffer)).collect();
            failed.fetch_or(told.is_err(), Ordering::Relaxed);
            mine.push((number, told));
        }
        mine
    };
    let told = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(reader)).collect();
        let mut told = BTreeMap::new();
        for reader in readers {
            let broke = |_| RestoreError::Internal("the comparison broke off".into());
            told.extend(reader.join().map_err(broke)?);
        }
        Ok::<_, RestoreError>(told)
    })?;
    let mut all = Vec::with_capacity(seen.nodes.len());
    for told in told.into_values() {
        all.extend(told?);
    }
    Ok(all)
}

/// Which of these files are on the disk as the backup has them; no more is read when it is over.
pub(crate) fn contents(found: &Found, seen: &Survey, target: &Path, files: &[usize], over: &AtomicBool) -> Vec<usize> {
    let next = AtomicUsize::new(0);
    let reader = || {
        let mut buffer = vec![0; 64 * 1024];
        let mut good = Vec::new();
        while !over.load(Ordering::Acquire) {
            let Some(number) = files.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            let Some((path, node)) = seen.nodes.get(*number) else {
                continue;
            };
            let path = target.join(path);
            let same = fs::symlink_metadata(&path)
                .is_ok_and(|meta| meta.is_file() && compare_content(found, &path, node, &meta, &mut buffer).is_ok());
            good.extend(same.then_some(*number));
        }
        good
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS.min(files.len())).map(|_| scope.spawn(reader)).collect();
        readers.into_iter().flat_map(|r| r.join().unwrap_or_default()).collect()
    })
}

fn compare(path: &Path, node: &Node) -> Result<(Told, Metadata), RestoreError> {
    let meta = fs::symlink_metadata(path).map_err(|e| differs(path, format!("it can't be looked at: {e}")))?;
    compare_kind(path, node, &meta)?;
    compare_meta(path, node, &meta)?;
    let told = Told {
        inode: (meta.dev(), meta.ino()),
        attributes_left_out: compare_attributes(path, node)?,
    };
    Ok((told, meta))
}

pub(crate) fn differs(path: &Path, why: impl Into<String>) -> RestoreError {
    RestoreError::Differs {
        path: path.display().to_string(),
        why: why.into(),
    }
}

pub(crate) fn unreadable(path: &Path, e: &std::io::Error) -> RestoreError {
    differs(path, format!("it can't be read: {e}"))
}

/// Opens what was written, to be read back.
pub(crate) fn from_the_disk(path: &Path) -> Result<File, RestoreError> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    // It was synced: from here on the volume is read, not what the kernel remembers of it. Only a wish.
    let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    Ok(file)
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

fn compare_content(
    found: &Found,
    path: &Path,
    node: &Node,
    meta: &Metadata,
    buffer: &mut [u8],
) -> Result<(), RestoreError> {
    if meta.len() != node.meta.size {
        return Err(differs(
            path,
            format!("it has {} bytes instead of {}", meta.len(), node.meta.size),
        ));
    }
    let unreadable = |e| unreadable(path, &e);
    let mut file = from_the_disk(path)?;
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
            let read = piece.read(buffer).map_err(unreadable)?;
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
