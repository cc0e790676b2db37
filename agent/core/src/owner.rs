//! The owner's part: the folder that makes a generic image one owner's. It is data, never code.

use std::path::Path;

use crate::{castle::Castle, explain::Explained, http::Trust, lock::Lock};

/// Most bytes that one file of the owner's part may have.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The owner's part, read and checked.
pub struct OwnersPart {
    /// The castle file.
    pub castle: Castle,
    /// The lock file.
    pub lock: Lock,
    /// The sealed vault, still closed.
    pub vault: Vec<u8>,
    /// Roots that are trusted besides the public ones.
    pub trust: Trust,
}

impl OwnersPart {
    /// Reads `castle.yaml`, `castle.lock`, `vault.skv` and, when there, `ca.pem` from a folder.
    pub fn read(folder: &Path) -> Result<Self, Explained> {
        let castle = Castle::parse(&text(folder, "castle.yaml")?)?;
        let lock = Lock::parse(&text(folder, "castle.lock")?)?;
        let vault = bytes(folder, "vault.skv")?;
        let trust = if folder.join("ca.pem").exists() {
            Trust::with_extra_pem(&bytes(folder, "ca.pem")?)?
        } else {
            Trust::public()
        };
        Ok(OwnersPart {
            castle,
            lock,
            vault,
            trust,
        })
    }
}

fn bytes(folder: &Path, name: &str) -> Result<Vec<u8>, Explained> {
    let path = folder.join(name);
    let problem = |why: String| Explained {
        what: format!("The owner's part has no usable {name}"),
        why,
        remedy: format!(
            "Put {name} into the folder `{}` (on a stick: `skykeep stick personal`).",
            folder.display()
        ),
    };
    let size = std::fs::metadata(&path).map_err(|e| problem(e.to_string()))?.len();
    if size > MAX_FILE {
        return Err(problem(format!("it has {size} bytes; at most {MAX_FILE} are read")));
    }
    std::fs::read(&path).map_err(|e| problem(e.to_string()))
}

fn text(folder: &Path, name: &str) -> Result<String, Explained> {
    String::from_utf8(bytes(folder, name)?).map_err(|_| Explained {
        what: format!("The owner's part has no usable {name}"),
        why: "it is not UTF-8 text".into(),
        remedy: format!("Write {name} again as plain text."),
    })
}
