//! Writes the files of a volume into a claim.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt, PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{AT_FDCWD, OFlag},
    sys::{
        stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat},
        time::TimeSpec,
    },
};
use sha2::{Digest, Sha256};

use super::ext4::{Ext4, Kind, Node, Run};
use crate::{
    RestoreError,
    report::{Phase, Report},
    target::{LOST_AND_FOUND, belongs_to_data, must_fit, occupied, refused, walk},
};

/// What is to be written.
pub(super) struct Plan {
    /// Parents before children; the root first.
    pub(super) nodes: Vec<Node>,
    /// The runs of each file's number.
    pub(super) runs: BTreeMap<u32, Vec<Run>>,
    /// Bytes of all files, a file of several names counted once.
    pub(super) bytes: u64,
}

/// SHA-256 of each file that was written, by its number.
pub(super) type Sums = BTreeMap<u32, [u8; 32]>;

pub(super) fn plan(fs: &Ext4<'_>) -> Result<Plan, RestoreError> {
    let nodes = fs.nodes()?;
    let (mut runs, mut bytes) = (BTreeMap::new(), 0_u64);
    for node in nodes.iter().filter(|n| n.inode.kind == Kind::File) {
        if let Entry::Vacant(place) = runs.entry(node.number) {
            place.insert(fs.runs(&node.inode)?);
            bytes = bytes.saturating_add(node.inode.size);
        }
    }
    Ok(Plan { nodes, runs, bytes })
}

/// The target may hold what a former attempt wrote, and nothing else. Files of it are written anew: what is in them is not known.
pub(super) fn make_ready(target: &Path, plan: &Plan) -> Result<(), RestoreError> {
    let mut there = Vec::new();
    walk(target, &mut there)?;
    let wanted: BTreeMap<PathBuf, Kind> = plan
        .nodes
        .iter()
        .map(|n| (target.join(&n.path), n.inode.kind))
        .collect();
    let occupied = |path: &Path, why: &str| occupied(target, path, why);
    let mut ours = Vec::new();
    for path in there {
        let kind = fs::symlink_metadata(&path).map_err(|e| refused(&path, e))?.file_type();
        let same = match wanted.get(&path) {
            None if path == target.join(LOST_AND_FOUND) => continue,
            None => return Err(occupied(&path, "is not in the backup")),
            Some(Kind::Folder) if kind.is_dir() => continue,
            Some(Kind::File) => kind.is_file(),
            Some(Kind::Link) => kind.is_symlink(),
            Some(Kind::Pipe) => kind.is_fifo(),
            Some(Kind::Socket) => kind.is_socket(),
            Some(Kind::Character(_)) => kind.is_char_device(),
            Some(Kind::Block(_)) => kind.is_block_device(),
            Some(Kind::Folder) => false,
        };
        if !same {
            return Err(occupied(&path, "is another kind of thing in the backup"));
        }
        ours.push(path);
    }
    ours.iter()
        .try_for_each(|path| fs::remove_file(path).map_err(|e| refused(path, e)))
}

fn check_room(fs: &Ext4<'_>, target: &Path, plan: &Plan) -> Result<(), RestoreError> {
    let blocks: u64 = plan.runs.values().flatten().map(|run| run.count).sum();
    // What a former attempt wrote is gone by now.
    must_fit(target, 0, blocks.saturating_mul(fs.block_size()))
}

/// Writes everything; on the disk when this returns.
pub(super) fn write(fs: &Ext4<'_>, plan: &Plan, target: &Path, report: &Report) -> Result<Sums, RestoreError> {
    check_room(fs, target, plan)?;
    let folders = || plan.nodes.iter().filter(|n| n.inode.kind == Kind::Folder);
    for node in folders() {
        let path = target.join(&node.path);
        match fs::create_dir(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(refused(&path, e)),
            _ => {}
        }
    }
    // As they lie on the volume: a block of it is fetched once.
    let mut rest: Vec<&Node> = plan.nodes.iter().filter(|n| n.inode.kind != Kind::Folder).collect();
    rest.sort_by_key(|n| {
        (
            plan.runs.get(&n.number).and_then(|runs| runs.first()).map(|run| run.at),
            n.number,
        )
    });
    let (mut sums, mut done) = (Sums::new(), 0);
    let mut written: BTreeMap<u32, PathBuf> = BTreeMap::new();
    for node in rest {
        let path = target.join(&node.path);
        if let Some(first) = written.get(&node.number) {
            fs::hard_link(first, &path).map_err(|e| refused(&path, e))?;
            continue;
        }
        if node.inode.kind == Kind::File {
            let runs = plan.runs.get(&node.number).map_or(&[][..], Vec::as_slice);
            sums.insert(
                node.number,
                file(fs, node, runs, &path, |more| {
                    done += more;
                    report.say(Phase::Write, done, plan.bytes);
                })?,
            );
        } else {
            other(fs, node, &path)?;
        }
        attributes(node, &path)?;
        written.insert(node.number, path);
    }
    // Deepest first: what is written into a folder changes its time.
    let all: Vec<&Node> = folders().collect();
    for node in all.into_iter().rev() {
        attributes(node, &target.join(&node.path))?;
    }
    let folder = File::open(target).map_err(|e| refused(target, e))?;
    nix::unistd::syncfs(&folder).map_err(|e| refused(target, e))?;
    Ok(sums)
}

/// Writes a file's runs and leaves out its holes. Returns the SHA-256 of its content, holes as zeros.
fn file(
    fs: &Ext4<'_>,
    node: &Node,
    runs: &[Run],
    path: &Path,
    mut more: impl FnMut(u64),
) -> Result<[u8; 32], RestoreError> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits());
    let file = options.open(path).map_err(|e| refused(path, e))?;
    let size = node.inode.size;
    file.set_len(size).map_err(|e| refused(path, e))?;
    let (mut hash, mut at) = (Sha256::new(), 0);
    for run in runs {
        let begin = run.first.saturating_mul(fs.block_size()).min(size);
        zeros(&mut hash, begin.saturating_sub(at));
        more(begin.saturating_sub(at));
        at = begin;
        fs.read_run(run, |piece| {
            let length = usize::try_from(size - at).unwrap_or(usize::MAX).min(piece.len());
            let piece = piece.get(..length).unwrap_or_default();
            file.write_all_at(piece, at).map_err(|e| refused(path, e))?;
            hash.update(piece);
            at += piece.len() as u64;
            more(piece.len() as u64);
            Ok(())
        })?;
    }
    zeros(&mut hash, size - at);
    more(size - at);
    Ok(hash.finalize().into())
}

fn zeros(hash: &mut Sha256, count: u64) {
    let piece = [0; 65536];
    let mut left = count;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        hash.update(piece.get(..length).unwrap_or_default());
        left -= length as u64;
    }
}

fn other(fs: &Ext4<'_>, node: &Node, path: &Path) -> Result<(), RestoreError> {
    let make = |kind, device| mknod(path, kind, Mode::S_IRUSR | Mode::S_IWUSR, device).map_err(io::Error::from);
    let made = match node.inode.kind {
        Kind::Link => symlink(fs.link(&node.inode)?, path),
        Kind::Pipe => make(SFlag::S_IFIFO, 0),
        Kind::Socket => make(SFlag::S_IFSOCK, 0),
        Kind::Character(device) => make(SFlag::S_IFCHR, device),
        Kind::Block(device) => make(SFlag::S_IFBLK, device),
        Kind::File | Kind::Folder => Ok(()),
    };
    made.map_err(|e| refused(path, e))
}

/// Owner, mode, attributes and times, in this order: the kernel drops some of them when an earlier one changes.
fn attributes(node: &Node, path: &Path) -> Result<(), RestoreError> {
    let inode = &node.inode;
    lchown(path, Some(inode.uid), Some(inode.gid)).map_err(|e| refused(path, e))?;
    if inode.kind != Kind::Link {
        fs::set_permissions(path, Permissions::from_mode(inode.mode)).map_err(|e| refused(path, e))?;
    }
    for (name, value) in inode.attributes.iter().filter(|(name, _)| belongs_to_data(name)) {
        xattr::set(path, name, value).map_err(|e| refused(path, format!("attribute {name}: {e}")))?;
    }
    let spec = |(seconds, nanos): (i64, u32)| TimeSpec::new(seconds, nanos.into());
    let (accessed, modified) = (spec(inode.accessed), spec(inode.modified));
    utimensat(AT_FDCWD, path, &accessed, &modified, UtimensatFlags::NoFollowSymlink).map_err(|e| refused(path, e))
}
