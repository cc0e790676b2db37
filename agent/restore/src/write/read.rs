//! Reading a backup's pieces from afar: several connections at once, memory that is bounded.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rustic_core::repofile::BlobType;

use super::plan::{Portion, Want};
use crate::{RestoreError, repository::Found, room::Room, survey::Survey};

/// How many portions are asked for at once.
const CONNECTIONS: usize = 16;
/// Bytes that may be decrypted and not yet used.
const PLAIN: usize = 48 << 20;

/// Reads what a plan wants.
pub(crate) struct Reader<'a> {
    found: &'a Found,
    seen: &'a Survey,
    plain: Arc<Room>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(found: &'a Found, seen: &'a Survey) -> Self {
        Reader {
            found,
            seen,
            plain: Room::of(PLAIN),
        }
    }

    /// Gives each piece, wherever it goes. The first error ends it; what others have begun they end.
    pub(crate) fn all(
        &self,
        portions: &[Portion<'_>],
        give: impl Fn(&Want, &[u8]) -> Result<(), RestoreError> + Sync,
    ) -> Result<(), RestoreError> {
        let (next, failed, error) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let Some(portion) = portions.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                if let Err(e) = self.portion(portion, &give) {
                    failed.store(true, Ordering::Relaxed);
                    error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                }
            }
        };
        let whole = thread::scope(|scope| {
            let workers: Vec<_> = (0..CONNECTIONS.min(portions.len()))
                .map(|_| scope.spawn(work))
                .collect();
            // All are waited for, whatever one of them does.
            workers.into_iter().filter_map(|worker| worker.join().err()).count() == 0
        });
        match error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(e) => Err(e),
            None if whole => Ok(()),
            None => Err(RestoreError::Internal("the restore broke off".into())),
        }
    }

    fn portion(
        &self,
        portion: &Portion<'_>,
        give: impl Fn(&Want, &[u8]) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let backend = self.found.backend();
        let _held = backend
            .hold(&portion.pack, portion.offset, portion.length)
            .map_err(|e| self.found.trouble(&e))?;
        for same in portion.wants.chunk_by(|a, b| a.offset == b.offset) {
            let Some(first) = same.first() else { continue };
            let _room = self.plain.take(first.length as usize);
            let bytes = self.piece(first)?;
            for want in same {
                give(want, &bytes)?;
            }
        }
        Ok(())
    }

    fn piece(&self, want: &Want) -> Result<bytes::Bytes, RestoreError> {
        let id = want.id(self.seen)?;
        let bytes = self.found.repo.cat_blob(BlobType::Data, id.to_hex().as_str());
        let damaged = |why: String| {
            let file = self.seen.nodes.get(want.file as usize);
            let file = file.map(|(path, _)| path.display().to_string()).unwrap_or_default();
            self.found.damaged(format!("piece {id} of {file} {why}"))
        };
        let bytes = bytes.map_err(|_| match self.found.fault() {
            Some(fault) => fault,
            None => damaged("does not decrypt or unpack".into()),
        })?;
        match bytes.len() == want.length as usize {
            true => Ok(bytes),
            false => Err(damaged(format!("has {} bytes instead of {}", bytes.len(), want.length))),
        }
    }
}
