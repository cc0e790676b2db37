//! What is to come back, and whether the repository has it all, before anything is written.

use std::{
    collections::BTreeMap,
    path::{Component, PathBuf},
};

use rustic_core::{FileType, LsOptions, ReadBackend, repofile::Node};

use crate::{RestoreError, repository::Found};

/// All nodes below the path, parents before children, and their sums.
pub(crate) struct Survey {
    /// Paths relative to the root of the restore.
    pub(crate) nodes: Vec<(PathBuf, Node)>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Lists everything below the path; each piece must be in the index and inside a pack that is there.
pub(crate) fn survey(found: &Found) -> Result<Survey, RestoreError> {
    let packs: BTreeMap<_, _> = found.list_packs()?.into_iter().collect();
    let mut seen = Survey {
        nodes: Vec::new(),
        files: 0,
        bytes: 0,
    };
    let listing = found
        .repo
        .ls(&found.node, &LsOptions::default())
        .map_err(|e| found.trouble(&e))?;
    for entry in listing {
        let (path, node) = entry.map_err(|e| found.trouble(&e))?;
        if !path.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(found.damaged(format!("it names the path {}, which leaves its folder", path.display())));
        }
        if node.is_file() {
            check_pieces(found, &path, &node, &packs)?;
            seen.files += 1;
            seen.bytes += node.meta.size;
        }
        seen.nodes.push((path, node));
    }
    Ok(seen)
}

fn check_pieces(
    found: &Found,
    path: &std::path::Path,
    node: &Node,
    packs: &BTreeMap<rustic_core::Id, u32>,
) -> Result<(), RestoreError> {
    let mut size = 0;
    for id in node.content.iter().flatten() {
        let entry = found
            .repo
            .get_index_entry(id)
            .map_err(|_| found.damaged(format!("piece {id} of {} is not in its index", path.display())))?;
        let end = u64::from(entry.location.offset) + u64::from(entry.location.length);
        match packs.get(&entry.pack) {
            None => {
                return Err(found.damaged(format!(
                    "pack {}, needed for {}, is missing",
                    entry.pack,
                    path.display()
                )));
            }
            Some(length) if u64::from(*length) < end => {
                return Err(found.damaged(format!(
                    "pack {}, needed for {}, is cut short",
                    entry.pack,
                    path.display()
                )));
            }
            Some(_) => {}
        }
        size += u64::from(entry.data_length());
    }
    if size != node.meta.size {
        let why = format!(
            "the pieces of {} are {size} bytes, the file has {}",
            path.display(),
            node.meta.size
        );
        return Err(found.damaged(why));
    }
    Ok(())
}

impl Found {
    fn list_packs(&self) -> Result<Vec<(rustic_core::Id, u32)>, RestoreError> {
        self.backend()
            .list_with_size(FileType::Pack)
            .map_err(|e| self.trouble(&e))
    }
}
