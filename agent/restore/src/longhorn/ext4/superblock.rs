//! The superblock: what kind of file system it is, and whether it is read here.

use super::{
    Device,
    bytes::{joined, u16_at, u32_at},
};
use crate::longhorn::Fault;

/// Features that change how it must be read, and that are known here: file types, an unfinished journal, extents, 64 bits, a
/// guard against a second mount, groups that lie together, a seed of checksums, large folders.
const KNOWN: u32 = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x2000 | 0x4000;
const RECOVER: u32 = 0x4;
const WIDE: u32 = 0x80;
/// Names of those that are not.
const UNKNOWN: [(u32, &str); 8] = [
    (0x1, "compression"),
    (0x8, "a journal of its own"),
    (0x10, "meta_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x8000, "inline_data"),
    (0x10000, "encrypt"),
    (0x20000, "casefold"),
];

pub(super) struct Superblock {
    pub(super) block_size: u64,
    pub(super) blocks: u64,
    pub(super) first_block: u64,
    pub(super) inodes: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_size: u64,
    /// Bytes of a group's description.
    pub(super) group_size: u64,
    /// The journal's inode when it must be read.
    pub(super) journal: Option<u32>,
}

/// Refuses what is no ext4 file system, by the volume's first bytes.
pub(crate) fn kind_of(volume: &str, head: &[u8]) -> Result<(), Fault> {
    let unreadable = |why: &str, remedy| Fault::Unreadable {
        volume: volume.to_owned(),
        why: why.to_owned(),
        remedy,
    };
    if head.starts_with(b"LUKS\xba\xbe") {
        return Err(unreadable(
            "the volume is encrypted (LUKS)",
            "Restore it with Longhorn and its passphrase, and back its files up with restic from now on.",
        ));
    }
    if head.starts_with(b"XFSB") {
        return Err(unreadable(
            "its file system is XFS, and only ext4 is read here",
            "Restore it with Longhorn, and back its files up with restic from now on.",
        ));
    }
    if u16_at(head, 1024 + 0x38) != 0xef53 {
        return Err(unreadable(
            "it begins with no file system that is known here; a volume in mode Block has none",
            "Restore it with Longhorn.",
        ));
    }
    Ok(())
}

pub(super) fn read(device: &dyn Device) -> Result<Superblock, Fault> {
    let mut head = vec![0; 2048];
    device.read_at(0, &mut head)?;
    kind_of(device.name(), &head)?;
    parse(head.get(1024..).unwrap_or_default(), device)
}

pub(super) fn parse(text: &[u8], device: &dyn Device) -> Result<Superblock, Fault> {
    let damaged = |why: &str| Fault::Damaged {
        volume: device.name().to_owned(),
        why: why.to_owned(),
    };
    let incompatible = u32_at(text, 0x60);
    if incompatible & !KNOWN != 0 {
        let names = UNKNOWN
            .iter()
            .filter(|(bit, _)| incompatible & bit != 0)
            .map(|(_, name)| *name);
        let names: Vec<&str> = names.collect();
        return Err(Fault::Unreadable {
            volume: device.name().to_owned(),
            why: format!(
                "its ext4 has features that are not read here: {} ({incompatible:#x})",
                names.join(", ")
            ),
            remedy: "Restore it with Longhorn.",
        });
    }
    if u16_at(text, 0x3a) & 2 != 0 {
        return Err(damaged("the kernel that wrote it had noted errors in it"));
    }
    let shift = u32_at(text, 0x18);
    if shift > 5 {
        return Err(damaged("its blocks have no size that there is"));
    }
    let wide = incompatible & WIDE != 0;
    let old = u32_at(text, 0x4c) == 0;
    let sb = Superblock {
        block_size: 1024 << shift,
        blocks: joined(u32_at(text, 4), if wide { u32_at(text, 0x150) } else { 0 }),
        first_block: u32_at(text, 0x14).into(),
        inodes: u32_at(text, 0),
        inodes_per_group: u32_at(text, 0x28),
        inode_size: if old { 128 } else { u16_at(text, 0x58).into() },
        group_size: if wide { u16_at(text, 0xfe).into() } else { 32 },
        journal: (incompatible & RECOVER != 0).then(|| u32_at(text, 0xe0)),
    };
    let inode_size = sb.inode_size.is_power_of_two() && (128..=sb.block_size).contains(&sb.inode_size);
    let group_size = (32..=1024).contains(&sb.group_size);
    if !inode_size || !group_size || sb.inodes_per_group == 0 || sb.first_block > 1 {
        return Err(damaged("its superblock makes no sense"));
    }
    if sb.blocks.saturating_mul(sb.block_size) > device.size() {
        return Err(damaged("it is larger than its volume"));
    }
    Ok(sb)
}
