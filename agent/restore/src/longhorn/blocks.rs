//! The volume of a backup, read where it lies: each block is fetched when something in it is wanted, unpacked, and compared with
//! its name. No image of the whole volume is made anywhere, and blocks that hold only deleted data are never fetched.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Read,
    sync::{Arc, Mutex},
};

use super::{
    Fault,
    cfg::{self, Backup, Method, Volume, Wanted},
    ext4::Device,
};
use crate::store::Store;

/// Bytes of unpacked blocks that are kept.
const KEPT: u64 = 64 << 20;
/// Blocks that are fetched at once when they are read one after the other.
const AHEAD: u64 = 4;
/// The largest volume.cfg.
const LARGEST: u64 = 1 << 20;

/// A backup that was found, its blocks looked up.
pub(crate) struct Blocks {
    store: Box<dyn Store>,
    folder: String,
    pub(crate) name: String,
    pub(crate) volume: Volume,
    pub(crate) backup: Backup,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    blocks: VecDeque<(u64, Arc<Vec<u8>>)>,
    last: Option<u64>,
}

impl Blocks {
    /// Finds the volume and the backup, and checks that each block that the backup names is there. Nothing of them is read.
    pub(crate) fn find(
        store: Box<dyn Store>,
        place: &str,
        prefix: &str,
        name: &str,
        wanted: &str,
    ) -> Result<Self, Fault> {
        let folder = cfg::folder(prefix, name);
        let config = |key: String, why: String| Fault::Config { key, why };
        let key = format!("{folder}volume.cfg");
        let text = store.read_part(&key, 0, LARGEST)?.ok_or_else(|| Fault::NoVolume {
            place: place.to_owned(),
            volume: name.to_owned(),
        })?;
        let volume = cfg::volume(&text, name).map_err(|why| config(key, why))?;
        if !volume.backing_image.is_empty() {
            return Err(Fault::Unreadable {
                volume: name.to_owned(),
                why: format!(
                    "it holds only the differences from the backing image `{}`",
                    volume.backing_image
                ),
                remedy: "Restore it with Longhorn, which has that image.",
            });
        }
        let backup = choose(&*store, &folder, name, place, wanted)?;
        let blocks = Blocks {
            store,
            folder,
            name: name.to_owned(),
            volume,
            backup,
            kept: Mutex::default(),
        };
        blocks.all_there()?;
        Ok(blocks)
    }

    fn all_there(&self) -> Result<(), Fault> {
        let listed = self.store.list(&format!("{}blocks/", self.folder))?;
        let sizes: BTreeMap<&str, u64> = listed.iter().map(|(key, size)| (key.as_str(), *size)).collect();
        // What can't be packed becomes a little larger.
        let largest = self.backup.block_size + self.backup.block_size / 64 + 65536;
        for sum in self.backup.blocks.values() {
            let key = self.key(sum);
            let why = match sizes.get(key.as_str()) {
                None => "it is missing".to_owned(),
                Some(size) if *size > largest || *size == 0 => format!("it has {size} bytes"),
                Some(_) => continue,
            };
            return Err(Fault::Block { key, why });
        }
        Ok(())
    }

    fn key(&self, sum: &str) -> String {
        format!("{}{}", self.folder, cfg::block_key(sum))
    }

    fn fetch(&self, sum: &str) -> Result<Arc<Vec<u8>>, Fault> {
        let key = self.key(sum);
        let broken = |why: &str| Fault::Block {
            key: key.clone(),
            why: why.to_owned(),
        };
        let packed = self.store.read(&key)?.ok_or_else(|| broken("it is missing"))?;
        let data = unpack(self.backup.method, &packed, self.backup.block_size);
        let data = data.map_err(|e| broken(&format!("it does not unpack: {e}")))?;
        if cfg::checksum(&data) != sum {
            return Err(broken("its content is not what its name says"));
        }
        if data.len() as u64 != self.backup.block_size {
            return Err(broken(&format!("it has {} bytes unpacked", data.len())));
        }
        Ok(Arc::new(data))
    }

    /// Reads these and forgets them: whether they are what their names say.
    pub(super) fn check(&self, sums: &[&String]) -> Result<(), Fault> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = sums
                .iter()
                .map(|sum| scope.spawn(|| self.fetch(sum).map(drop)))
                .collect();
            let broke = |_| Fault::Damaged {
                volume: self.name.clone(),
                why: "another thread broke off".into(),
            };
            threads.into_iter().try_for_each(|t| t.join().map_err(broke)?)
        })
    }

    /// A block's content; `None` where the volume is empty.
    fn block(&self, number: u64) -> Result<Option<Arc<Vec<u8>>>, Fault> {
        if !self.backup.blocks.contains_key(&number) {
            return Ok(None);
        }
        let poisoned = || Fault::Damaged {
            volume: self.name.clone(),
            why: "another thread broke off".into(),
        };
        let mut kept = self.kept.lock().map_err(|_| poisoned())?;
        if let Some((_, data)) = kept.blocks.iter().find(|(n, _)| *n == number) {
            return Ok(Some(data.clone()));
        }
        // Those that follow will be wanted too when the one before was the last: then they come together.
        let ahead = if kept.last.is_some_and(|last| last + 1 == number) {
            AHEAD
        } else {
            1
        };
        let wanted = self.backup.blocks.range(number..number.saturating_add(ahead));
        let fetched: Vec<(u64, Result<_, Fault>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = wanted.map(|(n, sum)| (*n, scope.spawn(|| self.fetch(sum)))).collect();
            let join =
                |(n, t): (u64, std::thread::ScopedJoinHandle<'_, _>)| (n, t.join().unwrap_or_else(|_| Err(poisoned())));
            threads.into_iter().map(join).collect()
        });
        let mut found = None;
        for (n, data) in fetched {
            let data = data?;
            kept.last = Some(n);
            if n == number {
                found = Some(data.clone());
            }
            kept.blocks.push_back((n, data));
        }
        while kept.blocks.len() as u64 > (KEPT / self.backup.block_size).max(AHEAD) {
            kept.blocks.pop_front();
        }
        Ok(found)
    }
}

impl Device for Blocks {
    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Fault> {
        let size = self.backup.block_size;
        let (mut at, mut rest) = (at, into);
        while !rest.is_empty() {
            let inside = at % size;
            let length = usize::try_from(size - inside).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            let from = usize::try_from(inside).unwrap_or(usize::MAX);
            match self.block(at / size)? {
                Some(data) => match data.get(from..from.saturating_add(length)) {
                    Some(part) => now.copy_from_slice(part),
                    None => now.fill(0),
                },
                None => now.fill(0),
            }
            at += length as u64;
            rest = later;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.volume.size
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Reads every backup's configuration: names say nothing of their age, and `LastBackupName` may be of one that was deleted.
fn choose(store: &dyn Store, folder: &str, volume: &str, place: &str, wanted: &str) -> Result<Backup, Fault> {
    let mut found: Option<Backup> = None;
    let mut others = Vec::new();
    let which = Wanted::of(wanted);
    for (key, size) in store.list(&format!("{folder}backups/"))? {
        let Some(name) = cfg::backup_name(&key) else { continue };
        if matches!(which, Wanted::Named(wanted) if wanted != name) {
            others.push(name.to_owned());
            continue;
        }
        // One that can't be read may be the newest: an older state never comes back silently.
        let broken = |why: String| Fault::Config { key: key.clone(), why };
        if size > cfg::LARGEST {
            return Err(broken(format!("it has {size} bytes")));
        }
        let text = store
            .read(&key)?
            .ok_or_else(|| broken("it was deleted just now".into()))?;
        let Some(backup) = cfg::backup(&text, name, volume).map_err(broken)? else {
            others.push(format!("{name} (never finished)"));
            continue;
        };
        if !which.fits(&backup) {
            others.push(format!("{name} of {}", backup.time));
        } else if found
            .as_ref()
            .is_none_or(|f| (f.time, &f.name) < (backup.time, &backup.name))
        {
            found = Some(backup);
        }
    }
    found.ok_or_else(|| Fault::NoBackup {
        place: format!("`{volume}` in {place}"),
        wanted: match which {
            Wanted::Latest => "finished backup".to_owned(),
            Wanted::Until(time) => format!("finished backup of {time} or before"),
            Wanted::Named(name) => format!("finished backup `{name}`"),
        },
        instead: match others.as_slice() {
            [] => "there is none at all".to_owned(),
            all => format!("there are {}", all.join(", ")),
        },
    })
}

/// Unpacks at most one byte more than a block has. As Longhorn itself does, a block that was packed the other way is taken.
fn unpack(method: Method, packed: &[u8], size: u64) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    let mut read = |reader: &mut dyn Read| reader.take(size + 1).read_to_end(&mut data);
    match (method, packed) {
        (Method::None, _) => read(&mut { packed })?,
        (_, [0x1f, 0x8b, ..]) => read(&mut flate2::read::GzDecoder::new(packed))?,
        _ => read(&mut lz4_flex::frame::FrameDecoder::new(packed))?,
    };
    Ok(data)
}
