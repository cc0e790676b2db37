//! Reading back what is finished while the rest still comes: the store's time is not added to the disk's.

use std::{
    collections::BTreeSet,
    fs::File,
    path::Path,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{RestoreError, repository::Found, survey::Survey, target, verify};

/// How often the disk is asked to have everything; less often when that takes long.
const EVERY: Duration = Duration::from_millis(300);

/// What follows a restore.
#[derive(Default)]
pub(crate) struct Behind {
    /// Numbers of files that have all their content and nothing left to be set.
    finished: Mutex<Vec<usize>>,
    over: AtomicBool,
    ended: Condvar,
}

impl Behind {
    /// This file is finished: nothing writes to it any more.
    pub(crate) fn finished(&self, file: usize) {
        self.held().push(file);
    }

    /// All of them are; what was not read back by now is left to the verification.
    pub(crate) fn over(&self) {
        let _held = self.held();
        self.over.store(true, Ordering::Release);
        self.ended.notify_all();
    }

    fn held(&self) -> MutexGuard<'_, Vec<usize>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows until it is over. Gives the files whose content is on the disk as the backup has it; of others the verification says what is
    /// wrong. That the disk failed is an error here: it is told once.
    pub(crate) fn follow(&self, found: &Found, seen: &Survey, target: &Path) -> Result<BTreeSet<usize>, RestoreError> {
        let (mut good, mut pause) = (BTreeSet::new(), EVERY);
        loop {
            let batch = {
                let more = |_: &mut Vec<usize>| !self.over.load(Ordering::Acquire);
                let waited = self.ended.wait_timeout_while(self.held(), pause, more);
                std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
            };
            if self.over.load(Ordering::Acquire) {
                return Ok(good);
            }
            if !batch.is_empty() {
                let began = Instant::now();
                on_the_disk(target)?;
                pause = EVERY.max(began.elapsed() * 2);
                good.extend(verify::contents(found, seen, target, &batch, &self.over));
            }
        }
    }
}

/// Waits until the disk has everything.
pub(crate) fn on_the_disk(target: &Path) -> Result<(), RestoreError> {
    let folder = File::open(target).map_err(|e| target::refused(target, e))?;
    nix::unistd::syncfs(&folder).map_err(|e| target::refused(target, e))
}
