//! Writing a treasure that is files. rustic_core reads the repository; where its pieces go and how is ours: several connections at once, so
//! that a store that is far away is not waited for, memory that is bounded, holes where there are zeros, errors that say what happened.

mod dress;
mod files;
mod fill;
mod plan;
mod read;

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use self::files::Files;
pub(crate) use self::{plan::Plan, read::Reader};
use crate::{
    RestoreError,
    behind::{Behind, on_the_disk},
    report::{Phase, Report},
    repository::Found,
    survey::Survey,
    target,
};

/// Writes what is not there yet. Everything is on the disk when this returns.
pub(crate) fn write(
    found: &Found,
    seen: &Survey,
    target: &Path,
    behind: &Behind,
    report: &Report,
) -> Result<(), RestoreError> {
    let plan = Plan::new(found, seen, Some(target))?;
    target::check_room(target, seen, plan.room)?;
    let files = Files::new(target, seen, &plan);
    files.begin()?;
    let done = AtomicU64::new(0);
    Reader::new(found, seen).all(&plan.portions(), |want, bytes| {
        if files.put(want, bytes)? {
            behind.finished(want.file as usize);
        }
        let length = u64::from(want.length);
        let done = done.fetch_add(length, Ordering::Relaxed) + length;
        report.say(Phase::Write, done, plan.bytes);
        Ok(())
    })?;
    files.end(&found.node)?;
    behind.over();
    on_the_disk(target)
}
