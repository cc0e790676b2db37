//! The vault file on disk: read whole, changed by one program at a time, replaced only by what was read back and proven.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use skykeep_core::{Explained, Trouble};
use skykeep_vault::{MAX_FILE, Vault};

use super::ask;
use crate::console::prompt;

/// Reads a vault file, no further than a vault can be long.
pub fn read(path: &Path) -> Result<Vec<u8>, Explained> {
    read_open(&File::open(path).map_err(|e| problem(path, &e))?, path)
}

fn read_open(file: &File, path: &Path) -> Result<Vec<u8>, Explained> {
    let mut bytes = Vec::new();
    let most = MAX_FILE as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(|e| problem(path, &e))?;
    Ok(bytes)
}

/// Asks for the passphrase and opens a vault that will not be changed.
pub async fn open(path: &Path) -> Result<Vault, Trouble> {
    let sealed = read(path)?;
    // Damage is said before anybody types.
    skykeep_vault::outside(&sealed)?;
    super::unlock(sealed, prompt::hidden_line(ask::PASSPHRASE)?).await
}

/// An open vault and the lock that keeps other programs from changing its file meanwhile.
pub struct Change {
    /// The vault.
    pub vault: Vault,
    path: PathBuf,
    lock: Flock<File>,
}

impl Change {
    /// Locks the file, asks for the passphrase and opens it.
    pub async fn begin(path: &Path) -> Result<Self, Trouble> {
        // A link is followed, so that the file it points to is replaced and not the link.
        let path = path.canonicalize().map_err(|e| problem(path, &e))?;
        let lock = lock(&path)?;
        let sealed = read_open(&lock, &path)?;
        skykeep_vault::outside(&sealed)?;
        let vault = super::unlock(sealed, prompt::hidden_line(ask::PASSPHRASE)?).await?;
        Ok(Change { vault, path, lock })
    }

    /// Writes the vault; the old file stays until the new one has been read back and proven.
    pub fn finish(mut self) -> Result<(), Trouble> {
        let sealed = self.vault.seal()?;
        self.replace(&sealed)
    }

    /// Writes a sealed copy of the vault in the place of the file, under the same care.
    pub fn replace(self, sealed: &[u8]) -> Result<(), Trouble> {
        let beside = write_beside(&self.path, sealed, &self.vault)?;
        let mode = self.lock.metadata().map_err(|e| problem(&self.path, &e))?.permissions();
        beside
            .as_file()
            .set_permissions(mode)
            .map_err(|e| problem(&self.path, &e))?;
        beside.persist(&self.path).map_err(|e| problem(&self.path, &e.error))?;
        sync_folder(&self.path)
    }
}

/// Writes a vault under a name that is not taken.
pub fn create(path: &Path, vault: &mut Vault) -> Result<(), Trouble> {
    let sealed = vault.seal()?;
    let beside = write_beside(path, &sealed, vault)?;
    beside.persist_noclobber(path).map_err(|e| problem(path, &e.error))?;
    sync_folder(path)
}

/// Refuses a name that is taken, before anybody types a passphrase.
pub fn must_be_new(path: &Path) -> Result<(), Explained> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Explained {
        what: format!("{} was not written", path.display()),
        why: "there is already a file of this name".into(),
        remedy: "Choose another name, or move the old file away yourself.".into(),
    })
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

fn write_beside(path: &Path, sealed: &[u8], vault: &Vault) -> Result<tempfile::NamedTempFile, Trouble> {
    let mut beside = tempfile::NamedTempFile::new_in(folder(path)).map_err(|e| problem(path, &e))?;
    beside.write_all(sealed).map_err(|e| problem(path, &e))?;
    beside.as_file().sync_all().map_err(|e| problem(path, &e))?;
    vault.verify_copy(&read(beside.path())?)?;
    Ok(beside)
}

/// After this the new name survives a power cut.
fn sync_folder(path: &Path) -> Result<(), Trouble> {
    let sync = || File::open(folder(path))?.sync_all();
    sync().map_err(|e| problem(path, &e).into())
}

/// Locks the file that has this name now, not one that another program just replaced.
fn lock(path: &Path) -> Result<Flock<File>, Explained> {
    loop {
        let file = File::open(path).map_err(|e| problem(path, &e))?;
        let inode = file.metadata().map_err(|e| problem(path, &e))?.ino();
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| Explained {
            what: format!("{} can't be changed now", path.display()),
            why: format!("another program is changing it ({errno})"),
            remedy: "Wait until the other skykeep has ended, then start again.".into(),
        })?;
        if std::fs::metadata(path).map_err(|e| problem(path, &e))?.ino() == inode {
            return Ok(lock);
        }
    }
}

/// A file that can't be read or written.
pub fn problem(path: &Path, e: &std::io::Error) -> Explained {
    Explained {
        what: format!("{} can't be read or written", path.display()),
        why: e.to_string(),
        remedy: "Check the path, its permissions and the free space.".into(),
    }
}
