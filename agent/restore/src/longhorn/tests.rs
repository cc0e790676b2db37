//! Backups made by Longhorn's own library (tests/longhorn/make): the volume as the library restores it, its files as the kernel
//! tells them. Needs root, getfacl and getfattr.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use skykeep_aws::AwsError;

use super::{
    Fault,
    cfg::{block_key, folder},
    ext4::{Device, Ext4},
    job::{Spec, restore_in},
};
use crate::{RestoreError, Whole, job::Outcome, report::Report, store::Store};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/longhorn");

/// A backup target in a folder, as S3 would hold it.
struct Folder(PathBuf);

impl Store for Folder {
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, AwsError> {
        let (mut found, mut folders) = (Vec::new(), vec![self.0.join(prefix)]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    let key = entry.path().strip_prefix(&self.0).unwrap().display().to_string();
                    found.push((key, entry.metadata().unwrap().len()));
                }
            }
        }
        Ok(found)
    }

    fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError> {
        Ok(fs::read(self.0.join(key)).ok().map(Bytes::from))
    }

    fn read_part(&self, key: &str, _offset: u64, _length: u64) -> Result<Option<Bytes>, AwsError> {
        self.read(key)
    }
}

fn spec(volume: &str, backup: &str) -> Spec {
    Spec {
        bucket: "rossi".into(),
        prefix: String::new(),
        region: "here".into(),
        endpoint: None,
        volume: volume.into(),
        backup: backup.into(),
        replace: false,
    }
}

fn store() -> PathBuf {
    Path::new(FIXTURES).join("store")
}

/// A copy of the fixtures that may be spoiled.
fn copy() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let done = Command::new("cp")
        .arg("-a")
        .arg(store())
        .arg(place.path().join("store"))
        .status()
        .unwrap();
    assert!(done.success());
    place
}

fn restore(store: &Path, spec: &Spec, target: &Path) -> Result<Outcome, RestoreError> {
    restore_in(Box::new(Folder(store.to_owned())), spec, target, &Report::silent())
}

fn told(folder: &Path) -> String {
    let output = Command::new(Path::new(FIXTURES).join("told"))
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn same_as(state: &str, target: &Path) {
    let wanted = fs::read(format!("{FIXTURES}/told-{state}")).unwrap();
    let (wanted, there) = (String::from_utf8_lossy(&wanted).into_owned(), told(target));
    let mut lines = wanted.lines().zip(there.lines());
    let first = lines.find(|(a, b)| a != b);
    assert!(
        first.is_none() && wanted.len() == there.len(),
        "state {state}: {first:?}"
    );
    assert!(wanted.lines().count() > 700, "too little was compared");
}

#[test]
fn the_volume_is_what_longhorns_own_library_restores() {
    let sums = fs::read_to_string(format!("{FIXTURES}/images.sha256")).unwrap();
    assert_eq!(sums.lines().count(), 6);
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let (volume, backup) = name.split_once('/').unwrap();
        let blocks = spec(volume, backup).find(Box::new(Folder(store()))).unwrap();
        let mut image = vec![0; usize::try_from(blocks.size()).unwrap()];
        blocks.read_at(0, &mut image).unwrap();
        assert_eq!(hex::encode(Sha256::digest(&image)), sum, "{name}");
    }
}

#[test]
fn files_come_back_as_the_kernel_sees_them() {
    let place = tempfile::tempdir().unwrap();
    for (volume, backup, state) in [
        ("pvc-lz4", "backup-0", "0"),
        ("pvc-gzip", "latest", "0"),
        ("pvc-small-blocks", "latest", "0"),
        // It was in use: what is true of it lies in its journal.
        ("pvc-lz4", "backup-1", "1"),
        ("pvc-lz4", "2026-11-21T20:00:00Z", "1"),
        ("pvc-lz4", "latest", "2"),
    ] {
        let target = place.path().join(format!("{volume}-{backup}"));
        fs::create_dir(&target).unwrap();
        fs::create_dir(target.join("lost+found")).unwrap();
        let outcome = restore(&store(), &spec(volume, backup), &target).unwrap();
        assert!(outcome.files > 100 && outcome.attributes_left_out == 0, "{outcome:?}");
        same_as(state, &target);
        let sparse = fs::metadata(target.join("sparse")).unwrap();
        assert!(sparse.blocks() * 512 < sparse.len() / 2, "a hole was filled");
    }
}

#[test]
fn only_a_volume_that_was_in_use_needs_its_journal() {
    let needed = |backup: &str| {
        let blocks = spec("pvc-lz4", backup).find(Box::new(Folder(store()))).unwrap();
        Ext4::open(&blocks).unwrap().journalled()
    };
    assert_eq!((needed("backup-0"), needed("backup-2")), (0, 0));
    assert!(needed("backup-1") > 5, "{}", needed("backup-1"));
}

#[test]
fn an_old_small_file_system_is_read_as_well() {
    let place = tempfile::tempdir().unwrap();
    let outcome = restore(&store(), &spec("pvc-none", "latest"), place.path()).unwrap();
    assert_eq!(
        (outcome.files, outcome.folders, outcome.snapshot.as_str()),
        (0, 0, "backup-tiny")
    );
}

#[test]
fn a_restore_that_was_broken_off_is_done_again_and_nobody_elses_files_are_touched() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path();
    let again = |spec: &Spec| restore(&store(), spec, target);
    fs::create_dir_all(target.join("notes/deep")).unwrap();
    fs::write(target.join("large"), "half").unwrap();
    fs::write(target.join("notes/small"), "half").unwrap();
    again(&spec("pvc-lz4", "latest")).unwrap_err();
    fs::remove_file(target.join("large")).unwrap();
    again(&spec("pvc-lz4", "latest")).unwrap();
    same_as("2", target);
    fs::write(target.join("mine"), "newer").unwrap();
    let refused = again(&spec("pvc-lz4", "latest")).unwrap_err();
    assert!(
        matches!(&refused, RestoreError::Occupied { why, .. } if why.contains("mine")),
        "{refused:?}"
    );
    let replace = Spec {
        replace: true,
        ..spec("pvc-lz4", "backup-0")
    };
    again(&replace).unwrap();
    same_as("0", target);
}

/// The block at the volume's beginning, of the newest backup.
fn first_block(store: &Path) -> PathBuf {
    let blocks = spec("pvc-lz4", "latest")
        .find(Box::new(Folder(store.to_owned())))
        .unwrap();
    store
        .join(folder("", "pvc-lz4"))
        .join(block_key(&blocks.backup.blocks[&0]))
}

#[test]
fn a_missing_or_spoiled_block_names_itself_and_nothing_is_written() {
    let target = tempfile::tempdir().unwrap();
    let fails = |store: &Path| match restore(store, &spec("pvc-lz4", "latest"), target.path()) {
        Err(RestoreError::LonghornDamaged { fault, whole }) => {
            assert!(
                matches!(&whole, Whole::Found { name, .. } if name == "backup-1"),
                "{whole:?}"
            );
            assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
            let Fault::Block { key, why } = *fault else {
                panic!("{fault:?}")
            };
            (key, why)
        }
        other => panic!("{other:?}"),
    };
    let place = copy();
    let store = place.path().join("store");
    let block = first_block(&store);
    let whole = fs::read(&block).unwrap();
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&block, &other).unwrap();
    let (key, why) = fails(&store);
    assert!(store.join(&key) == block, "{key}: {why}");
    fs::write(&block, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(fails(&store).0, key);
    // Whole, and another one's.
    let gzip = spec("pvc-gzip", "latest")
        .find(Box::new(Folder(store.clone())))
        .unwrap();
    let sum = gzip.backup.blocks.values().last().unwrap();
    fs::copy(store.join(folder("", "pvc-gzip")).join(block_key(sum)), &block).unwrap();
    assert_eq!(
        fails(&store),
        (key.clone(), "its content is not what its name says".into())
    );
    fs::remove_file(&block).unwrap();
    assert_eq!(fails(&store), (key, "it is missing".into()));
}

#[test]
fn the_newest_backup_that_is_whole_is_named() {
    let place = copy();
    let store = place.path().join("store");
    let blocks = |backup: &str| {
        let found = spec("pvc-lz4", backup).find(Box::new(Folder(store.clone()))).unwrap();
        found.backup.blocks.into_values().collect::<BTreeSet<_>>()
    };
    let of_the_newest = &blocks("latest") - &blocks("backup-1");
    let key = block_key(of_the_newest.first().unwrap());
    let block = store.join(folder("", "pvc-lz4")).join(key);
    let mut bytes = fs::read(&block).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&block, bytes).unwrap();
    let target = tempfile::tempdir().unwrap();
    let error = restore(&store, &spec("pvc-lz4", "latest"), target.path()).unwrap_err();
    let RestoreError::LonghornDamaged { whole, .. } = &error else {
        panic!("{error:?}")
    };
    let Whole::Found { name, read, .. } = whole else {
        panic!("{error:?}")
    };
    assert!(name == "backup-1" && *read, "{error:?}");
    use skykeep_core::Explain;
    assert!(
        error.remedy().contains("set `backup: backup-1` in castle.yaml"),
        "{}",
        error.remedy()
    );
    let target = tempfile::tempdir().unwrap();
    restore(&store, &spec("pvc-lz4", name), target.path()).unwrap();
}

#[test]
fn what_was_not_finished_is_not_chosen_and_what_can_not_be_read_is_an_error() {
    let place = copy();
    let store = place.path().join("store");
    let newest = store.join(folder("", "pvc-lz4")).join("backups/backup_backup-2.cfg");
    let text = fs::read_to_string(&newest).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["CreatedTime"] = "".into();
    fs::write(&newest, value.to_string()).unwrap();
    let find = |backup: &str| spec("pvc-lz4", backup).find(Box::new(Folder(store.clone())));
    assert_eq!(find("latest").unwrap().backup.name, "backup-1");
    let said = |e: RestoreError| {
        use skykeep_core::Explain;
        format!("{}: {}", e.what(), e.why())
    };
    let failed = |backup: &str| said(find(backup).err().unwrap());
    let (unfinished, early) = (failed("backup-2"), failed("2026-11-19T00:00:00Z"));
    fs::write(&newest, &text[..text.len() / 2]).unwrap();
    insta::assert_snapshot!(
        [
            unfinished,
            early,
            failed("latest"),
            said(
                spec("pvc-x", "latest")
                    .find(Box::new(Folder(store.clone())))
                    .err()
                    .unwrap()
            )
        ]
        .join("\n")
    );
}

/// A volume in memory.
struct Image(Vec<u8>);

impl Device for Image {
    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Fault> {
        let from = usize::try_from(at).unwrap().min(self.0.len());
        let length = into.len().min(self.0.len() - from);
        into.fill(0);
        into[..length].copy_from_slice(&self.0[from..from + length]);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn name(&self) -> &str {
        "pvc-image"
    }
}

#[test]
fn a_damaged_file_system_is_an_error_and_never_a_panic_or_a_loop() {
    let blocks = spec("pvc-lz4", "backup-1").find(Box::new(Folder(store()))).unwrap();
    let mut image = vec![0; usize::try_from(blocks.size()).unwrap()];
    blocks.read_at(0, &mut image).unwrap();
    let used: Vec<usize> = (0..image.len())
        .step_by(4096)
        .filter(|at| image[*at..*at + 4096].iter().any(|b| *b != 0))
        .collect();
    let mut seed = 1_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let mut refused = 0;
    for _ in 0..150 {
        let mut image = Image(image.clone());
        for _ in 0..40 {
            let at = used[next(used.len())] + next(4096);
            image.0[at] = u8::try_from(next(256)).unwrap();
        }
        image.0[1024 + next(0x200)] ^= 1 << next(8);
        let read = Ext4::open(&image).and_then(|fs| {
            let nodes = fs.nodes()?;
            nodes.iter().try_for_each(|node| fs.runs(&node.inode).map(|_| ()))
        });
        refused += usize::from(read.is_err());
    }
    assert!(refused > 20, "{refused}");
}
