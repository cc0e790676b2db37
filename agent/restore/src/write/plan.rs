//! What of a backup's content is to be written: everything that is not on the volume already, in the order in which packs hold it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::Path,
};

use rustic_core::Id;

use crate::{RestoreError, repository::Found, survey::Survey, target::link_key};

/// Read from the store at once.
const PORTION: u64 = 4 << 20;
/// Bytes between two pieces that are read along rather than asked around.
const GAP: u64 = 128 << 10;
/// The longest piece that restic makes. A long hole is many of this length.
const LONGEST: u32 = 8 << 20;
/// What packs to so much less than it is may be nothing but zeros.
const DENSE: u32 = 256;

/// One place that a piece of the backup goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Want {
    /// Which pack.
    pack: u32,
    /// Where in it the piece lies, packed and encrypted.
    pub(crate) offset: u32,
    /// So many bytes.
    pub(crate) packed: u32,
    /// Bytes of the piece itself.
    pub(crate) length: u32,
    /// Which of the survey's nodes.
    pub(crate) file: u32,
    /// Which of the file's pieces.
    pub(crate) part: u32,
    /// Where in the file.
    pub(crate) start: u64,
}

impl Want {
    /// The piece's name, which is the hash of its content.
    pub(crate) fn id(&self, seen: &Survey) -> Result<Id, RestoreError> {
        let node = seen.nodes.get(self.file as usize).map(|(_, node)| node);
        let id = node.and_then(|node| node.content.as_ref()?.get(self.part as usize));
        id.map(|id| **id)
            .ok_or_else(|| RestoreError::Internal("a piece of no file".into()))
    }
}

/// What is to be written.
pub(crate) struct Plan {
    packs: Vec<Id>,
    wants: Vec<Want>,
    /// For each of the survey's nodes: how many of its pieces are to be written.
    pub(crate) missing: Vec<u32>,
    /// For each of the survey's nodes: whether a file was there before.
    pub(crate) there: Vec<bool>,
    /// Bytes to be written.
    pub(crate) bytes: u64,
    /// Those of them that will take room on the volume: what is known to be zeros won't.
    pub(crate) room: u64,
}

/// Part of a pack that is read at once, and what goes where from it.
pub(crate) struct Portion<'a> {
    pub(crate) pack: Id,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) wants: &'a [Want],
}

impl Plan {
    /// Looks at what a former attempt wrote: nothing is trusted that was not read and compared. Without a target it is everything.
    pub(crate) fn new(found: &Found, seen: &Survey, target: Option<&Path>) -> Result<Self, RestoreError> {
        let (mut numbers, mut zeros, mut linked) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut plan = Plan {
            packs: Vec::new(),
            wants: Vec::new(),
            missing: Vec::with_capacity(seen.nodes.len()),
            there: Vec::with_capacity(seen.nodes.len()),
            bytes: 0,
            room: 0,
        };
        for (file, (path, node)) in seen.nodes.iter().enumerate() {
            // A second name has no content of its own.
            let content = match node.is_file() && link_key(node).is_none_or(|key| linked.insert(key)) {
                true => node.content.as_deref().unwrap_or_default(),
                false => &[],
            };
            let mut there = match content {
                [] => None,
                _ => target.and_then(|target| File::open(target.join(path)).ok()),
            };
            plan.there.push(there.is_some());
            let (mut missing, mut start) = (0, 0);
            for (part, id) in content.iter().enumerate() {
                let entry = found.repo.get_index_entry(id).map_err(|e| found.trouble(&e))?;
                let (length, location) = (entry.data_length(), entry.location);
                let same = there
                    .as_mut()
                    .is_some_and(|file| id.blob_matches_reader(length.into(), file));
                if !same {
                    let known = numbers.len();
                    let number = *numbers.entry(*entry.pack).or_insert_with(|| {
                        plan.packs.push(*entry.pack);
                        known
                    });
                    let few = |n: usize| u32::try_from(n).map_err(|_| RestoreError::Internal("too many files".into()));
                    plan.wants.push(Want {
                        pack: few(number)?,
                        offset: location.offset,
                        packed: location.length,
                        length,
                        file: few(file)?,
                        part: few(part)?,
                        start,
                    });
                    missing += 1;
                    plan.bytes += u64::from(length);
                    let perhaps = length == LONGEST || location.length < length / DENSE;
                    let zeros = perhaps
                        && *zeros
                            .entry(**id)
                            .or_insert_with(|| id.blob_matches_reader(length.into(), &mut io::repeat(0)));
                    plan.room += if zeros { 0 } else { u64::from(length) };
                }
                start += u64::from(length);
            }
            plan.missing.push(missing);
        }
        plan.wants.sort_unstable();
        Ok(plan)
    }

    /// Leaves out the pieces that are known already.
    pub(crate) fn without(&mut self, known: impl Fn(&Want) -> bool) {
        self.wants.retain(|want| !known(want));
    }

    /// The work in portions.
    pub(crate) fn portions(&self) -> Vec<Portion<'_>> {
        let mut portions = Vec::new();
        let mut rest = self.wants.as_slice();
        while let Some(first) = rest.first() {
            let begin = u64::from(first.offset);
            let mut end = begin;
            let near = |want: &&Want| {
                let (from, to) = (u64::from(want.offset), u64::from(want.offset) + u64::from(want.packed));
                // A piece that is longer than a portion is one by itself.
                let near = want.pack == first.pack && from <= end + GAP && (to - begin <= PORTION || from == begin);
                end = if near { to } else { end };
                near
            };
            let (wants, left) = rest.split_at(rest.iter().take_while(near).count());
            let pack = usize::try_from(first.pack).ok().and_then(|n| self.packs.get(n));
            if let Some(pack) = pack {
                portions.push(Portion {
                    pack: *pack,
                    offset: begin,
                    length: end - begin,
                    wants,
                });
            }
            rest = left;
        }
        portions
    }
}
