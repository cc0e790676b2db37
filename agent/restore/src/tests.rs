//! A real repository (tests/repository, made by restic) comes back into a folder, or does not and says why.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, WriteBackend};
use skykeep_aws::AwsError;
use skykeep_core::{Explain, Secret};

use crate::{
    RestoreError,
    job::{JobSpec, Outcome, last_outcome_in, restore_in},
    report::Report,
    repository::{Backup, Found, Opened},
    store::{Backend, Store},
    survey::survey,
    target, verify,
};

const SITE: &str = "968bcabd2878673d177e803732373f78ca382c1d680ff74d000f59bf089c101b";
const TREES: &str = "7f6db5dd155ab29b5ecfb7d77a062037da1b4d895f5db1924f53946f51e637bf";
const DATA: &str = "ffdb5a9bc4fd115cfecdbeaed2c1667561c0a02397537b1ebd7912294215f5ea";

type Damage<'a> = &'a dyn Fn(&mut Memory);

#[derive(Clone)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn fixture() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/repository");
        let (mut objects, mut folders) = (BTreeMap::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let key = format!("some/restic/{}", path.strip_prefix(&root).unwrap().display());
                    objects.insert(key, fs::read(path).unwrap());
                }
            }
        }
        Memory(objects)
    }

    fn pack(&mut self, id: &str) -> &mut Vec<u8> {
        self.0.get_mut(&format!("some/restic/data/{}/{id}", &id[..2])).unwrap()
    }
}

impl Store for Memory {
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, AwsError> {
        Ok(self
            .0
            .iter()
            .filter(|(k, _)| k.starts_with(prefix))
            .map(|(k, v)| (k.clone(), v.len() as u64))
            .collect())
    }

    fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError> {
        Ok(self.0.get(key).map(|v| v.clone().into()))
    }

    fn read_part(&self, key: &str, offset: u64, length: u64) -> Result<Option<Bytes>, AwsError> {
        let (from, to) = (offset as usize, (offset + length) as usize);
        let part = |v: &Vec<u8>| v[from.min(v.len())..to.min(v.len())].to_vec().into();
        Ok(self.0.get(key).map(part))
    }
}

fn spec() -> JobSpec {
    JobSpec {
        bucket: "rossi-backups".into(),
        prefix: "some/restic".into(),
        region: "eu-central-1".into(),
        endpoint: None,
        snapshot: "latest".into(),
        path: "/srv/site".into(),
        replace: false,
    }
}

fn password() -> Secret {
    Secret::new(b"correct-horse".to_vec())
}

fn inspect_in(store: Box<dyn Store>, password: &Secret, spec: &JobSpec) -> Result<Backup, RestoreError> {
    let one = std::slice::from_ref(spec);
    crate::repository::inspect_in(store, password, one).map(|mut all| all.remove(0))
}

fn found() -> Found {
    let opened = Opened::new(Box::new(Memory::fixture()), &password(), &spec()).unwrap();
    opened.find(&spec()).unwrap()
}

fn restore(store: &Memory, spec: &JobSpec, target: &Path) -> Result<Outcome, RestoreError> {
    restore_in(Box::new(store.clone()), &password(), spec, target, &Report::silent())
}

/// Owners can be given back by root only. Anybody else must be told so, and that is all they can test.
fn may_chown(target: &Path) -> bool {
    let me = fs::metadata("/proc/self").unwrap().uid();
    if me != 0 {
        let error = restore(&Memory::fixture(), &spec(), target).unwrap_err();
        assert!(
            error.why().contains("owner") || error.why().contains("permitted"),
            "{error:?}"
        );
    }
    me == 0
}

fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(all_below(&entry.path()));
        }
    }
    found
}

fn three_parts(error: &RestoreError) -> String {
    let text = skykeep_core::Explained {
        what: error.what(),
        why: error.why(),
        remedy: error.remedy(),
    }
    .to_string();
    assert!(text.lines().count() == 3, "{text}");
    text
}

#[test]
fn the_laptop_sees_what_a_backup_holds_without_reading_a_file() {
    let mut store = Memory::fixture();
    // Not readable, but of the right size: nobody looks inside.
    store.pack(DATA).fill(0);
    let backup = inspect_in(Box::new(store), &password(), &spec()).unwrap();
    assert_eq!((backup.snapshot.as_str(), backup.hostname.as_str()), (SITE, "atlas"));
    assert!(backup.time.starts_with("2026-01-02T03:04:05"), "{}", backup.time);
    assert_eq!((backup.files, backup.bytes), (7, 15 + 4 + 4 + 30000 + 18893 + 1));
}

#[test]
fn everything_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path();
    if !may_chown(target) {
        return;
    }
    let outcome = restore(&Memory::fixture(), &spec(), target).unwrap();
    assert_eq!(
        (
            outcome.snapshot.as_str(),
            outcome.files,
            outcome.folders,
            outcome.others
        ),
        (SITE, 7, 3, 3)
    );
    assert_eq!(all_below(target).len(), 13);

    assert_eq!(
        fs::read_to_string(target.join("index.html")).unwrap(),
        "<h1>rossi</h1>\n"
    );
    let numbers: String = (1..=4000).map(|n| format!("{n}\n")).collect();
    assert_eq!(fs::read_to_string(target.join("sub/deep/numbers")).unwrap(), numbers);
    assert_eq!(
        fs::read(target.join("sub/a name with ünicode and \"quotes\"")).unwrap(),
        b"x"
    );
    assert_eq!(
        fs::read_link(target.join("sub/link")).unwrap(),
        Path::new("../index.html")
    );
    assert_eq!(fs::read_link(target.join("dangling")).unwrap(), Path::new("nowhere"));

    let look = |path: &str| fs::symlink_metadata(target.join(path)).unwrap();
    assert_eq!(look("sub/a.txt").ino(), look("sub/b.txt").ino());
    assert_eq!(look("sub/a.txt").mode() & 0o7777, 0o4755);
    assert_eq!(look("sub/deep").mode() & 0o7777, 0o2750);
    assert_eq!(look("empty").mode() & 0o7777, 0o1770);
    assert_eq!((look("index.html").uid(), look("index.html").gid()), (1000, 1001));
    assert_eq!((look("sub/link").uid(), look("sub/link").gid()), (33, 33));
    assert_eq!((look("").uid(), look("").gid()), (65534, 65534));
    assert_eq!(
        (look("sub/deep/numbers").mtime_nsec(), look("sub/link").mtime()),
        (123_456_789, 1_546_300_800)
    );
    assert_eq!(look("").mtime(), 1_530_947_227);
    assert_eq!(
        xattr::get(target.join("index.html"), "user.note").unwrap().as_deref(),
        Some(&b"hello"[..])
    );
}

#[test]
fn a_job_that_starts_again_finishes_what_the_first_one_began() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path();
    if !may_chown(target) {
        return;
    }
    let first = restore(&Memory::fixture(), &spec(), target).unwrap();
    assert_eq!(restore(&Memory::fixture(), &spec(), target).unwrap(), first);
    // Half done: one is gone, one too short, one not linked yet, one full of zeroes although it looks finished.
    fs::remove_file(target.join("index.html")).unwrap();
    fs::write(target.join("sub/deep/zeros"), "short").unwrap();
    fs::remove_file(target.join("sub/b.txt")).unwrap();
    fs::write(target.join("sub/b.txt"), "").unwrap();
    let numbers = target.join("sub/deep/numbers");
    let then = fs::metadata(&numbers).unwrap().modified().unwrap();
    fs::write(&numbers, vec![0; 18893]).unwrap();
    fs::File::open(&numbers).unwrap().set_modified(then).unwrap();
    fs::create_dir(target.join("lost+found")).unwrap();
    assert_eq!(restore(&Memory::fixture(), &spec(), target).unwrap(), first);
    assert!(target.join("lost+found").is_dir());
}

#[test]
fn verifying_finds_every_kind_of_change() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path();
    if !may_chown(target) {
        return;
    }
    let check = || {
        let found = found();
        verify::verify(
            &found,
            &survey(&found).unwrap(),
            target,
            &BTreeSet::new(),
            &Report::silent(),
        )
    };
    let numbers = target.join("sub/deep/numbers");
    let changes: [(&str, &dyn Fn()); 9] = [
        ("content differs", &|| {
            let then = fs::metadata(&numbers).unwrap().modified().unwrap();
            let mut content = fs::read(&numbers).unwrap();
            content[9000] ^= 1;
            fs::write(&numbers, content).unwrap();
            fs::File::open(&numbers).unwrap().set_modified(then).unwrap();
        }),
        ("bytes instead of", &|| {
            let then = fs::metadata(&numbers).unwrap().modified().unwrap();
            fs::write(&numbers, "1").unwrap();
            fs::File::open(&numbers).unwrap().set_modified(then).unwrap();
        }),
        ("mode", &|| {
            fs::set_permissions(&numbers, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap()
        }),
        ("owner", &|| std::os::unix::fs::chown(&numbers, Some(7), None).unwrap()),
        ("time", &|| {
            let file = fs::File::open(&numbers).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5))
                .unwrap();
        }),
        ("should be symlink", &|| {
            fs::remove_file(target.join("dangling")).unwrap();
            std::os::unix::fs::symlink("elsewhere", target.join("dangling")).unwrap();
        }),
        ("attribute user.note", &|| {
            xattr::set(target.join("index.html"), "user.note", b"other").unwrap()
        }),
        ("can't be looked at", &|| {
            fs::remove_file(target.join("index.html")).unwrap()
        }),
        ("mode", &|| {
            fs::set_permissions(target, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap()
        }),
    ];
    for (expected, change) in changes {
        for entry in fs::read_dir(target).unwrap() {
            let path = entry.unwrap().path();
            let is_dir = fs::symlink_metadata(&path).unwrap().is_dir();
            if is_dir {
                fs::remove_dir_all(path).unwrap()
            } else {
                fs::remove_file(path).unwrap()
            }
        }
        restore(&Memory::fixture(), &spec(), target).unwrap();
        check().unwrap();
        change();
        let error = check().unwrap_err();
        assert!(
            matches!(error, RestoreError::Differs { .. }) && error.why().contains(expected),
            "{expected}: {error:?}"
        );
    }
}

#[test]
fn nothing_of_somebody_else_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path();
    for (make, why) in [
        ("letters", "not in the backup"),
        ("index.html", "another kind of thing"),
    ] {
        fs::create_dir(target.join(make)).unwrap();
        let error = restore(&Memory::fixture(), &spec(), target).unwrap_err();
        assert!(three_parts(&error).contains(why), "{error:?}");
        assert_eq!(all_below(target), [target.join(make)]);
        fs::remove_dir(target.join(make)).unwrap();
    }
}

#[test]
fn a_volume_that_is_too_small_is_refused_before_anything_is_written() {
    let found = found();
    let (seen, folder) = (survey(&found).unwrap(), tempfile::tempdir().unwrap());
    target::check_room(folder.path(), &seen, 1).unwrap();
    let error = target::check_room(folder.path(), &seen, u64::MAX).unwrap_err();
    assert!(three_parts(&error).contains("has room for"), "{error:?}");
}

#[test]
fn a_wrong_password_says_so() {
    let wrong = Secret::new(b"battery-staple".to_vec());
    let error = inspect_in(Box::new(Memory::fixture()), &wrong, &spec()).unwrap_err();
    assert!(
        matches!(error, RestoreError::Repository { .. }) && three_parts(&error).contains("password"),
        "{error:?}"
    );
}

#[test]
fn a_place_without_a_repository_says_so() {
    let spec = JobSpec {
        prefix: "elsewhere".into(),
        ..spec()
    };
    let error = inspect_in(Box::new(Memory::fixture()), &password(), &spec).unwrap_err();
    assert!(three_parts(&error).contains("rossi-backups/elsewhere"), "{error:?}");
    assert!(error.why().contains("no repository"), "{error:?}");
}

#[test]
fn a_missing_snapshot_or_path_is_named() {
    let cases = [
        ("0123456789", "/srv/site", "0123456789"),
        ("968bcabd", "/srv/site/nothing", "/srv/site/nothing"),
        ("latest", "/home", "snapshot of `/home`"),
        ("968bcabd", "/srv/site/index.html/x", "index.html/x"),
    ];
    for (snapshot, path, named) in cases {
        let spec = JobSpec {
            snapshot: snapshot.into(),
            path: path.into(),
            ..spec()
        };
        let error = inspect_in(Box::new(Memory::fixture()), &password(), &spec).unwrap_err();
        assert!(
            matches!(error, RestoreError::NoSnapshot { .. }) && three_parts(&error).contains(named),
            "{error:?}"
        );
    }
}

#[test]
fn the_latest_snapshot_is_the_latest_of_that_path() {
    // The newest one in the repository is of /srv/other.
    let other = JobSpec {
        path: "/srv/other".into(),
        ..spec()
    };
    let other = inspect_in(Box::new(Memory::fixture()), &password(), &other).unwrap();
    assert!(other.snapshot.starts_with("3bab9fc2") && other.files == 1, "{other:?}");
    let sub = JobSpec {
        path: "/srv/site/sub".into(),
        ..spec()
    };
    assert_eq!(
        inspect_in(Box::new(Memory::fixture()), &password(), &sub)
            .unwrap()
            .snapshot,
        SITE
    );
}

#[test]
fn several_treasures_of_one_repository_are_seen_at_once() {
    let sub = JobSpec {
        path: "/srv/site/sub".into(),
        ..spec()
    };
    let both = [spec(), sub];
    let seen = crate::repository::inspect_in(Box::new(Memory::fixture()), &password(), &both).unwrap();
    assert_eq!((seen[0].files, seen[1].snapshot.as_str()), (7, SITE));
    assert!(seen[1].files < 7);
}

#[test]
fn a_pack_that_is_gone_or_short_or_changed_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let gone = |store: &mut Memory| {
        store.0.retain(|key, _| !key.ends_with(DATA));
    };
    let short = |store: &mut Memory| store.pack(DATA).truncate(100);
    let changed = |store: &mut Memory| store.pack(DATA)[100] ^= 1;
    let trees = |store: &mut Memory| store.pack(TREES)[100] ^= 1;
    let cases: [(Damage<'_>, &str); 4] = [
        (&gone, "is missing"),
        (&short, "is cut short"),
        (&changed, "does not decrypt"),
        (&trees, "decrypt"),
    ];
    for (damage, why) in cases {
        let mut store = Memory::fixture();
        damage(&mut store);
        let error = restore(&store, &spec(), folder.path()).unwrap_err();
        assert!(
            matches!(error, RestoreError::Damaged { .. }) && three_parts(&error).contains(why),
            "{why}: {error:?}"
        );
    }
}

#[test]
fn a_repository_is_never_written_to() {
    let backend = Backend::new(Box::new(Memory::fixture()), "here".into(), "some/restic");
    let bytes = BytesList::from(vec![1]);
    assert!(
        backend
            .write_bytes(FileType::Key, &Id::default(), false, bytes)
            .is_err()
    );
    assert!(backend.remove(FileType::Config, &Id::default(), false).is_err());
}

#[test]
fn the_log_of_a_job_is_understood() {
    let outcome = r#"{"snapshot":"ab","files":1,"bytes":2,"folders":3,"others":4,"attributes_left_out":0}"#;
    let log = format!(
        "noise\n{{\"progress\":{{\"phase\":\"write\",\"done\":1,\"total\":9}}}}\n{{\"progress\":{{\"phase\":\"verify\",\"done\":5,\"total\":9}}}}\n{{\"outcome\":{outcome}}}\n"
    );
    assert_eq!(crate::job::waits_in(&log), None);
    let waits = format!("{log}{{\"waits\":\"the store\"}}\n");
    assert_eq!(crate::job::waits_in(&waits).as_deref(), Some("the store"));
    assert_eq!(crate::job::last_progress_in(&log).unwrap().bytes(), (14, 18));
    assert_eq!(last_outcome_in::<Outcome>(&log).unwrap().bytes, 2);
    assert_eq!(
        last_outcome_in::<Outcome>("{\"progress\":{\"phase\":\"write\",\"done\":1,\"total\":9}}"),
        None
    );
}

#[test]
fn a_restore_that_replaces_leaves_nothing_of_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    if !may_chown(folder.path()) {
        return;
    }
    let newer = folder.path().join("written-since");
    fs::write(&newer, "newer").unwrap();
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    let error = restore(&Memory::fixture(), &spec(), folder.path()).unwrap_err();
    assert!(matches!(error, RestoreError::Occupied { .. }), "{error:?}");
    let replace = JobSpec {
        replace: true,
        ..spec()
    };
    let nowhere = JobSpec {
        path: "/nowhere".into(),
        ..replace.clone()
    };
    restore(&Memory::fixture(), &nowhere, folder.path()).unwrap_err();
    assert!(newer.exists(), "nothing goes before the backup was found");
    restore(&Memory::fixture(), &replace, folder.path()).unwrap();
    assert!(!newer.exists() && folder.path().join("index.html").exists());
}
