//! Extended attributes: some lie in the inode, some in a block of their own.

use std::collections::BTreeMap;

use super::{
    Ext4,
    bytes::{joined, u8_at, u16_at, u32_at},
};
use crate::longhorn::{Fault, acl};

const MAGIC: u32 = 0xea02_0000;

impl Ext4<'_> {
    /// Of the inode with this number and text; `after`: where its own fields end.
    pub(super) fn attributes(
        &self,
        number: u32,
        text: &[u8],
        after: usize,
    ) -> Result<BTreeMap<String, Vec<u8>>, Fault> {
        let mut all = BTreeMap::new();
        let wrong = || self.damaged(format!("the attributes of inode {number} make no sense"));
        if text.len() > 128 && u32_at(text, after) == MAGIC {
            let area = text.get(after.saturating_add(4)..).unwrap_or_default();
            collect(area, area, &mut all).ok_or_else(wrong)?;
        }
        let block = joined(u32_at(text, 0x68), u16_at(text, 0x76).into());
        if block != 0 {
            let block = self.block(block)?;
            if u32_at(&block, 0) != MAGIC {
                return Err(wrong());
            }
            collect(block.get(32..).unwrap_or_default(), &block, &mut all).ok_or_else(wrong)?;
        }
        Ok(all)
    }
}

/// Reads the entries; their values are counted from the beginning of `values`.
fn collect(entries: &[u8], values: &[u8], all: &mut BTreeMap<String, Vec<u8>>) -> Option<()> {
    let mut rest = entries;
    while rest.len() >= 4 && u32_at(rest, 0) != 0 {
        let (length, index) = (usize::from(u8_at(rest, 0)), u8_at(rest, 1));
        let (from, size) = (usize::from(u16_at(rest, 2)), usize::try_from(u32_at(rest, 8)).ok()?);
        let name = rest.get(16..16 + length)?;
        let value = if size == 0 {
            &[][..]
        } else {
            values.get(from..from.checked_add(size)?)?
        };
        let is_elsewhere = u32_at(rest, 4) != 0;
        let prefix = match index {
            1 => "user.",
            2 => "system.posix_acl_access",
            3 => "system.posix_acl_default",
            4 => "trusted.",
            6 => "security.",
            7 => "system.",
            _ => return None,
        };
        let name = format!("{prefix}{}", std::str::from_utf8(name).ok()?);
        let value = match index {
            2 | 3 => acl::to_attribute(value)?,
            _ => value.to_vec(),
        };
        if is_elsewhere || all.insert(name, value).is_some() {
            return None;
        }
        rest = rest.get((16 + length).next_multiple_of(4)..)?;
    }
    Some(())
}
