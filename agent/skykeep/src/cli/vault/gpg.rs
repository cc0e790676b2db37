//! A gopass store: its entries, each decrypted by the system's `gpg` into memory.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use skykeep_core::{Explained, Secret};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::file;

/// How long one entry may take: its owner may have to type into gpg's own window.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most bytes of a decrypted entry.
const LARGEST: usize = 4 * 1024 * 1024;

/// The entries of a store, sorted by name: `web/site` and the file it is in. Links and hidden folders (`.git`) are
/// passed over.
pub fn store(folder: &Path) -> Result<Vec<(String, PathBuf)>, Explained> {
    let mut found = Vec::new();
    collect(folder, "", &mut found)?;
    found.sort();
    if found.is_empty() {
        return Err(Explained {
            what: "Nothing was imported".into(),
            why: format!("{} holds no file that ends with .gpg", folder.display()),
            remedy: "Name the folder of the store itself (the one with .gpg-id in it).".into(),
        });
    }
    Ok(found)
}

fn collect(folder: &Path, name: &str, found: &mut Vec<(String, PathBuf)>) -> Result<(), Explained> {
    for entry in std::fs::read_dir(folder).map_err(|e| file::problem(folder, &e))? {
        let entry = entry.map_err(|e| file::problem(folder, &e))?;
        let kind = entry.file_type().map_err(|e| file::problem(folder, &e))?;
        let own = entry.file_name().to_string_lossy().into_owned();
        let name = if name.is_empty() {
            own.clone()
        } else {
            format!("{name}/{own}")
        };
        if own.starts_with('.') && kind.is_dir() {
            continue;
        }
        if kind.is_dir() {
            collect(&entry.path(), &name, found)?;
        } else if let (true, Some(name)) = (kind.is_file(), name.strip_suffix(".gpg")) {
            found.push((name.to_owned(), entry.path()));
        }
    }
    Ok(())
}

fn refused(path: &Path, why: String) -> Explained {
    Explained {
        what: format!("{} was not decrypted, and nothing was imported", path.display()),
        why,
        remedy:
            "Try `gpg --decrypt` on it: the secret key must be in the keyring (GNUPGHOME), and gpg must be installed."
                .into(),
    }
}

/// One entry's text; it goes from gpg's pipe into locked memory and never into a file.
pub async fn decrypt(path: &Path) -> Result<Secret, Explained> {
    let mut child = tokio::process::Command::new("gpg")
        .args(["--batch", "--quiet", "--no-tty", "--status-fd", "2", "--decrypt", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| refused(path, format!("gpg did not start: {e}")))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    // gpg compresses; with room from the start an ordinary entry is never moved.
    let room = usize::try_from(size).unwrap_or_default().saturating_mul(8).min(LARGEST) + 64 * 1024;
    let work = async {
        let mut plain = Zeroizing::new(Vec::with_capacity(room));
        let mut words = String::new();
        let (Some(out), Some(mut err)) = (out, err) else {
            return Ok((plain, words, None));
        };
        let mut out = out.take(LARGEST as u64 + 1);
        tokio::try_join!(out.read_to_end(&mut plain), err.read_to_string(&mut words))?;
        let ended = child.wait().await?;
        Ok::<_, std::io::Error>((plain, words, Some(ended)))
    };
    let (mut plain, words, ended) = tokio::time::timeout(PATIENCE, work)
        .await
        .map_err(|_| refused(path, format!("gpg did not end within {} s", PATIENCE.as_secs())))?
        .map_err(|e| refused(path, e.to_string()))?;
    if plain.len() > LARGEST {
        return Err(refused(path, format!("it has more than {LARGEST} bytes")));
    }
    // A file that was cut short can end with success and no text: only gpg's own word for a proven text counts.
    let proven = words.lines().any(|line| line == "[GNUPG:] DECRYPTION_OKAY");
    if !proven || !ended.is_some_and(|e| e.success()) {
        let words: String = words
            .lines()
            .rfind(|line| !line.starts_with("[GNUPG:]"))
            .unwrap_or("it proved no text")
            .chars()
            .take(200)
            .collect();
        return Err(refused(path, words));
    }
    Ok(Secret::new(std::mem::take(&mut *plain)))
}
