//! Inodes: what a file is and whose.

use std::collections::BTreeMap;

use super::{
    Ext4,
    bytes::{joined, u8_at, u16_at, u32_at},
};
use crate::longhorn::Fault;

const EXTENTS: u32 = 0x8_0000;
const ENCRYPTED: u32 = 0x800;
const INLINE: u32 = 0x1000_0000;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    Pipe,
    Socket,
    /// With its number as the kernel has it.
    Character(u64),
    Block(u64),
}

/// An inode.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(crate) kind: Kind,
    /// Permissions, with setuid, setgid and the sticky bit.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// Seconds since 1970 and nanoseconds.
    pub(crate) accessed: (i64, u32),
    pub(crate) modified: (i64, u32),
    /// Attributes by their names; access lists as the kernel gives them.
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    /// Where its content is, or itself when it is a short link.
    pub(super) place: [u8; 60],
    pub(super) has_extents: bool,
}

impl Ext4<'_> {
    pub(super) fn inode(&self, number: u32) -> Result<Inode, Fault> {
        if number == 0 || number > self.sb.inodes {
            return Err(self.damaged(format!("it names inode {number} of {}", self.sb.inodes)));
        }
        let (group, index) = (
            (number - 1) / self.sb.inodes_per_group,
            (number - 1) % self.sb.inodes_per_group,
        );
        let at = u64::from(group) * self.sb.group_size;
        let groups = self.block(self.sb.first_block + 1 + at / self.sb.block_size)?;
        let inside = usize::try_from(at % self.sb.block_size).unwrap_or(usize::MAX);
        let high = if self.sb.group_size > 32 {
            u32_at(&groups, inside.saturating_add(0x28))
        } else {
            0
        };
        let table = joined(u32_at(&groups, inside.saturating_add(8)), high);
        let at = u64::from(index) * self.sb.inode_size;
        let block = self.block(table.saturating_add(at / self.sb.block_size))?;
        let from = usize::try_from(at % self.sb.block_size).unwrap_or(usize::MAX);
        let size = usize::try_from(self.sb.inode_size).unwrap_or(0);
        let text = block.get(from..from.saturating_add(size)).unwrap_or_default();
        self.parse(number, text)
    }

    fn parse(&self, number: u32, text: &[u8]) -> Result<Inode, Fault> {
        let (mode, flags) = (u16_at(text, 0), u32_at(text, 0x20));
        let mut place = [0; 60];
        if let Some(bytes) = text.get(0x28..0x64) {
            place.copy_from_slice(bytes);
        }
        let kind = match mode >> 12 {
            1 => Kind::Pipe,
            2 => Kind::Character(device(&place)),
            4 => Kind::Folder,
            6 => Kind::Block(device(&place)),
            8 => Kind::File,
            10 => Kind::Link,
            12 => Kind::Socket,
            _ => return Err(self.damaged(format!("inode {number} is of no kind ({mode:o})"))),
        };
        let extra = if text.len() > 128 {
            usize::from(u16_at(text, 0x80))
        } else {
            0
        };
        // A field is there only when the inode is that long.
        let far = |at: usize| if at + 4 <= 128 + extra { u32_at(text, at) } else { 0 };
        if u16_at(text, 0x1a) == 0 {
            return Err(self.damaged(format!("inode {number} has a name and was deleted")));
        }
        if flags & (ENCRYPTED | INLINE) != 0 {
            return Err(self.damaged(format!(
                "inode {number} has flags that its file system has not ({flags:#x})"
            )));
        }
        Ok(Inode {
            kind,
            mode: u32::from(mode & 0o7777),
            uid: u32::from(u16_at(text, 2)) | (u32::from(u16_at(text, 0x78)) << 16),
            gid: u32::from(u16_at(text, 0x18)) | (u32::from(u16_at(text, 0x7a)) << 16),
            size: joined(
                u32_at(text, 4),
                if matches!(kind, Kind::File | Kind::Folder) {
                    u32_at(text, 0x6c)
                } else {
                    0
                },
            ),
            accessed: time(u32_at(text, 8), far(0x8c)),
            modified: time(u32_at(text, 0x10), far(0x88)),
            attributes: self.attributes(number, text, 128 + extra)?,
            place,
            has_extents: flags & EXTENTS != 0,
        })
    }
}

fn time(seconds: u32, extra: u32) -> (i64, u32) {
    let early = i64::from(seconds.cast_signed());
    (early + (i64::from(extra & 3) << 32), (extra >> 2).min(999_999_999))
}

/// A device's number, in the old form or in the new one.
fn device(place: &[u8]) -> u64 {
    let (old, new) = (u32_at(place, 0), u32_at(place, 4));
    let (major, minor) = match old {
        0 => (
            (new & 0xf_ff00) >> 8,
            u32::from(u8_at(place, 4)) | ((new >> 12) & 0xf_ff00),
        ),
        _ => ((old >> 8) & 0xff, old & 0xff),
    };
    nix::sys::stat::makedev(major.into(), minor.into())
}
