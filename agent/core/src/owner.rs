//! The owner's part: the folder that makes a generic image one owner's. It is data, never code.

use std::{collections::BTreeMap, path::Path, time::Duration};

use url::Url;

use crate::{
    castle::Castle,
    explain::Explained,
    http::{Trust, download},
    lock::Lock,
};

/// One file may take this long to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes that one file of the owner's part may have.
const MAX_FILE: usize = 4 * 1024 * 1024;

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

/// The files of an owner's part, in the order in which they are packed and counted. The last one may be absent.
pub const FILES: [&str; 4] = ["castle.yaml", "castle.lock", "vault.skv", "ca.pem"];

impl OwnersPart {
    /// Reads `castle.yaml`, `castle.lock`, `vault.skv` and, when there, `ca.pem` from a folder.
    pub fn read(folder: &Path) -> Result<Self, Explained> {
        let mut files = Vec::new();
        for name in FILES {
            if name != "ca.pem" || folder.join(name).exists() {
                files.push((name, bytes(folder, name)?));
            }
        }
        Self::of(files)
    }

    /// From the files' contents, wherever they come from.
    pub fn of(files: Vec<(&'static str, Vec<u8>)>) -> Result<Self, Explained> {
        let mut files: BTreeMap<&str, Vec<u8>> = files.into_iter().collect();
        let mut take = |name| files.remove(name).unwrap_or_default();
        Ok(OwnersPart {
            castle: Castle::parse(&text("castle.yaml", take("castle.yaml"))?)?,
            lock: Lock::parse(&text("castle.lock", take("castle.lock"))?)?,
            vault: take("vault.skv"),
            trust: Trust::with_extra_pem(&take("ca.pem"))?,
        })
    }

    /// An owner's part behind an HTTPS address, which needs no credential. The files as they came.
    pub async fn download(from: &Url, trust: &Trust) -> Result<Vec<(&'static str, Vec<u8>)>, Explained> {
        let http = trust.http(PATIENCE)?;
        let mut folder = from.clone();
        if !folder.path().ends_with('/') {
            folder.set_path(&format!("{}/", from.path()));
        }
        let mut files = Vec::new();
        for name in FILES {
            let url = folder.join(name).map_err(|e| not_downloaded(name, e.to_string()))?;
            match download(&http, url, MAX_FILE).await {
                Ok(Some(bytes)) => files.push((name, bytes)),
                Ok(None) if name == "ca.pem" => {}
                Ok(None) => return Err(not_downloaded(name, "there is no such file".into())),
                Err(why) => return Err(not_downloaded(name, why)),
            }
        }
        Ok(files)
    }
}

fn not_downloaded(name: &str, why: String) -> Explained {
    Explained {
        what: format!("{name} of the owner's part could not be fetched"),
        why,
        remedy:
            "Check the address of `--from` (the folder of castle.yaml, castle.lock and vault.skv), and with `--ca` its \
                 certificate."
                .into(),
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
    if size > MAX_FILE as u64 {
        return Err(problem(format!("it has {size} bytes; at most {MAX_FILE} are read")));
    }
    std::fs::read(&path).map_err(|e| problem(e.to_string()))
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String, Explained> {
    String::from_utf8(bytes).map_err(|_| Explained {
        what: format!("The owner's part has no usable {name}"),
        why: "it is not UTF-8 text".into(),
        remedy: format!("Write {name} again as plain text."),
    })
}
