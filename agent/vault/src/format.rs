//! The outside of the file: magic, version, header with slots and notices, checksum. See `docs/FORMATS.md`.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::{
    crypt::NONCE,
    error::VaultError,
    payload::check_path,
    read::Reader,
    slot::{MAX_SLOTS, Slot},
};

pub(crate) const MAGIC: [u8; 8] = *b"SKYKEEP\0";
pub(crate) const VERSION: u16 = 1;
/// Most bytes a vault file may have.
pub const MAX_FILE: usize = 4 * 1024 * 1024;
/// Most notices of a header.
const MAX_NOTICES: usize = 512;
const CHECKSUM: usize = 32;
const EXPIRY: u8 = 1;

/// What stands before the body; anybody can read it, only an opened vault proves it.
pub(crate) struct Header {
    pub(crate) vault_id: [u8; 16],
    pub(crate) counter: u64,
    pub(crate) slots: Vec<Slot>,
    /// When entries expire, seconds since 1970, by path; only those whose owner asked for it.
    pub(crate) expiries: BTreeMap<String, u64>,
    /// Notices of later programs, kept as they are.
    pub(crate) unknown: Vec<Vec<u8>>,
}

/// A file taken apart; nothing in it is believed yet.
pub(crate) struct Parts<'a> {
    pub(crate) header: Header,
    /// Everything before the body: its associated data.
    pub(crate) prefix: &'a [u8],
    pub(crate) nonce: [u8; NONCE],
    pub(crate) sealed: &'a [u8],
}

impl Header {
    /// Magic, version, length and header: everything before the body.
    pub(crate) fn prefix(&self) -> Result<Vec<u8>, VaultError> {
        let mut header = Vec::new();
        header.extend_from_slice(&self.vault_id);
        header.extend_from_slice(&self.counter.to_be_bytes());
        header.push(u8::try_from(self.slots.len()).unwrap_or(u8::MAX));
        for slot in &self.slots {
            field(&mut header, &slot.bytes())?;
        }
        let count = self.expiries.len() + self.unknown.len();
        if count > MAX_NOTICES {
            return Err(VaultError::TooLarge(format!(
                "{count} dates of expiry are too many; {MAX_NOTICES} are the limit"
            )));
        }
        header.extend_from_slice(&length(count)?.to_be_bytes());
        for (path, when) in &self.expiries {
            let mut notice = vec![EXPIRY];
            notice.extend_from_slice(&when.to_be_bytes());
            notice.extend_from_slice(path.as_bytes());
            field(&mut header, &notice)?;
        }
        for notice in &self.unknown {
            field(&mut header, notice)?;
        }
        let mut prefix = Vec::with_capacity(header.len() + 14);
        prefix.extend_from_slice(&MAGIC);
        prefix.extend_from_slice(&VERSION.to_be_bytes());
        prefix.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_be_bytes());
        prefix.extend_from_slice(&header);
        Ok(prefix)
    }

    fn parse(bytes: &[u8]) -> Result<Self, VaultError> {
        let mut reader = Reader(bytes);
        let vault_id = reader.array()?;
        let counter = reader.u64()?;
        let slots = slots(&mut reader)?;
        let count = usize::from(reader.u16()?);
        if count > MAX_NOTICES {
            return Err(VaultError::Absurd(format!("it has {count} notices")));
        }
        let (mut expiries, mut unknown) = (BTreeMap::new(), Vec::new());
        for _ in 0..count {
            let bytes = reader.short()?;
            let mut notice = Reader(bytes);
            if notice.u8()? != EXPIRY {
                unknown.push(bytes.to_vec());
                continue;
            }
            let when = notice.u64()?;
            let path = std::str::from_utf8(notice.0)
                .ok()
                .filter(|path| check_path(path).is_ok())
                .ok_or(VaultError::Damaged("a date of expiry names a path that can't be"))?;
            if expiries.insert(path.to_owned(), when).is_some() {
                return Err(VaultError::Damaged("an entry expires twice"));
            }
        }
        reader.end()?;
        Ok(Header {
            vault_id,
            counter,
            slots,
            expiries,
            unknown,
        })
    }
}

fn slots(reader: &mut Reader) -> Result<Vec<Slot>, VaultError> {
    let count = usize::from(reader.u8()?);
    if count == 0 || count > MAX_SLOTS {
        return Err(VaultError::Absurd(format!("it has {count} slots")));
    }
    let mut names = BTreeSet::new();
    let mut slots = Vec::with_capacity(count);
    for _ in 0..count {
        let slot = Slot::parse(reader.short()?)?;
        if !names.insert(slot.name.clone()) {
            return Err(VaultError::Absurd(format!(
                "two of its slots are called `{}`",
                slot.name
            )));
        }
        slots.push(slot);
    }
    Ok(slots)
}

fn length(n: usize) -> Result<u16, VaultError> {
    u16::try_from(n).map_err(|_| VaultError::TooLarge("a part of the header has more than 64 KiB".into()))
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), VaultError> {
    out.extend_from_slice(&length(bytes.len())?.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Puts a file together.
pub(crate) fn assemble(prefix: &[u8], nonce: [u8; NONCE], sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut file = Vec::with_capacity(prefix.len() + NONCE + sealed.len() + CHECKSUM);
    file.extend_from_slice(prefix);
    file.extend_from_slice(&nonce);
    file.extend_from_slice(sealed);
    let checksum = Sha256::digest(&file);
    file.extend_from_slice(&checksum);
    if file.len() > MAX_FILE {
        return Err(VaultError::TooLarge("the file would be larger than 4 MiB".into()));
    }
    Ok(file)
}

/// Takes a file apart. The checksum comes first, so that accidental damage is never taken for a wrong passphrase.
pub(crate) fn take_apart(file: &[u8]) -> Result<Parts<'_>, VaultError> {
    if file.len() > MAX_FILE {
        return Err(VaultError::Damaged("it is larger than 4 MiB"));
    }
    let (content, checksum) = file
        .split_last_chunk::<CHECKSUM>()
        .ok_or(VaultError::Damaged("it is shorter than a checksum"))?;
    if Sha256::digest(content).as_slice() != checksum {
        return Err(VaultError::Damaged("its checksum does not fit its content"));
    }
    let mut reader = Reader(content);
    if reader.array::<8>()? != MAGIC {
        return Err(VaultError::Damaged("it does not begin as a vault does"));
    }
    match reader.u16()? {
        VERSION => {}
        0 => return Err(VaultError::Damaged("there is no format version 0")),
        later => return Err(VaultError::TooNew(later)),
    }
    let length = usize::try_from(reader.u32()?).map_err(|_| VaultError::Damaged("its header is too long"))?;
    let header = Header::parse(reader.take(length)?)?;
    let prefix = content.get(..content.len() - reader.0.len()).unwrap_or_default();
    let nonce = reader.array()?;
    Ok(Parts {
        header,
        prefix,
        nonce,
        sealed: reader.0,
    })
}
