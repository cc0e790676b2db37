//! Writing a treasure that is files. rustic_core reads the repository; where its pieces go and how is ours: several connections at once, so
//! that a store that is far away is not waited for, memory that is bounded, holes where there are zeros, errors that say what happened.

mod dress;
mod files;
mod fill;
mod plan;

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use rustic_core::repofile::{BlobType, Node};

use self::{
    files::Files,
    plan::{Plan, Portion, Want},
};
use crate::{
    RestoreError,
    report::{Phase, Report},
    repository::Found,
    room::Room,
    survey::Survey,
    target,
};

/// How many portions are asked for at once.
const CONNECTIONS: usize = 16;
/// Bytes that may be decrypted and not yet written.
const PLAIN: usize = 48 << 20;

/// Writes what is not there yet. Everything is on the disk when this returns.
pub(crate) fn write(found: &Found, seen: &Survey, target: &Path, report: &Report) -> Result<(), RestoreError> {
    let plan = Plan::new(found, seen, target)?;
    target::check_room(target, seen, plan.room)?;
    let files = Files::new(target, seen, &plan);
    files.begin()?;
    let writer = Writer {
        found,
        seen,
        files: &files,
        total: plan.bytes,
        done: AtomicU64::new(0),
        plain: Room::of(PLAIN),
        report,
    };
    writer.all(&plan.portions())?;
    files.end(&found.node)?;
    let folder = File::open(target).map_err(|e| target::refused(target, e))?;
    nix::unistd::syncfs(&folder).map_err(|e| target::refused(target, e))
}

struct Writer<'a> {
    found: &'a Found,
    seen: &'a Survey,
    files: &'a Files<'a>,
    total: u64,
    done: AtomicU64,
    plain: Arc<Room>,
    report: &'a Report,
}

impl Writer<'_> {
    /// The first error ends it; what others have begun they end.
    fn all(&self, portions: &[Portion<'_>]) -> Result<(), RestoreError> {
        let (next, failed, error) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let Some(portion) = portions.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                if let Err(e) = self.portion(portion) {
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

    fn portion(&self, portion: &Portion<'_>) -> Result<(), RestoreError> {
        let backend = self.found.backend();
        let _held = backend
            .hold(&portion.pack, portion.offset, portion.length)
            .map_err(|e| self.found.trouble(&e))?;
        for same in portion.wants.chunk_by(|a, b| a.offset == b.offset) {
            let Some(first) = same.first() else { continue };
            let _room = self.plain.take(first.length as usize);
            let bytes = self.piece(first)?;
            for want in same {
                self.files.put(want, &bytes)?;
                let length = u64::from(want.length);
                let done = self.done.fetch_add(length, Ordering::Relaxed) + length;
                self.report.say(Phase::Write, done, self.total);
            }
        }
        Ok(())
    }

    fn piece(&self, want: &Want) -> Result<bytes::Bytes, RestoreError> {
        let file = self.seen.nodes.get(want.file as usize);
        let content = |node: &Node| node.content.as_ref()?.get(want.part as usize).copied();
        let (Some((path, _)), Some(id)) = (file, file.and_then(|(_, node)| content(node))) else {
            return Err(RestoreError::Internal("a piece of no file".into()));
        };
        let bytes = self.found.repo.cat_blob(BlobType::Data, id.to_hex().as_str());
        let damaged = |why: String| self.found.damaged(format!("piece {id} of {} {why}", path.display()));
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
