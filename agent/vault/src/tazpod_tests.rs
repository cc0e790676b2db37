//! The vector of the format's facts, and every way of tampering named there.

use super::*;

const PASS: &str = "correct horse battery staple";

fn secret(text: &str) -> Secret {
    Secret::from_string(text.to_owned())
}

/// The known answer: 72 bytes that hold `hello rescue` (which is no archive).
fn vector() -> Vec<u8> {
    let mut file: Vec<u8> = (0x00..=0x1f).chain(0x20..=0x2b).collect();
    file.extend(hex::decode("e5a0bbc502ec685649a64d8b9ed1e1167f9d32604bcb5187024cd098").unwrap());
    file
}

fn plain_of(file: &[u8], passphrase: &str) -> Option<Vec<u8>> {
    let key = key(&secret(passphrase), &file[..32]).unwrap();
    let nonce = file[32..44].try_into().unwrap();
    crypt::open(&key, nonce, &[], &file[44..])
        .unwrap()
        .map(|plain| plain.to_vec())
}

#[test]
fn the_known_answer_opens() {
    let salt: Vec<u8> = (0..32).collect();
    let expected = "ef8970894e11c302383e9d31b220979179c2e8964100f3a99a52cdc7ce6f9f77";
    assert_eq!(hex::encode(key(&secret(PASS), &salt).unwrap().expose()), expected);
    assert_eq!(plain_of(&vector(), PASS).unwrap(), b"hello rescue");
}

#[test]
fn a_wrong_passphrase_any_flipped_bit_and_any_truncation_are_refused() {
    let why = |file: &[u8], pass: &str| read(file, &secret(pass)).err().expect("refused").to_string();
    assert!(why(&vector(), "correct horse").contains("passphrase is wrong, or the file is damaged"));
    // The tag covers everything: salt and nonce by the key and the counter, the rest by itself. PBKDF2 is done once.
    let key = key(&secret(PASS), &vector()[..32]).unwrap();
    for at in 32..vector().len() {
        let mut file = vector();
        file[at] ^= 1;
        let nonce = file[32..44].try_into().unwrap();
        assert!(crypt::open(&key, nonce, &[], &file[44..]).unwrap().is_none(), "{at}");
    }
    for at in [0, 31] {
        let mut file = vector();
        file[at] ^= 0x80;
        assert!(why(&file, PASS).contains("damaged"));
    }
    for end in [0, 31, 43, 44, 59, 60, 71] {
        assert!(read(&vector()[..end], &secret(PASS)).is_err(), "{end}");
    }
    assert!(why(&vector()[..44], PASS).contains("44 bytes"));
    assert!(why(&vector(), PASS).contains("no archive"));
}

#[test]
fn what_is_written_is_read_again() {
    let (one, two) = (secret("ghp_x"), Secret::new((0..=255).collect()));
    let entries = [("github-token", &one), ("ssh/lushycorp-vault/id_ed25519", &two)];
    let file = write(entries.into_iter(), &secret(PASS), 1_700_000_000).unwrap();
    let found = read(&file, &secret(PASS)).unwrap();
    let got: Vec<_> = found
        .files
        .iter()
        .map(|f| (f.path.as_str(), f.value.expose()))
        .collect();
    assert_eq!(
        got,
        [
            ("github-token", one.expose()),
            ("ssh/lushycorp-vault/id_ed25519", two.expose())
        ]
    );
    // His reader makes no parents: each folder stands before what is in it, without a slash at its end or a leading dot.
    let plain = plain_of(&file, PASS).unwrap();
    let mut archive = Archive::new(GzDecoder::new(&*plain));
    let names: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|e| String::from_utf8(e.unwrap().path_bytes().into_owned()).unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "github-token",
            "ssh",
            "ssh/lushycorp-vault",
            "ssh/lushycorp-vault/id_ed25519"
        ]
    );
}

fn tar(make: impl FnOnce(&mut Builder<GzEncoder<Vec<u8>>>)) -> Vec<u8> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    make(&mut archive);
    archive.into_inner().unwrap().finish().unwrap()
}

/// A member whose name the library would refuse to write.
fn member(to: &mut Builder<GzEncoder<Vec<u8>>>, name: &str, kind: EntryType, size: u64) {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    to.append(&header, std::io::empty()).unwrap();
}

#[test]
fn hostile_archives_are_refused_and_links_are_passed_over() {
    for name in ["../../root/.ssh/authorized_keys", "/etc/passwd", "a/../../b"] {
        let archive = tar(|t| member(t, name, EntryType::Regular, 0));
        assert!(
            unpack(&archive).err().unwrap().to_string().contains("leads out"),
            "{name}"
        );
    }
    let archive = tar(|t| {
        member(t, "dir", EntryType::Directory, 0);
        member(t, "link", EntryType::Symlink, 0);
        member(t, "device", EntryType::Block, 0);
        member(t, "dir/empty", EntryType::Regular, 0);
    });
    let found = unpack(&archive).unwrap();
    assert_eq!(found.skipped, ["link", "device"]);
    assert_eq!(
        found.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(),
        ["dir/empty"]
    );
    let lying = tar(|t| member(t, "big", EntryType::Regular, 1 << 40));
    assert!(unpack(&lying).is_err());
    let bomb = tar(|t| {
        let mut header = Header::new_ustar();
        header.set_size(LARGEST + 10);
        header.set_entry_type(EntryType::Regular);
        header.set_path("bomb").unwrap();
        header.set_cksum();
        t.append(&header, std::io::repeat(0).take(LARGEST + 10)).unwrap();
    });
    assert!(unpack(&bomb).err().unwrap().to_string().contains("64 MiB"));
}
