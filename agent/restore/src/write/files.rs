//! The files of a treasure while they come back.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    fcntl::OFlag,
    sys::stat::{Mode, SFlag, mknod},
};
use rustic_core::repofile::{Node, NodeType};

use super::{
    dress::{dress, dress_special},
    fill::fill,
    plan::{Plan, Want},
};
use crate::{
    RestoreError,
    survey::Survey,
    target::{link_key, refused},
};

pub(super) struct Files<'a> {
    target: &'a Path,
    nodes: &'a [(PathBuf, Node)],
    /// Pieces that are still to come, for each node.
    missing: Vec<AtomicU32>,
    there: &'a [bool],
}

impl<'a> Files<'a> {
    pub(super) fn new(target: &'a Path, seen: &'a Survey, plan: &'a Plan) -> Self {
        Files {
            target,
            nodes: &seen.nodes,
            missing: plan.missing.iter().map(|n| AtomicU32::new(*n)).collect(),
            there: &plan.there,
        }
    }

    /// Folders, links and devices, and the files that miss nothing.
    pub(super) fn begin(&self) -> Result<(), RestoreError> {
        let mut links = BTreeMap::new();
        for ((path, node), missing) in self.nodes.iter().zip(&self.missing) {
            let at = self.target.join(path);
            let done = match &node.node_type {
                NodeType::Dir => made(fs::create_dir(&at)),
                NodeType::File => {
                    let second = link_key(node).is_some_and(|key| links.insert(key, path).is_some());
                    match missing.load(Ordering::Relaxed) {
                        0 if !second => open(&at).and_then(|file| finished(&file, node)),
                        _ => Ok(()),
                    }
                }
                other => made(special(&at, other)).and_then(|()| dress_special(&at, node)),
            };
            done.map_err(|e| self.trouble(&at, &e))?;
        }
        Ok(())
    }

    /// One piece, and everything else of the file when it was the last one; then it is finished.
    pub(super) fn put(&self, want: &Want, bytes: &[u8]) -> Result<bool, RestoreError> {
        let n = want.file as usize;
        let (Some((path, node)), Some(missing)) = (self.nodes.get(n), self.missing.get(n)) else {
            return Err(RestoreError::Internal("a piece of no file".into()));
        };
        let at = self.target.join(path);
        let old = self.there.get(n).copied().unwrap_or(true);
        let put = || {
            let file = open(&at)?;
            fill(&file, want.start, bytes, old)?;
            let last = missing.fetch_sub(1, Ordering::AcqRel) == 1;
            if last {
                finished(&file, node)?;
            }
            Ok(last)
        };
        put().map_err(|e| self.trouble(&at, &e))
    }

    /// Second names, and folders, which change as long as anything comes into them.
    pub(super) fn end(&self, root: &Node) -> Result<(), RestoreError> {
        let mut links = BTreeMap::new();
        for (path, node) in self.nodes {
            let Some(key) = link_key(node) else { continue };
            let first = links.entry(key).or_insert(path);
            if *first != path {
                let at = self.target.join(path);
                made(fs::hard_link(self.target.join(first), &at)).map_err(|e| self.trouble(&at, &e))?;
            }
        }
        let folder = |at: &Path, node: &Node| {
            let done = File::open(at).and_then(|folder| dress(&folder, node));
            done.map_err(|e| self.trouble(at, &e))
        };
        for (path, node) in self.nodes.iter().rev().filter(|(_, node)| node.is_dir()) {
            folder(&self.target.join(path), node)?;
        }
        // Without a name it is the whole snapshot, which has none of these.
        if root.is_dir() && !root.name.is_empty() {
            folder(self.target, root)?;
        }
        Ok(())
    }

    fn trouble(&self, path: &Path, e: &io::Error) -> RestoreError {
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => refused(self.target, "it is full"),
            _ => refused(path, e),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
}

/// All its pieces are there. One that ends with a hole has its length only now, one of a former attempt may be too long.
fn finished(file: &File, node: &Node) -> io::Result<()> {
    if file.metadata()?.len() != node.meta.size {
        file.set_len(node.meta.size)?;
    }
    dress(file, node)
}

/// That it is there already is fine: what is of another kind was refused before.
fn made(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(e),
    })
}

fn special(path: &Path, kind: &NodeType) -> io::Result<()> {
    let node = |kind, device| Ok(mknod(path, kind, Mode::empty(), device)?);
    match kind {
        NodeType::Symlink { .. } => symlink(kind.to_link(), path),
        NodeType::Dev { device } => node(SFlag::S_IFBLK, *device),
        NodeType::Chardev { device } => node(SFlag::S_IFCHR, *device),
        NodeType::Fifo => node(SFlag::S_IFIFO, 0),
        NodeType::Socket => node(SFlag::S_IFSOCK, 0),
        NodeType::File | NodeType::Dir => Ok(()),
    }
}
