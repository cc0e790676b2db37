//! The journal of a volume that was in use when its snapshot was made: what was promised and not yet put where it belongs.
//! Nothing is written; a block whose newest content lies in the journal is read from there.

use std::collections::BTreeMap;

use super::{
    Ext4, Inode, Run,
    bytes::{be16_at, be32_at, joined},
};
use crate::longhorn::Fault;

/// How each of its own blocks begins.
pub(super) const MAGIC: [u8; 4] = [0xc0, 0x3b, 0x39, 0x98];
/// Features that are known: revoked blocks, 64 bits, checksums of version 2 and 3.
const KNOWN: u32 = 0x1 | 0x2 | 0x8 | 0x10;
const WIDE: u32 = 0x2;
const SUMS_2: u32 = 0x8;
const SUMS_3: u32 = 0x10;
/// Blocks of the largest journal that is read.
const LARGEST: u32 = 1 << 20;

struct Journal<'a> {
    fs: &'a Ext4<'a>,
    runs: Vec<Run>,
    features: u32,
    first: u32,
    end: u32,
}

/// What one transaction says.
#[derive(Default)]
struct Transaction {
    /// Block, where its content lies, whether its first bytes were hidden.
    blocks: Vec<(u64, u64, bool)>,
    revoked: Vec<u64>,
}

/// The blocks whose newest content lies in the journal.
pub(super) fn newer(fs: &Ext4<'_>, inode: &Inode) -> Result<BTreeMap<u64, (u64, bool)>, Fault> {
    let mut journal = Journal {
        fs,
        runs: fs.runs(inode)?,
        features: 0,
        first: 0,
        end: 0,
    };
    let head = fs.raw(journal.place(0)?)?;
    let kind = be32_at(&head, 4);
    let known =
        head.starts_with(&MAGIC) && (kind == 4 || kind == 3) && u64::from(be32_at(&head, 0xc)) == fs.sb.block_size;
    journal.features = if kind == 4 { be32_at(&head, 0x28) } else { 0 };
    (journal.first, journal.end) = (be32_at(&head, 0x14), be32_at(&head, 0x10));
    if !known
        || journal.features & !KNOWN != 0
        || journal.first == 0
        || journal.first >= journal.end
        || journal.end > LARGEST
    {
        return Err(fs.damaged(format!(
            "its journal is of no kind that is read here ({:#x})",
            journal.features
        )));
    }
    let mut all = Vec::new();
    let (mut at, mut sequence) = (be32_at(&head, 0x1c), be32_at(&head, 0x18));
    let mut left = journal.end;
    // 0: it was emptied.
    while at != 0
        && let Some((transaction, next)) = journal.transaction(at, sequence, &mut left)?
    {
        all.push(transaction);
        at = next;
        sequence = sequence.wrapping_add(1);
    }
    Ok(merge(&all))
}

/// The last word on each block. One that was revoked was given to something that needs no journal: what is older does not count.
fn merge(all: &[Transaction]) -> BTreeMap<u64, (u64, bool)> {
    let mut revoked = BTreeMap::new();
    for (n, transaction) in all.iter().enumerate() {
        revoked.extend(transaction.revoked.iter().map(|block| (*block, n)));
    }
    let mut newer = BTreeMap::new();
    for (n, transaction) in all.iter().enumerate() {
        for (block, at, hidden) in &transaction.blocks {
            if revoked.get(block).is_none_or(|last| *last < n) {
                newer.insert(*block, (*at, *hidden));
            }
        }
    }
    newer
}

impl Journal<'_> {
    /// The file system's block of one of the journal's.
    fn place(&self, number: u32) -> Result<u64, Fault> {
        let number = u64::from(number);
        let run = self
            .runs
            .iter()
            .find(|run| (run.first..run.first + run.count).contains(&number));
        let run = run.ok_or_else(|| self.fs.damaged(format!("its journal has no block {number}")))?;
        Ok(run.at + (number - run.first))
    }

    fn after(&self, at: u32) -> u32 {
        if at + 1 >= self.end { self.first } else { at + 1 }
    }

    /// Reads a transaction that begins there; `None` when there is none, or when it was not finished. `left`: how many blocks may
    /// still be read, so that a ring without an end is none.
    fn transaction(&self, at: u32, sequence: u32, left: &mut u32) -> Result<Option<(Transaction, u32)>, Fault> {
        let (mut transaction, mut at) = (Transaction::default(), at);
        loop {
            if *left == 0 || !(self.first..self.end).contains(&at) {
                return Ok(None);
            }
            *left -= 1;
            let block = self.fs.raw(self.place(at)?)?;
            if !block.starts_with(&MAGIC) || be32_at(&block, 8) != sequence {
                return Ok(None);
            }
            at = self.after(at);
            match be32_at(&block, 4) {
                1 => {
                    for (number, hidden) in self.tags(&block) {
                        if *left == 0 {
                            return Ok(None);
                        }
                        *left -= 1;
                        transaction.blocks.push((number, self.place(at)?, hidden));
                        at = self.after(at);
                    }
                }
                2 => return Ok(Some((transaction, at))),
                5 => transaction.revoked.extend(self.revoked(&block)),
                _ => return Ok(None),
            }
        }
    }

    /// The blocks that follow this one: their places, and whether their first bytes were hidden.
    fn tags(&self, block: &[u8]) -> Vec<(u64, bool)> {
        let wide = self.features & WIDE != 0;
        let size = match (self.features & SUMS_3 != 0, wide) {
            (true, _) => 16,
            (false, true) => 12 + if self.features & SUMS_2 != 0 { 2 } else { 0 },
            (false, false) => 8 + if self.features & SUMS_2 != 0 { 2 } else { 0 },
        };
        let tail = if self.features & (SUMS_2 | SUMS_3) != 0 { 4 } else { 0 };
        let (mut tags, mut at) = (Vec::new(), 12);
        while at + size + tail <= block.len() {
            let flags = match self.features & SUMS_3 {
                0 => be16_at(block, at + 6).into(),
                _ => be32_at(block, at + 4),
            };
            let high = if wide { be32_at(block, at + 8) } else { 0 };
            tags.push((joined(be32_at(block, at), high), flags & 1 != 0));
            // The journal's own name follows the first one.
            at += size + if flags & 2 == 0 { 16 } else { 0 };
            if flags & 8 != 0 {
                break;
            }
        }
        tags
    }

    fn revoked(&self, block: &[u8]) -> Vec<u64> {
        let size = if self.features & WIDE != 0 { 8 } else { 4 };
        let end = usize::try_from(be32_at(block, 12)).unwrap_or(0).min(block.len());
        let entries = block.get(16..end).unwrap_or_default().chunks_exact(size);
        entries
            .map(|entry| match size {
                8 => joined(be32_at(entry, 4), be32_at(entry, 0)),
                _ => be32_at(entry, 0).into(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_revoked_later_is_not_read_from_the_journal() {
        let one = Transaction {
            blocks: vec![(5, 100, false), (6, 101, false)],
            revoked: vec![],
        };
        let two = Transaction {
            blocks: vec![(6, 110, true)],
            revoked: vec![5, 6],
        };
        let three = Transaction {
            blocks: vec![(6, 120, false), (7, 121, true)],
            revoked: vec![],
        };
        let merged = merge(&[one, two, three]);
        assert_eq!(merged, BTreeMap::from([(6, (120, false)), (7, (121, true))]));
    }
}
