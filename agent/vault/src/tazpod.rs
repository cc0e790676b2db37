//! TazPod's `vault.tar.aes`, version 2: read to move in, written to move out.
//!
//! salt (32), nonce (12), AES-256-GCM of gzip(tar) with its tag. The key is PBKDF2-HMAC-SHA256 of the passphrase, 100 000
//! rounds. No magic, no version: a wrong passphrase can't be told from damage.

use std::io::{Cursor, Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use hmac::Hmac;
use sha2::Sha256;
use skykeep_core::Secret;
use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;

use crate::{
    crypt::{self, NONCE, TAG},
    error::VaultError,
};

const SALT: usize = 32;
const ROUNDS: u32 = 100_000;
/// Most bytes of the unpacked archive: his own memory file system has 64 MiB.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Most members of an archive.
const MEMBERS: usize = 10_000;

/// A file of an archive.
pub struct File {
    /// Its path within the archive.
    pub path: String,
    /// Its content.
    pub value: Secret,
}

/// What was found in an archive.
pub struct Found {
    /// Its files, in the order of the archive.
    pub files: Vec<File>,
    /// Members that hold nothing: links, sockets and the like.
    pub skipped: Vec<String>,
}

/// Opens an archive.
pub fn read(file: &[u8], passphrase: &Secret) -> Result<Found, VaultError> {
    let short = || {
        VaultError::TazPod(format!(
            "it has {} bytes; the smallest has {}",
            file.len(),
            SALT + NONCE + TAG
        ))
    };
    let (salt, rest) = file.split_first_chunk::<SALT>().ok_or_else(short)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(short)?;
    if sealed.len() < TAG {
        return Err(short());
    }
    let plain = crypt::open(&key(passphrase, salt)?, *nonce, &[], sealed)?.ok_or_else(|| {
        VaultError::TazPod("the passphrase is wrong, or the file is damaged: its format can't tell".into())
    })?;
    unpack(&plain)
}

/// Writes an archive that his own program opens: every folder before its files, plain names, only files and folders.
pub fn write<'a>(
    entries: impl Iterator<Item = (&'a str, &'a Secret)>,
    passphrase: &Secret,
    seconds: u64,
) -> Result<Vec<u8>, VaultError> {
    let plain = pack(entries, seconds)?;
    let (salt, nonce) = (crypt::random::<SALT>()?, crypt::random::<NONCE>()?);
    let sealed = crypt::seal(&key(passphrase, &salt)?, nonce, &[], &plain)?;
    Ok([&salt[..], &nonce[..], &sealed].concat())
}

fn key(passphrase: &Secret, salt: &[u8]) -> Result<Secret, VaultError> {
    let mut key = Zeroizing::new(vec![0; 32]);
    pbkdf2::pbkdf2::<Hmac<Sha256>>(passphrase.expose(), salt, ROUNDS, &mut key)
        .map_err(|e| VaultError::Machine(e.to_string()))?;
    Ok(Secret::new(std::mem::take(&mut *key)))
}

fn broken(e: &std::io::Error) -> VaultError {
    VaultError::TazPod(format!("it opened, but what is in it is no archive: {e}"))
}

/// Reads what an archive encrypts, gzip(tar). Whoever knows the passphrase may still have made a hostile archive: names that escape are refused.
pub fn unpack(plain: &[u8]) -> Result<Found, VaultError> {
    let mut archive = Archive::new(GzDecoder::new(Cursor::new(plain)).take(LARGEST + 1));
    let mut found = Found {
        files: Vec::new(),
        skipped: Vec::new(),
    };
    let mut left = LARGEST;
    for (number, member) in archive.entries().map_err(|e| broken(&e))?.enumerate() {
        let mut member = member.map_err(|e| broken(&e))?;
        if number >= MEMBERS {
            return Err(VaultError::TazPod(format!("it has more than {MEMBERS} members")));
        }
        let path = std::str::from_utf8(&member.path_bytes())
            .map_err(|_| VaultError::TazPod("a name in it is not UTF-8".into()))?
            .trim_end_matches('/')
            .to_owned();
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(VaultError::TazPod("a name in it leads out of its folder".into()));
        }
        match member.header().entry_type() {
            EntryType::Directory => {}
            EntryType::Regular | EntryType::Continuous => {
                let size = member.size();
                left = left
                    .checked_sub(size)
                    .ok_or_else(|| VaultError::TazPod("it unpacks to more than 64 MiB".into()))?;
                let mut value = Zeroizing::new(Vec::new());
                // A lying header must not make us reserve what never comes.
                member.read_to_end(&mut value).map_err(|e| broken(&e))?;
                found.files.push(File {
                    path,
                    value: Secret::new(std::mem::take(&mut *value)),
                });
            }
            _ => found.skipped.push(path),
        }
    }
    Ok(found)
}

pub(crate) fn pack<'a>(
    entries: impl Iterator<Item = (&'a str, &'a Secret)>,
    seconds: u64,
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let fails = |e: std::io::Error| VaultError::Machine(e.to_string());
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut folders = std::collections::BTreeSet::new();
    for (path, value) in entries {
        for (at, _) in path.match_indices('/') {
            let folder = path.get(..at).unwrap_or_default();
            if folders.insert(folder.to_owned()) {
                append(&mut archive, folder, EntryType::Directory, &[], seconds).map_err(fails)?;
            }
        }
        append(&mut archive, path, EntryType::Regular, value.expose(), seconds).map_err(fails)?;
    }
    // The buffers of the two libraries are theirs and are not wiped: an export is made on its owner's computer.
    let packed = archive.into_inner().and_then(GzEncoder::finish).map_err(fails)?;
    Ok(Zeroizing::new(packed))
}

fn append(to: &mut Builder<impl Write>, path: &str, kind: EntryType, data: &[u8], seconds: u64) -> std::io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o600 });
    header.set_size(data.len() as u64);
    header.set_mtime(seconds);
    // He runs as the first user of his container.
    header.set_uid(1000);
    header.set_gid(1000);
    to.append_data(&mut header, path, data)
}

#[cfg(test)]
#[path = "tazpod_tests.rs"]
mod tests;
