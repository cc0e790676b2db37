//! A repository made by restic that is damaged here and there: what is said, and which backup is offered instead.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use skykeep_core::{Explain, Secret};

use crate::{
    RestoreError, Whole,
    depth::{Folder, PASSWORD, newest, noise, restic},
    job::restore_in,
    report::Report,
    repository::inspect_in,
};

struct Place {
    folder: tempfile::TempDir,
    /// Ids of the snapshots, and the largest pack that each of them added.
    snapshots: Vec<(String, PathBuf)>,
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => _ = found.insert(path),
        }
    }
    found
}

impl Place {
    /// Four backups: each has a file that changed and one that never does.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (world, repository) = (folder.path().join("world"), folder.path().join("repository"));
        fs::create_dir(&world).unwrap();
        fs::write(world.join("same"), noise(400_000, 99)).unwrap();
        restic(&repository, &["init"]);
        let mut snapshots = Vec::new();
        for n in 1..=4 {
            let before = files(&repository.join("data"));
            let old = files(&repository.join("snapshots"));
            fs::write(world.join("changes"), noise(600_000, n)).unwrap();
            restic(&repository, &["backup", world.to_str().unwrap()]);
            let new = files(&repository.join("snapshots"))
                .difference(&old)
                .next()
                .unwrap()
                .clone();
            let packs = files(&repository.join("data"));
            let largest = packs
                .difference(&before)
                .max_by_key(|p| fs::metadata(p).unwrap().len())
                .unwrap();
            snapshots.push((new.file_name().unwrap().to_str().unwrap().to_owned(), largest.clone()));
        }
        Place { folder, snapshots }
    }

    fn spoil(&self, n: usize) {
        let pack = &self.snapshots[n - 1].1;
        let mut bytes = fs::read(pack).unwrap();
        // In the first piece and in the last.
        let end = bytes.len() - 50_000;
        bytes[1000] ^= 1;
        bytes[end] ^= 1;
        fs::write(pack, bytes).unwrap();
    }

    fn store(&self) -> Box<Folder> {
        Box::new(Folder::of(&self.folder.path().join("repository")))
    }

    fn restore(&self) -> RestoreError {
        let target = tempfile::tempdir().unwrap();
        let (world, password) = (
            self.folder.path().join("world"),
            Secret::new(PASSWORD.as_bytes().to_vec()),
        );
        restore_in(
            self.store(),
            &password,
            &newest(&world),
            target.path(),
            &Report::silent(),
        )
        .unwrap_err()
    }
}

fn whole(error: &RestoreError) -> &Whole {
    let RestoreError::Damaged { whole, .. } = error else {
        panic!("{error:?}")
    };
    whole
}

#[test]
fn the_newest_backup_that_is_whole_is_named() {
    let place = Place::new();
    place.spoil(4);
    // Missing, which its index shows without reading.
    fs::remove_file(&place.snapshots[2].1).unwrap();
    let error = place.restore();
    let text = error.remedy();
    let Whole::Found { name, read, .. } = whole(&error) else {
        panic!("{error:?}")
    };
    assert!(
        *read && place.snapshots[1].0.starts_with(name) && name.len() >= 8,
        "{text}"
    );
    assert!(text.contains(&format!("snapshot: {name}")), "{text}");
    // What is offered does come back.
    let pinned = crate::job::JobSpec {
        snapshot: name.clone(),
        ..newest(&place.folder.path().join("world"))
    };
    let target = tempfile::tempdir().unwrap();
    let password = Secret::new(PASSWORD.as_bytes().to_vec());
    restore_in(place.store(), &password, &pinned, target.path(), &Report::silent()).unwrap();
    assert!(fs::read(target.path().join("changes")).unwrap() == noise(600_000, 2));
}

#[test]
fn what_all_backups_share_damages_them_all() {
    let place = Place::new();
    place.spoil(1);
    place.spoil(4);
    let first = fs::metadata(&place.snapshots[0].1).unwrap().len();
    assert!(
        first > 900_000,
        "the file that never changes should be in the first pack: {first}"
    );
    let error = place.restore();
    assert!(matches!(whole(&error), Whole::None), "{error:?}");
    assert!(error.remedy().contains("No other backup"), "{}", error.remedy());
}

#[test]
fn the_laptop_names_one_without_reading_content() {
    let place = Place::new();
    fs::remove_file(&place.snapshots[3].1).unwrap();
    place.spoil(3);
    let world = place.folder.path().join("world");
    let error = inspect_in(
        place.store(),
        &Secret::new(PASSWORD.as_bytes().to_vec()),
        &[newest(&world)],
    )
    .unwrap_err();
    let Whole::Found { name, read, .. } = whole(&error) else {
        panic!("{error:?}")
    };
    assert!(!read && place.snapshots[2].0.starts_with(name), "{error:?}");
}
