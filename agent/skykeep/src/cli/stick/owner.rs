//! The owner's part, from a folder to the bytes of its slot.

use std::path::Path;

use skykeep_core::{Trouble, owner::OwnersPart};

use super::{error::StickError, newc};
use crate::code;

/// An owner's part, checked and packed.
pub struct Part {
    /// The archive.
    pub archive: Vec<u8>,
    /// Its code on the boot screen.
    pub code: String,
}

impl Part {
    /// The archive and zeros up to the slot's end: nothing of an older and longer part stays behind it.
    pub fn filling(&self, slot: u64) -> Result<Vec<u8>, StickError> {
        let size = self.archive.len() as u64;
        let mut bytes = self.archive.clone();
        match usize::try_from(slot) {
            Ok(slot_bytes) if size <= slot => bytes.resize(slot_bytes, 0),
            _ => return Err(StickError::TooMuch { size, slot }),
        }
        Ok(bytes)
    }
}

/// Reads and checks the files as the agent will, and packs them.
pub fn read(folder: &Path) -> Result<Part, Trouble> {
    OwnersPart::read(folder)?;
    let mut files = Vec::new();
    for name in code::OWNER_FILES {
        let path = folder.join(name);
        match std::fs::read(&path) {
            Ok(content) => files.push((name, content)),
            // Only ca.pem may be missing: the check above saw the others.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(StickError::Io {
                    doing: "reading",
                    path: path.display().to_string(),
                    source,
                }
                .into());
            }
        }
    }
    let list = || files.iter().map(|(name, content)| (*name, content.as_slice()));
    Ok(Part {
        archive: newc::pack(list()),
        code: code::of_owner(list()),
    })
}
