//! ext4, read: the files of a volume with everything that they have. Read only, bounded, and of bytes that are not trusted.
//!
//! What it does not know is refused by the file system's own list of features, not guessed.

mod bytes;
mod extents;
mod folder;
mod inode;
mod journal;
mod superblock;
mod xattrs;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

pub(crate) use extents::Run;
pub(crate) use inode::{Inode, Kind};
pub(crate) use superblock::kind_of;

use super::Fault;

const ROOT: u32 = 2;
/// How deep folders may lie in one another.
const DEPTH: usize = 512;

/// What a file system lies on.
pub(crate) trait Device {
    /// Reads there; what was never written is zeros.
    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Fault>;
    /// Its bytes.
    fn size(&self) -> u64;
    /// Its name, for messages.
    fn name(&self) -> &str;
}

/// A file system that was opened.
pub(crate) struct Ext4<'a> {
    device: &'a dyn Device,
    sb: superblock::Superblock,
    /// Blocks whose newest content lies in the journal: where, and whether its first bytes were hidden.
    newer: BTreeMap<u64, (u64, bool)>,
}

/// Something in the file system.
#[derive(Debug)]
pub(crate) struct Node {
    /// From the root of the volume.
    pub(crate) path: PathBuf,
    /// Its number: two names of one file have the same.
    pub(crate) number: u32,
    pub(crate) inode: Inode,
}

impl<'a> Ext4<'a> {
    /// Opens it. Its journal is read, never written back.
    pub(crate) fn open(device: &'a dyn Device) -> Result<Self, Fault> {
        let sb = superblock::read(device)?;
        let mut fs = Ext4 {
            device,
            sb,
            newer: BTreeMap::new(),
        };
        if let Some(number) = fs.sb.journal {
            let journal = fs.inode(number)?;
            fs.newer = journal::newer(&fs, &journal)?;
            // The newest superblock may lie there too, with counts and features of its own.
            let first = fs.sb.first_block;
            if fs.newer.contains_key(&first) {
                let inside = if first == 0 { 1024 } else { 0 };
                let block = fs.block(first)?;
                let text = block.get(inside..).unwrap_or_default();
                fs.sb = superblock::parse(text, device)?;
            }
        }
        Ok(fs)
    }

    pub(super) fn damaged(&self, why: impl Into<String>) -> Fault {
        Fault::Damaged {
            volume: self.device.name().to_owned(),
            why: why.into(),
        }
    }

    pub(crate) fn block_size(&self) -> u64 {
        self.sb.block_size
    }

    /// A block of the file system as it is after its journal.
    pub(super) fn block(&self, number: u64) -> Result<Vec<u8>, Fault> {
        if number >= self.sb.blocks {
            return Err(self.damaged(format!("it names block {number} of {}", self.sb.blocks)));
        }
        let (at, hidden) = self.newer.get(&number).copied().unwrap_or((number, false));
        let mut block = self.raw(at)?;
        if let Some(first) = block.get_mut(..4).filter(|_| hidden) {
            first.copy_from_slice(&journal::MAGIC);
        }
        Ok(block)
    }

    /// A block as it lies there.
    pub(super) fn raw(&self, number: u64) -> Result<Vec<u8>, Fault> {
        let mut block = vec![0; usize::try_from(self.sb.block_size).unwrap_or(0)];
        self.device.read_at(number * self.sb.block_size, &mut block)?;
        Ok(block)
    }

    /// Reads a run of a file's blocks, in pieces of at most 1 MiB.
    pub(crate) fn read_run(
        &self,
        run: &Run,
        mut each: impl FnMut(&[u8]) -> Result<(), crate::RestoreError>,
    ) -> Result<(), crate::RestoreError> {
        let step = ((1 << 20) / self.sb.block_size).max(1);
        let mut done = 0;
        while done < run.count {
            let first = run.at + done;
            let count = step.min(run.count - done);
            if self.newer.range(first..first + count).next().is_none() {
                let mut piece = vec![0; usize::try_from(count * self.sb.block_size).unwrap_or(0)];
                self.device.read_at(first * self.sb.block_size, &mut piece)?;
                each(&piece)?;
            } else {
                for number in first..first + count {
                    each(&self.block(number)?)?;
                }
            }
            done += count;
        }
        Ok(())
    }

    /// Everything in it, parents before children; the root first, with an empty path. `lost+found` is left out while it is empty.
    pub(crate) fn nodes(&self) -> Result<Vec<Node>, Fault> {
        let root = self.inode(ROOT)?;
        if root.kind != Kind::Folder {
            return Err(self.damaged("its root is no folder"));
        }
        let mut nodes = vec![Node {
            path: PathBuf::new(),
            number: ROOT,
            inode: root,
        }];
        let (mut folders, mut at) = (BTreeSet::from([ROOT]), 0);
        while let Some(node) = nodes.get(at) {
            at += 1;
            if node.inode.kind != Kind::Folder {
                continue;
            }
            let parent = node.path.clone();
            if parent.components().count() > DEPTH {
                return Err(self.damaged(format!("more than {DEPTH} folders lie in one another")));
            }
            let entries = self.folder(&node.inode)?;
            if entries.is_empty() && parent == Path::new("lost+found") {
                nodes.remove(at - 1);
                at -= 1;
                continue;
            }
            for (name, number) in entries {
                let path = parent.join(name);
                let inode = self.inode(number).map_err(|e| self.named(e, &path))?;
                if inode.kind == Kind::Folder && !folders.insert(number) {
                    return Err(self.damaged(format!("the folder {} is in two places", path.display())));
                }
                nodes.push(Node { path, number, inode });
            }
        }
        Ok(nodes)
    }

    fn named(&self, fault: Fault, path: &Path) -> Fault {
        match fault {
            Fault::Damaged { why, .. } => self.damaged(format!("{}: {why}", path.display())),
            other => other,
        }
    }
}

#[cfg(test)]
impl Ext4<'_> {
    /// How many blocks are read from the journal.
    pub(crate) fn journalled(&self) -> usize {
        self.newer.len()
    }
}
