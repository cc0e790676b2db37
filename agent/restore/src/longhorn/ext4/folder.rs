//! Folders and links: names.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use super::{
    Ext4, Inode,
    bytes::{u8_at, u16_at, u32_at},
};
use crate::longhorn::Fault;

/// A folder's own blocks, at most: a hundred million names.
const LARGEST: u64 = 4 << 30;

impl Ext4<'_> {
    /// The names in a folder with their inodes' numbers. An index, when it has one, looks like unused space.
    pub(super) fn folder(&self, inode: &Inode) -> Result<BTreeMap<OsString, u32>, Fault> {
        if inode.size > LARGEST {
            return Err(self.damaged(format!("a folder has {} bytes", inode.size)));
        }
        let end = inode.size.div_ceil(self.sb.block_size);
        let mut entries = BTreeMap::new();
        for run in self.runs(inode)? {
            for n in 0..run.count.min(end.saturating_sub(run.first)) {
                self.names(&self.block(run.at + n)?, &mut entries)?;
            }
        }
        Ok(entries)
    }

    fn names(&self, block: &[u8], entries: &mut BTreeMap<OsString, u32>) -> Result<(), Fault> {
        let mut rest = block;
        while !rest.is_empty() {
            let length = usize::from(u16_at(rest, 4));
            let (number, name_length) = (u32_at(rest, 0), usize::from(u8_at(rest, 6)));
            let Some((entry, later)) = rest
                .split_at_checked(length)
                .filter(|_| length >= 8 && name_length + 8 <= length)
            else {
                return Err(self.damaged("a folder's names make no sense"));
            };
            rest = later;
            let name = entry.get(8..8 + name_length).unwrap_or_default();
            if number == 0 || name == b"." || name == b".." {
                continue;
            }
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                return Err(self.damaged("a folder holds a name that can't be one"));
            }
            if entries.insert(OsString::from_vec(name.to_vec()), number).is_some() {
                let name = std::ffi::OsStr::from_bytes(name);
                return Err(self.damaged(format!("the name {} is twice in a folder", name.display())));
            }
        }
        Ok(())
    }

    /// Where a link points.
    pub(crate) fn link(&self, inode: &Inode) -> Result<OsString, Fault> {
        let length = usize::try_from(inode.size).unwrap_or(usize::MAX);
        let short = inode.place.get(..length).filter(|_| !inode.has_extents);
        let text = match short {
            Some(text) => text.to_vec(),
            None => {
                let mut text = match self.runs(inode)?.first() {
                    Some(run) if run.first == 0 => self.block(run.at)?,
                    _ => return Err(self.damaged("a link points nowhere")),
                };
                if length > text.len() {
                    return Err(self.damaged("a link is longer than a block"));
                }
                text.truncate(length);
                text
            }
        };
        match text.is_empty() || text.contains(&0) {
            true => Err(self.damaged("a link points nowhere")),
            false => Ok(OsString::from_vec(text)),
        }
    }
}
