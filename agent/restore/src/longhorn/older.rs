//! When a Longhorn backup is damaged: which other one of the volume is whole.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Fault, blocks::Blocks, cfg, ext4::Ext4, job::Spec, write};
use crate::{
    RestoreError,
    older::{Look, Whole, first_whole, in_time},
    store::Store,
};

/// Blocks that are read at once.
const TOGETHER: usize = 8;

/// The newest other backup that is whole.
pub(super) fn newest_whole(store: &Arc<dyn Store>, spec: &Spec, look: Look, patience: Duration) -> Whole {
    let until = Instant::now() + patience;
    let Ok(others) = others(store, spec) else {
        return Whole::Unknown;
    };
    let mut good = BTreeSet::new();
    let is_damage = |e: &RestoreError| matches!(e, RestoreError::Longhorn(fault) if !matches!(fault, Fault::Store(_)));
    first_whole(others, (look, until), is_damage, |(time, name)| {
        let spec = Spec {
            backup: name.clone(),
            ..spec.clone()
        };
        is_whole(store, &spec, look, &mut good, until)?;
        Ok((name, time))
    })
}

fn is_whole(
    store: &Arc<dyn Store>,
    spec: &Spec,
    look: Look,
    good: &mut BTreeSet<String>,
    until: Instant,
) -> Result<(), RestoreError> {
    let blocks = spec.find(Box::new(store.clone()))?;
    if look == Look::Content {
        read(&blocks, good, until)?;
        write::plan(&Ext4::open(&blocks)?)?;
    }
    Ok(())
}

/// When each finished backup was made and its name, the newest first; without the one that the spec means.
fn others(store: &Arc<dyn Store>, spec: &Spec) -> Result<Vec<(String, String)>, Fault> {
    let folder = cfg::folder(&spec.prefix, &spec.volume);
    let mut found = Vec::new();
    for (key, size) in store.list(&format!("{folder}backups/"))? {
        let name = cfg::backup_name(&key).filter(|_| size <= cfg::LARGEST);
        let Some((name, text)) = name.zip(store.read(&key)?) else {
            continue;
        };
        if let Ok(Some(backup)) = cfg::backup(&text, name, &spec.volume) {
            found.push(backup);
        }
    }
    let which = cfg::Wanted::of(&spec.backup);
    found.sort_by(|a, b| (b.time, &b.name).cmp(&(a.time, &a.name)));
    let chosen = found.iter().position(|backup| which.fits(backup));
    let others = found.into_iter().enumerate().filter(|(n, _)| Some(*n) != chosen);
    Ok(others
        .map(|(_, backup)| (backup.time.to_string(), backup.name))
        .collect())
}

/// Reads each block that was not read for another backup before.
fn read(blocks: &Blocks, good: &mut BTreeSet<String>, until: Instant) -> Result<(), RestoreError> {
    let unread: BTreeSet<&String> = blocks
        .backup
        .blocks
        .values()
        .filter(|sum| !good.contains(*sum))
        .collect();
    let unread: Vec<&String> = unread.into_iter().collect();
    for some in unread.chunks(TOGETHER) {
        in_time(until)?;
        blocks.check(some)?;
        good.extend(some.iter().map(|sum| (*sum).clone()));
    }
    Ok(())
}
