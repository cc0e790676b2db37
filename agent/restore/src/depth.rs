//! Our restore against restic's own, of one and the same backup: repositories of both versions made by the real program, and
//! everything that a file can have. `diff`, `stat`, `getfacl` and `getfattr` must see no difference. Needs root.

use std::{
    ffi::OsStr,
    fs::{self, File, FileTimes},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use nix::unistd::{Whence, lseek};
use skykeep_aws::AwsError;
use skykeep_core::Secret;

use crate::{
    job::{JobSpec, Outcome, restore_in},
    report::Report,
    store::Store,
};

pub(crate) const PASSWORD: &str = "correct-horse";

/// A repository in a folder, as S3 would hold it.
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    read: Arc<Read>,
    dies: Option<Death>,
}

/// What was read of packs.
#[derive(Default)]
struct Read {
    parts: AtomicUsize,
    bytes: AtomicUsize,
}

/// The process dies by SIGKILL at this part, like a machine that loses power.
struct Death {
    at: usize,
    /// Not before this file has some MB: packs are read by several threads, and some must have done their work.
    when: Option<PathBuf>,
}

impl Death {
    fn now(&self) {
        let some = |file: &PathBuf| fs::metadata(file).is_ok_and(|m| m.blocks() > 8192);
        for _ in 0..600 {
            if self.when.as_ref().is_none_or(some) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let me = std::process::id().to_string();
        run(Command::new("kill").args(["-KILL", &me]));
    }
}

impl Folder {
    pub(crate) fn of(root: &Path) -> Self {
        Folder {
            root: root.to_owned(),
            read: Arc::default(),
            dies: None,
        }
    }
}

impl Store for Folder {
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, AwsError> {
        let (mut found, mut folders) = (Vec::new(), vec![self.root.join(prefix)]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    let key = entry.path().strip_prefix(&self.root).unwrap().display().to_string();
                    found.push((key, entry.metadata().unwrap().len()));
                }
            }
        }
        Ok(found)
    }

    fn read(&self, key: &str) -> Result<Option<Bytes>, AwsError> {
        Ok(fs::read(self.root.join(key)).ok().map(Bytes::from))
    }

    fn read_part(&self, key: &str, offset: u64, length: u64) -> Result<Option<Bytes>, AwsError> {
        if key.starts_with("data/") {
            let parts = self.read.parts.fetch_add(1, Ordering::SeqCst) + 1;
            if let Some(death) = self.dies.as_ref().filter(|death| death.at <= parts) {
                death.now();
            }
            let bytes = usize::try_from(length).unwrap();
            self.read.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
        let file = File::open(self.root.join(key)).unwrap();
        let there = file.metadata().unwrap().len().saturating_sub(offset).min(length);
        let mut part = vec![0; usize::try_from(there).unwrap()];
        file.read_exact_at(&mut part, offset).unwrap();
        Ok(Some(part.into()))
    }
}

/// The newest backup of this folder.
pub(crate) fn newest(source: &Path) -> JobSpec {
    JobSpec {
        bucket: "here".into(),
        prefix: String::new(),
        region: "here".into(),
        endpoint: None,
        snapshot: "latest".into(),
        path: source.to_str().unwrap().into(),
        replace: false,
    }
}

fn ours(repository: &Path, source: &Path, target: &Path, dies: Option<Death>) -> (Outcome, Arc<Read>) {
    let store = Folder {
        dies,
        ..Folder::of(repository)
    };
    let read = store.read.clone();
    let password = Secret::new(PASSWORD.as_bytes().to_vec());
    let outcome = restore_in(Box::new(store), &password, &newest(source), target, &Report::silent()).unwrap();
    (outcome, read)
}

pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output
}

pub(crate) fn restic(repository: &Path, args: &[&str]) {
    let mut command = Command::new("restic");
    command.args(["--no-cache", "-q", "-r"]).arg(repository).args(args);
    run(command.env("RESTIC_PASSWORD", PASSWORD));
}

pub(crate) fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend(seed.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Everything that a file can have.
fn make_world(root: &Path) {
    let at = |seconds: u64, nanos: u32| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    for n in 0..1500_u32 {
        let folder = root.join(format!("many/{}", n % 17));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{n}"));
        fs::write(&file, noise(usize::try_from(n % 700).unwrap(), u64::from(n) + 1)).unwrap();
        chown(&file, Some(1000 + n % 7), Some(2000 + n % 5)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400 + n % 0o400)).unwrap();
        let times = FileTimes::new().set_modified(at(1_600_000_000 + u64::from(n), 123_456_789 + n));
        File::open(&file).unwrap().set_times(times).unwrap();
    }
    fs::write(root.join("large"), noise(24_000_000, 7)).unwrap();
    let hole = File::create(root.join("sparse")).unwrap();
    hole.set_len(40_000_000).unwrap();
    hole.write_all_at(b"an island", 20_000_001).unwrap();
    fs::create_dir_all(root.join("links/deep")).unwrap();
    for name in ["links/one", "links/deep/two"] {
        fs::hard_link(root.join("large"), root.join(name)).unwrap();
    }
    symlink("../large", root.join("links/up")).unwrap();
    symlink("nowhere", root.join("links/dangling")).unwrap();
    run(Command::new("touch")
        .args(["-h", "-d", "2001-02-03 04:05:06.000000007"])
        .arg(root.join("links/dangling")));
    run(Command::new("mkfifo").arg(root.join("pipe")));
    run(Command::new("mknod").arg(root.join("null")).args(["c", "1", "3"]));
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2750), ("nothing", 0)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(root.join("sticky")).unwrap();
    fs::set_permissions(root.join("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    for name in [
        &b"new\nline"[..],
        b"not utf-8: \xff\xfe",
        b"-rf",
        " two  spaces and ünicode ".as_bytes(),
    ] {
        fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
    }
    for (name, seconds) in [("old", 1), ("far", 4_102_444_800)] {
        let file = File::create(root.join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(at(seconds, 999_999_999)))
            .unwrap();
    }
    let noted = root.join("noted");
    fs::write(&noted, "x").unwrap();
    xattr::set(&noted, "user.note", b"hello").unwrap();
    xattr::set(&noted, "user.bytes", &[0, 255, 10, 0]).unwrap();
    xattr::set(&noted, "user.empty", b"").unwrap();
    xattr::set(root.join("sticky"), "user.of-a-folder", &noise(1500, 3)).unwrap();
    // cap_net_bind_service+ep, as setcap writes it.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(root.join("old"), "security.capability", &capability).unwrap();
    let acl = |args: &[&str], name: &str| run(Command::new("setfacl").args(args).arg(root.join(name)));
    acl(&["-m", "u:1234:rw,g:4321:r,m::rw"], "noted");
    acl(&["-m", "u:1234:rwx", "-m", "d:u:1234:rwx,d:g:99:rx"], "links/deep");
}

/// Every file of a folder as `stat`, `getfacl` and `getfattr` tell it.
fn told(folder: &Path) -> String {
    let script = "export LC_ALL=C TZ=UTC; find . -print0 | sort -z >../names; \
        xargs -0 stat -c '%N %f %u:%g %h %t:%T %y' <../names; \
        find . ! -type d -print0 | sort -z | xargs -0 stat -c '%N %s'; \
        find . ! -type l -print0 | sort -z | xargs -0 getfacl -n -p --; \
        xargs -0 getfattr -h -d -m - -e hex -- <../names";
    let output = run(Command::new("bash").args(["-ec", script]).current_dir(folder));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn same(one: &Path, other: &Path) {
    // diff does not look into pipes and devices; stat compares them.
    let mut diff = Command::new("diff");
    diff.args(["-r", "--no-dereference", "-x", "pipe", "-x", "null"])
        .arg(one)
        .arg(other);
    let output = diff.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let (one, other) = (told(one), told(other));
    let mut lines = one.lines().zip(other.lines());
    let first = lines.find(|(a, b)| a != b);
    assert!(first.is_none() && one.len() == other.len(), "{first:?}");
    assert!(one.lines().count() > 8000, "too little was compared");
}

struct Place {
    folder: tempfile::TempDir,
    source: PathBuf,
}

impl Place {
    fn new() -> Self {
        assert_eq!(
            fs::metadata("/proc/self").unwrap().uid(),
            0,
            "owners can be given back by root only"
        );
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("world");
        fs::create_dir(&source).unwrap();
        make_world(&source);
        Place { folder, source }
    }

    fn repository(&self, version: &str) -> PathBuf {
        // Many packs, so that there is a middle.
        let repository = self.folder.path().join(format!("repository-{version}"));
        restic(&repository, &["init", "--repository-version", version]);
        restic(
            &repository,
            &["backup", "--pack-size", "4", self.source.to_str().unwrap()],
        );
        repository
    }

    /// A new folder of that name, alone in its own one.
    fn target(&self, name: &str) -> PathBuf {
        let target = self.folder.path().join(name).join("in");
        fs::create_dir_all(&target).unwrap();
        target
    }
}

/// The bytes of a file that are no holes. Its blocks would count the file system's own lists, too, which are longer for one that came in pieces.
fn data(path: &Path) -> i64 {
    let file = File::open(path).unwrap();
    let (mut at, mut bytes) = (0, 0);
    while let Ok(begin) = lseek(&file, at, Whence::SeekData) {
        at = lseek(&file, begin, Whence::SeekHole).unwrap();
        bytes += at - begin;
    }
    bytes
}

#[test]
fn what_comes_back_is_what_restic_itself_would_give_back() {
    let place = Place::new();
    for version in ["1", "2"] {
        let repository = place.repository(version);
        let theirs = place.target(&format!("theirs-{version}"));
        restic(
            &repository,
            &["restore", "latest", "--target", theirs.to_str().unwrap()],
        );
        let theirs = theirs.join(place.source.strip_prefix("/").unwrap());
        let target = place.target(&format!("ours-{version}"));
        let (outcome, _) = ours(&repository, &place.source, &target, None);
        assert!(outcome.files > 1500 && outcome.attributes_left_out == 0, "{outcome:?}");
        same(&theirs, &target);
        same(&place.source, &target);
        sparse(&target);
    }
}

/// Of 40 MB there are the blocks of an island and of its neighbours.
fn sparse(target: &Path) {
    let data = data(&target.join("sparse"));
    assert!(
        (9..=3 << 16).contains(&data),
        "{data} bytes of a file with a hole lie on the disk"
    );
}

/// Not a test by itself: the process that dies in the middle.
#[test]
#[ignore = "run by those that kill it"]
fn dies_in_the_middle() {
    let given = |name: &str| std::env::var(name).unwrap();
    let (repository, source, target) = (given("REPOSITORY"), given("SOURCE"), given("TARGET"));
    let death = Death {
        at: given("DIES_AT").parse().unwrap(),
        when: std::env::var_os("DIES_WHEN").map(PathBuf::from),
    };
    ours(
        Path::new(&repository),
        Path::new(&source),
        Path::new(&target),
        Some(death),
    );
}

/// A restore that dies at this part.
fn killed(place: &Place, repository: &Path, target: &Path, at: usize, when: Option<&PathBuf>) {
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "depth::dies_in_the_middle"])
        .env("REPOSITORY", repository)
        .env("SOURCE", &place.source)
        .env("TARGET", target)
        .env("DIES_AT", at.to_string())
        .envs(when.map(|file| ("DIES_WHEN", file)))
        .output()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&ended.status);
    assert_eq!(signal, Some(9), "{}", String::from_utf8_lossy(&ended.stdout));
}

#[test]
fn a_restore_that_was_killed_goes_on_where_it_was() {
    let place = Place::new();
    let repository = place.repository("2");
    let whole = place.target("whole");
    let (outcome, all) = ours(&repository, &place.source, &whole, None);
    let (parts, bytes) = (all.parts.load(Ordering::SeqCst), all.bytes.load(Ordering::SeqCst));
    let target = place.target("killed");
    let large = target.join("large");
    // The first part is a folder; near the end some of the content is written. How many parts there are differs a little with what is read together.
    for (at, when) in [(1, None), (parts - 3, Some(&large))] {
        killed(&place, &repository, &target, at, when);
    }
    let (again, left) = ours(&repository, &place.source, &target, None);
    assert_eq!(again, outcome);
    let left = left.bytes.load(Ordering::SeqCst);
    assert!(left + 2_000_000 < bytes, "{left} of {bytes} bytes were read again");
    same(&place.source, &target);
}

#[test]
fn files_full_of_wrong_bytes_come_back_with_their_holes() {
    let place = Place::new();
    let repository = place.repository("2");
    let target = place.target("wrong");
    // As long as it should be, too long, too short; and what is not zeros where a hole was.
    for (name, length) in [("sparse", 40_000_000), ("large", 30_000_000), ("many/3/3", 1)] {
        let path = target.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![0xff; length]).unwrap();
    }
    killed(&place, &repository, &target, 5, None);
    ours(&repository, &place.source, &target, None);
    same(&place.source, &target);
    sparse(&target);
}
