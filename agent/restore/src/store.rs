//! What rustic_core reads from: objects of a bucket, read only.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};
use skykeep_aws::{AwsError, S3};
use tokio::runtime::Handle;

use crate::{ahead::Ahead, room::Room, windows::Windows};

/// Bytes of packs that may be in memory at once, as they come from the store (packed and encrypted).
const PACKED: usize = 64 << 20;

/// Objects by key, blocking. Implemented by a bucket, and by a map in tests.
pub(crate) trait Store: Send + Sync + 'static {
    /// Keys and sizes of all objects under a prefix.
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, AwsError>;
    /// A whole object.
    fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError>;
    /// A part of an object; what lies beyond its end is left out.
    fn read_part(&self, key: &str, offset: u64, length: u64) -> Result<Option<Bytes>, AwsError>;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, AwsError> {
        (**self).list(prefix)
    }

    fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError> {
        (**self).read(key)
    }

    fn read_part(&self, key: &str, offset: u64, length: u64) -> Result<Option<Bytes>, AwsError> {
        (**self).read_part(key, offset, length)
    }
}

/// A bucket, for threads that may block (rustic_core's own, and tokio's blocking ones).
pub(crate) struct Bucket {
    s3: Arc<S3>,
    runtime: Handle,
}

impl Bucket {
    /// To be called inside the runtime that drives the client.
    pub(crate) fn new(s3: Arc<S3>) -> Self {
        Bucket {
            s3,
            runtime: Handle::current(),
        }
    }
}

impl Store for Bucket {
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, AwsError> {
        let entries = self.runtime.block_on(self.s3.list(prefix))?;
        Ok(entries.into_iter().map(|e| (e.key, e.size)).collect())
    }

    fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError> {
        Ok(self.runtime.block_on(self.s3.get(key))?.map(|o| o.bytes))
    }

    fn read_part(&self, key: &str, offset: u64, length: u64) -> Result<Option<Bytes>, AwsError> {
        Ok(self
            .runtime
            .block_on(self.s3.get_range(key, offset, length))?
            .map(|o| o.bytes))
    }
}

/// What went wrong first while reading. rustic_core turns errors into panics in places; this is the cause behind them.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The store refused.
    Store(AwsError),
    /// An object that must be there is not.
    Missing(String),
    /// An object ends before a piece that should lie in it.
    Short(String),
}

/// A restic repository in a store, as rustic_core wants it.
pub(crate) struct Backend {
    store: Ahead,
    place: String,
    prefix: String,
    fault: Mutex<Option<Fault>>,
    folders: Windows,
    room: Arc<Room>,
    held: Mutex<BTreeMap<(Id, u64), Bytes>>,
}

/// A part of a pack that is at hand; as long as this lives, the pieces in it come from there.
pub(crate) struct Held<'a> {
    backend: &'a Backend,
    place: (Id, u64),
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.backend.all_held().remove(&self.place);
    }
}

impl Backend {
    /// `place` is for messages; `prefix` may be empty or have slashes at its ends.
    pub(crate) fn new(store: Box<dyn Store>, place: String, prefix: &str) -> Self {
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            inner => format!("{inner}/"),
        };
        Backend {
            store: Ahead::new(store),
            place,
            prefix,
            fault: Mutex::new(None),
            folders: Windows::default(),
            room: Room::of(PACKED),
            held: Mutex::default(),
        }
    }

    /// Asks for everything that opening will ask for.
    pub(crate) fn read_ahead(&self) {
        let folder = |tpe: FileType| format!("{}{}/", self.prefix, tpe.dirname());
        let folders = [
            (FileType::Key, true),
            (FileType::Snapshot, true),
            (FileType::Index, true),
            (FileType::Pack, false),
        ];
        self.store.fetch(
            &[self.key(FileType::Config, &Id::default())],
            &folders.map(|(tpe, content)| (folder(tpe), content)),
        );
    }

    /// Opened: what was read for that is not wanted again.
    pub(crate) fn opened(&self) {
        self.store.forget();
    }

    /// Takes what went wrong first.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.lock().ok().and_then(|mut f| f.take())
    }

    /// Whether there is a repository at all.
    pub(crate) fn exists(&self) -> Result<bool, AwsError> {
        Ok(self.store.read(&self.key(FileType::Config, &Id::default()))?.is_some())
    }

    /// Reads a part of a pack that several pieces lie in.
    pub(crate) fn hold(&self, pack: &Id, offset: u64, length: u64) -> RusticResult<Held<'_>> {
        let place = (*pack, offset);
        let bytes = self.part(pack, offset, length)?;
        self.all_held().insert(place, bytes);
        Ok(Held { backend: self, place })
    }

    fn all_held(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Id, u64), Bytes>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_hand(&self, pack: &Id, offset: u64, length: u64) -> Option<Bytes> {
        let held = self.all_held();
        let (place, bytes) = held.range(..=(*pack, offset)).next_back()?;
        let from = usize::try_from(offset - place.1).ok()?;
        let to = from.checked_add(usize::try_from(length).ok()?)?;
        (place.0 == *pack && to <= bytes.len()).then(|| bytes.slice(from..to))
    }

    /// A part of a pack; it counts as lent as long as anybody has it.
    fn part(&self, pack: &Id, offset: u64, length: u64) -> RusticResult<Bytes> {
        let key = self.key(FileType::Pack, pack);
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        let place = self.room.take(wanted);
        let bytes = self.found(key.clone(), self.store.read_part(&key, offset, length))?;
        match bytes.len() == wanted {
            true => Ok(place.filled(bytes)),
            false => Err(self.failed(Fault::Short(key))),
        }
    }

    fn key(&self, tpe: FileType, id: &Id) -> String {
        let (prefix, folder) = (&self.prefix, tpe.dirname());
        let hex = id.to_hex();
        let hex: &str = hex.as_str();
        match tpe {
            FileType::Config => format!("{prefix}{folder}"),
            FileType::Pack => format!("{prefix}{folder}/{}/{hex}", hex.get(..2).unwrap_or_default()),
            _ => format!("{prefix}{folder}/{hex}"),
        }
    }

    fn failed(&self, fault: Fault) -> Box<RusticError> {
        let text = match &fault {
            Fault::Store(e) => e.to_string(),
            Fault::Missing(key) => format!("the object {key} is missing"),
            Fault::Short(key) => format!("the object {key} is cut short"),
        };
        if let Ok(mut first) = self.fault.lock() {
            first.get_or_insert(fault);
        }
        RusticError::new(ErrorKind::Backend, text)
    }

    fn found(&self, key: String, answer: Result<Option<Bytes>, AwsError>) -> RusticResult<Bytes> {
        match answer {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(self.failed(Fault::Missing(key))),
            Err(e) => Err(self.failed(Fault::Store(e))),
        }
    }
}

impl ReadBackend for Backend {
    fn location(&self) -> String {
        self.place.clone()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        if tpe == FileType::Config {
            let there = self.exists().map_err(|e| self.failed(Fault::Store(e)))?;
            return Ok(if there { vec![(Id::default(), 0)] } else { Vec::new() });
        }
        let folder = format!("{}{}/", self.prefix, tpe.dirname());
        let all = self.store.list(&folder).map_err(|e| self.failed(Fault::Store(e)))?;
        let id = |key: &str| key.rsplit('/').next()?.parse::<Id>().ok();
        Ok(all
            .iter()
            .filter_map(|(key, size)| Some((id(key)?, u32::try_from(*size).ok()?)))
            .collect())
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        let key = self.key(tpe, id);
        let answer = self.store.read(&key);
        self.found(key, answer)
    }

    /// What rustic_core calls cacheable are folders.
    fn read_partial(&self, tpe: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let (from, wanted) = (u64::from(offset), u64::from(length));
        if !cacheable {
            return match self.at_hand(id, from, wanted) {
                Some(bytes) => Ok(bytes),
                None => self.part(id, from, wanted),
            };
        }
        let key = self.key(tpe, id);
        let read = |offset: u64, length: u64| self.found(key.clone(), self.store.read_part(&key, offset, length));
        let bytes = self.folders.read(id, from, wanted, read)?;
        match bytes.len() as u64 == wanted {
            true => Ok(bytes),
            false => Err(self.failed(Fault::Short(key))),
        }
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.key(tpe, id)
    }
}

/// rustic_core wants one backend for reading and writing; ours refuses to write.
impl WriteBackend for Backend {
    fn create(&self) -> RusticResult<()> {
        Err(read_only())
    }

    fn write_bytes(&self, _tpe: FileType, _id: &Id, _cacheable: bool, _content: BytesList) -> RusticResult<()> {
        Err(read_only())
    }

    fn remove(&self, _tpe: FileType, _id: &Id, _cacheable: bool) -> RusticResult<()> {
        Err(read_only())
    }
}

fn read_only() -> Box<RusticError> {
    RusticError::new(ErrorKind::AppendOnly, "backups are only read here, never written")
}
