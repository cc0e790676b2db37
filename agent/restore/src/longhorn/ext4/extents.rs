//! Where the content of a file lies.

use super::{
    Ext4, Inode,
    bytes::{joined, u16_at, u32_at},
};
use crate::longhorn::Fault;

const MAGIC: u16 = 0xf30a;
const DEEPEST: u16 = 5;

/// Blocks of a file that lie one after the other. What is in no run is zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first, counted from the file's beginning.
    pub(crate) first: u64,
    /// How many.
    pub(crate) count: u64,
    /// The first, counted from the file system's beginning.
    pub(crate) at: u64,
}

impl Ext4<'_> {
    /// The runs of a file, in their order.
    pub(crate) fn runs(&self, inode: &Inode) -> Result<Vec<Run>, Fault> {
        let mut runs = Vec::new();
        if !inode.has_extents {
            if inode.place.iter().any(|b| *b != 0) {
                return Err(Fault::Unreadable {
                    volume: self.device.name().to_owned(),
                    why: "a file in it keeps its blocks as ext3 does".into(),
                    remedy: "Restore it with Longhorn.",
                });
            }
            return Ok(runs);
        }
        self.collect(&inode.place, None, 0, &mut runs)?;
        Ok(runs)
    }

    /// Runs must follow one another, so there can't be more of them than blocks, whatever the bytes say.
    fn collect(&self, node: &[u8], depth: Option<u16>, least: u64, runs: &mut Vec<Run>) -> Result<(), Fault> {
        let (entries, here) = (usize::from(u16_at(node, 2)), u16_at(node, 6));
        let fits = entries <= node.len().saturating_sub(12) / 12;
        if u16_at(node, 0) != MAGIC || here > DEEPEST || !fits || depth.is_some_and(|depth| here + 1 != depth) {
            return Err(self.damaged("a file's list of blocks makes no sense"));
        }
        let mut least = least;
        for entry in node.get(12..).unwrap_or_default().chunks_exact(12).take(entries) {
            let first = u64::from(u32_at(entry, 0));
            let end = runs.last().map_or(0, |run: &Run| run.first + run.count).max(least);
            if first < end {
                return Err(self.damaged("a file's list of blocks is in no order"));
            }
            if here > 0 {
                let at = joined(u32_at(entry, 4), u16_at(entry, 8).into());
                self.collect(&self.block(at)?, Some(here), first, runs)?;
                // Even a list that holds nothing is passed once only.
                least = first + 1;
                continue;
            }
            let length = u64::from(u16_at(entry, 4));
            // Longer ones were reserved and never written: zeros.
            let (count, written) = if length > 0x8000 {
                (length - 0x8000, false)
            } else {
                (length, true)
            };
            let at = joined(u32_at(entry, 8), u16_at(entry, 6).into());
            if count == 0 || at == 0 || at.saturating_add(count) > self.sb.blocks {
                return Err(self.damaged("a file's block lies outside of it"));
            }
            least = first + count;
            if written {
                runs.push(Run { first, count, at });
            }
        }
        Ok(())
    }
}
