//! Reading back what is finished while the rest still comes: the store's time is not added to the disk's.

use std::{
    collections::BTreeSet,
    fs::File,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{RestoreError, repository::Found, survey::Survey, target, verify};

/// How often the disk is asked to have everything.
const EVERY: Duration = Duration::from_millis(300);

/// What follows a restore.
#[derive(Default)]
pub(crate) struct Behind {
    /// Numbers of files that have all their content and nothing left to be set.
    finished: Mutex<Vec<usize>>,
    over: AtomicBool,
}

impl Behind {
    /// This file is finished: nothing writes to it any more.
    pub(crate) fn finished(&self, file: usize) {
        self.held().push(file);
    }

    /// All of them are; what was not read back by now is left to the verification.
    pub(crate) fn over(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn held(&self) -> MutexGuard<'_, Vec<usize>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows until it is over. Gives the files whose content is on the disk as the backup has it; of others the verification says what is
    /// wrong. That the disk failed is an error here: it is told once.
    pub(crate) fn follow(&self, found: &Found, seen: &Survey, target: &Path) -> Result<BTreeSet<usize>, RestoreError> {
        let mut good = BTreeSet::new();
        loop {
            thread::sleep(EVERY);
            if self.over.load(Ordering::Acquire) {
                return Ok(good);
            }
            let batch = std::mem::take(&mut *self.held());
            if !batch.is_empty() {
                on_the_disk(target)?;
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
