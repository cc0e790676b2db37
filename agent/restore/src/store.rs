//! What rustic_core reads from: objects of a bucket, read only.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};
use skykeep_aws::{AwsError, S3};
use tokio::runtime::Handle;

use crate::{room::Room, windows::Windows};

/// Objects by key, blocking. Implemented by a bucket, and by a map in tests.
pub(crate) trait Store: Send + Sync + 'static {
    /// Keys and sizes of all objects under a prefix.
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, AwsError>;
    /// A whole object.
    fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError>;
    /// A part of an object; what lies beyond its end is left out.
    fn read_part(&self, key: &str, offset: u64, length: u64) -> Result<Option<Bytes>, AwsError>;
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
    store: Box<dyn Store>,
    place: String,
    prefix: String,
    fault: Mutex<Option<Fault>>,
    folders: Windows,
    room: Arc<Room>,
}

impl Backend {
    /// `place` is for messages; `prefix` may be empty or have slashes at its ends.
    pub(crate) fn new(store: Box<dyn Store>, place: String, prefix: &str) -> Self {
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            inner => format!("{inner}/"),
        };
        Backend {
            store,
            place,
            prefix,
            fault: Mutex::new(None),
            folders: Windows::default(),
            room: Arc::default(),
        }
    }

    /// Takes what went wrong first.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.lock().ok().and_then(|mut f| f.take())
    }

    /// Whether there is a repository at all.
    pub(crate) fn exists(&self) -> Result<bool, AwsError> {
        Ok(self.store.read(&self.key(FileType::Config, &Id::default()))?.is_some())
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
        let key = self.key(tpe, id);
        let read = |offset: u64, length: u64| {
            let answer = self.store.read_part(&key, offset, length);
            self.found(key.clone(), answer)
        };
        let (from, wanted) = (u64::from(offset), length as usize);
        let bytes = if cacheable {
            self.folders.read(id, from, length.into(), read)?
        } else {
            let place = self.room.take(wanted);
            place.filled(read(from, length.into())?)
        };
        if bytes.len() == wanted {
            Ok(bytes)
        } else {
            Err(self.failed(Fault::Short(key)))
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
