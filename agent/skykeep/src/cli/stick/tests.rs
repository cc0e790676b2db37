use super::*;
use skykeep_core::Explain;

fn disk(uses: &[&str]) -> Disk {
    Disk {
        make: "SanDisk Ultra".into(),
        size: 30_752_636_928,
        removable: true,
        part_of: None,
        uses: uses.iter().map(|text| (*text).to_owned()).collect(),
    }
}

#[test]
fn a_free_stick_is_shown_with_make_and_size_and_wants_a_yes() {
    let question = consider("/dev/sdb", &Target::Disk(disk(&[])), 45_000_000).expect("allowed");
    assert_eq!(
        question,
        Question::Yes("/dev/sdb: SanDisk Ultra, 30.8 GB, removable. All on it will be lost.".into())
    );
}

#[test]
fn a_disk_in_use_wants_its_exact_name_and_a_wrong_one_is_refused() {
    let uses = ["it carries / of the running system"];
    let ask = || consider("/dev/sda", &Target::Disk(disk(&uses)), 1).expect("asked");
    assert!(matches!(ask(), Question::Name(..)));
    assert!(agree("/dev/sda", ask(), Some("/dev/sda")).is_ok());
    assert!(matches!(
        agree("/dev/sda", ask(), Some("sda")),
        Err(StickError::InUse { .. })
    ));
    assert!(matches!(
        agree("/dev/sda", ask(), Some("/dev/sdb")),
        Err(StickError::InUse { .. })
    ));
}

#[test]
fn a_partition_and_a_small_disk_are_refused() {
    let mut part = disk(&[]);
    part.part_of = Some("sdb".into());
    let refused = consider("/dev/sdb1", &Target::Disk(part), 1).expect_err("refused");
    assert!(refused.remedy().contains("/dev/sdb."), "{}", refused.remedy());
    let small = consider("/dev/sdb", &Target::Disk(disk(&[])), 1 << 40);
    assert!(matches!(small, Err(StickError::TooSmall { .. })));
}

#[test]
fn every_error_says_what_why_and_what_to_do() {
    let io = |kind: std::io::ErrorKind| StickError::Io {
        doing: "opening",
        path: "/dev/sdb".into(),
        source: kind.into(),
    };
    let name = || "/dev/sdb".to_owned();
    let all = [
        io(std::io::ErrorKind::PermissionDenied),
        io(std::io::ErrorKind::NotFound),
        io(std::io::ErrorKind::ResourceBusy),
        StickError::NoDisk {
            name: "/dev/tty".into(),
            is: "a device without blocks, such as a terminal",
        },
        StickError::Partition {
            name: "/dev/sdb1".into(),
            disk: name(),
        },
        StickError::TooSmall {
            name: name(),
            has: 1,
            needs: 2,
        },
        StickError::InUse {
            name: name(),
            uses: vec!["it carries / of the running system".into()],
        },
        StickError::NotAgreed { name: name() },
        StickError::NoMedium {
            name: name(),
            why: "there is no skykeep/initrd on it".into(),
        },
        StickError::TooMuch {
            size: 2_000_000,
            slot: 1_048_576,
        },
        StickError::ReadBack {
            name: name(),
            at: 4_194_304,
        },
        StickError::Altered {
            name: name(),
            what: "skykeep/initrd is not the file of its list".into(),
        },
    ];
    let text: Vec<String> = all.into_iter().map(|error| Trouble::from(error).to_string()).collect();
    insta::assert_snapshot!(text.join("\n\n"));
}

#[test]
fn what_is_no_disk_and_no_file_is_refused_by_every_command_before_it_is_opened() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    small_iso(&at("release.iso"));
    owner(&at("castle"), 2);
    // Opening a pipe that nobody writes to would wait for ever.
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    for (target, is) in [
        (at("pipe"), "a pipe"),
        ("/dev/null".into(), "a device without blocks"),
        ("/dev/full".into(), "a device without blocks"),
        ("/dev".into(), "a folder"),
    ] {
        let refused = |done: Result<(), Trouble>| {
            let text = done.expect_err("refused").to_string();
            assert!(
                text.contains("neither a disk nor a file") && text.contains(is),
                "{text}"
            );
        };
        let name = target.display().to_string();
        refused(create(&target, &at("release.iso"), None, Some(&name)));
        refused(create(&at("stick"), &target, None, None));
        refused(verify::run(&target, None, Output::Text));
        if !target.is_dir() {
            refused(personal(&target, &at("castle")));
        }
    }
    let absent = create(Path::new("/dev/no-such-stick"), &at("release.iso"), None, None);
    assert!(absent.expect_err("refused").to_string().contains("lsblk"));
    assert!(!at("stick").exists() && !Path::new("/dev/no-such-stick").exists());
}

/// A small medium with the right shape: a list, a number, a slot.
fn small_iso(path: &Path) {
    use sha2::{Digest, Sha256};
    let sum = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let (kernel, body, words, screen) = (vec![1; 5000], vec![2; 7000], b"quiet\n".to_vec(), b"screen\n".to_vec());
    let lines = format!(
        "{}  vmlinuz\n{}  initrd\n{}  cmdline\n{}  cmdline.screen\n",
        sum(&kernel),
        sum(&body),
        sum(&words),
        sum(&screen)
    );
    let mut initrd = body;
    let mut mark = sum(lines.as_bytes()).into_bytes();
    mark.resize(512, 0);
    initrd.extend(mark);
    let list = format!("{}  skykeep/vmlinuz\n{}  skykeep/initrd\n", sum(&kernel), sum(&initrd));
    let files = [
        ("vmlinuz", kernel),
        ("initrd", initrd),
        ("cmdline", words),
        ("cmdline.screen", screen),
        ("SHA256SUMS", list.into_bytes()),
        ("personal", vec![0; 65536]),
    ];
    let (mut folder, mut content, mut sector) = (Vec::new(), Vec::new(), 22);
    for (name, bytes) in files {
        let place = iso::Place {
            at: sector * 2048,
            length: bytes.len() as u64,
        };
        folder.extend(iso::tests::record(name, place));
        content.extend(bytes);
        content.resize(content.len().next_multiple_of(2048), 0);
        sector = 22 + content.len() as u64 / 2048;
    }
    folder.resize(2048, 0);
    let place = |sector: u64| iso::Place {
        at: sector * 2048,
        length: 2048,
    };
    let mut root = iso::tests::record("skykeep", place(21));
    root.resize(2048, 0);
    let mut out = vec![0; 16 * 2048];
    out.extend(iso::tests::descriptor(u32::try_from(sector).expect("small"), place(20)));
    out.resize(20 * 2048, 0);
    out.extend([root, folder, content].concat());
    std::fs::write(path, out).expect("write");
}

fn owner(folder: &Path, lines: usize) {
    std::fs::create_dir_all(folder).expect("folder");
    let castle = include_str!("../../../../../tests/castle/castle.yaml");
    std::fs::write(folder.join("castle.yaml"), castle).expect("write");
    let lock = r#"{"version": 1, "kubernetes": "v1.36.3", "artifacts": [], "images": []}"#;
    std::fs::write(folder.join("castle.lock"), lock).expect("write");
    std::fs::write(folder.join("vault.skv"), "sealed\n".repeat(lines)).expect("write");
}

#[test]
fn a_medium_is_written_filled_refilled_and_only_its_slot_changes() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    small_iso(&at("release.iso"));
    owner(&at("castle"), 500);
    create(&at("stick"), &at("release.iso"), Some(&at("castle")), None).expect("create");
    let first = verify::codes(&Medium::open(&at("stick")).expect("open")).expect("codes");
    assert!(first.owner.is_some());
    let release = at("release.iso").display().to_string();
    verify::run(&at("stick"), Some(&release), Output::Text).expect("verify");

    owner(&at("castle"), 2);
    personal(&at("stick"), &at("castle")).expect("personal");
    let second = verify::codes(&Medium::open(&at("stick")).expect("open")).expect("codes");
    assert_eq!(second.image, first.image);
    assert_ne!(second.owner, first.owner);
    verify::run(&at("stick"), Some(&release), Output::Text).expect("verify");
    let (stick, image) = (
        std::fs::read(at("stick")).expect("read"),
        std::fs::read(at("release.iso")).expect("read"),
    );
    let slot = Medium::open(&at("stick")).expect("open").find(SLOT).expect("slot");
    let differing = stick.iter().zip(&image).enumerate().filter(|(_, (a, b))| a != b);
    let outside = differing
        .filter(|(n, _)| !(slot.at..slot.at + slot.length).contains(&(*n as u64)))
        .count();
    assert_eq!((outside, stick.len()), (0, image.len()));
    let left = String::from_utf8_lossy(&stick).matches("sealed").count();
    assert_eq!(left, 2, "of the longer part before nothing is left");
}

#[test]
fn one_flipped_bit_is_found_by_verify() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("stick");
    let release = folder.path().join("release.iso");
    small_iso(&path);
    small_iso(&release);
    let text = release.display().to_string();
    let good = std::fs::read(&path).expect("read");
    let find = |name: &str| Medium::open(&release).expect("open").find(name).expect("place").at as usize;
    for (place, against) in [
        (find("skykeep/vmlinuz") + 100, None),
        (find("skykeep/initrd") + 6000, None),
        (find("skykeep/cmdline"), None),
        (100, Some(text.as_str())),
    ] {
        let mut bad = good.clone();
        *bad.get_mut(place).expect("byte") ^= 1;
        std::fs::write(&path, &bad).expect("write");
        assert!(verify::run(&path, against, Output::Text).is_err(), "byte {place}");
    }
    std::fs::write(&path, &good).expect("write");
    verify::run(&path, Some(&text), Output::Text).expect("good again");
}

#[test]
fn an_owners_part_that_is_too_large_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    small_iso(&at("release.iso"));
    owner(&at("castle"), 20_000);
    assert!(create(&at("stick"), &at("release.iso"), Some(&at("castle")), None).is_err());
    assert!(!at("stick").exists());
    let before = std::fs::read(at("release.iso")).expect("read");
    assert!(personal(&at("release.iso"), &at("castle")).is_err());
    assert_eq!(std::fs::read(at("release.iso")).expect("read"), before);
}

#[test]
fn a_file_that_exists_is_not_overwritten_unasked() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    small_iso(&at("release.iso"));
    std::fs::write(at("precious"), "letters").expect("write");
    assert!(create(&at("precious"), &at("release.iso"), None, Some("another")).is_err());
    assert_eq!(std::fs::read_to_string(at("precious")).expect("read"), "letters");
    let name = at("precious").display().to_string();
    create(&at("precious"), &at("release.iso"), None, Some(&name)).expect("agreed");
}
