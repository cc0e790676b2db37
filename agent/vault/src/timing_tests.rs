//! What the time tells: whether a passphrase is wrong or a slot was changed costs the same work.

use sha2::{Digest, Sha256};
use skykeep_core::Secret;

use crate::{KdfParams, Vault, VaultError, open::open_with};

const PASSPHRASE: &str = "correct horse";
/// Magic, version, length of the header, vault id, counter, number of slots, length of the slot; kind, name, derivation, m, t, p, salt, nonce.
const WRAPPED_KEY: usize = (8 + 2 + 4 + 16 + 8 + 1 + 2) + (1 + 1 + "passphrase".len() + 1 + 12 + 32 + 12);

fn secret(text: &str) -> Secret {
    Secret::from_string(text.into())
}

/// A vault, and a copy of it whose slot somebody changed, checksum and all.
fn whole_and_damaged() -> [Vec<u8>; 2] {
    let params = KdfParams {
        m_kib: 64 * 1024,
        t: 3,
        p: 4,
    };
    let whole = Vault::create(&secret(PASSPHRASE), params).unwrap().seal().unwrap();
    let mut damaged = whole.clone();
    damaged[WRAPPED_KEY] ^= 1;
    let end = damaged.len() - 32;
    let checksum = Sha256::digest(&damaged[..end]);
    damaged[end..].copy_from_slice(&checksum);
    [whole, damaged]
}

/// Nanoseconds of processor time that this thread has had.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_damaged_slot_takes_as_long_as_a_wrong_passphrase_and_says_the_same() {
    let [whole, damaged] = whole_and_damaged();
    let cases = [(whole.as_slice(), "correct house"), (&damaged, PASSPHRASE)];
    // The least of several: what other programs cost is not ours. In turns, so that a change of the clock rate meets both.
    let mut least = [u64::MAX; 2];
    for _ in 0..7 {
        for ((file, typed), least) in cases.iter().zip(&mut least) {
            let typed = secret(typed);
            let before = processor_time();
            let opened = Vault::open(file, &typed);
            *least = (processor_time() - before).min(*least);
            assert!(matches!(opened, Err(VaultError::WrongPassphrase)));
        }
    }
    let ratio = least[0] as f64 / least[1] as f64;
    assert!((0.8..1.25).contains(&ratio), "{least:?}: they differ by {ratio}");
}

#[test]
fn the_key_is_derived_before_anything_is_known_about_a_slot() {
    let [_, damaged] = whole_and_damaged();
    let mut derived = 0;
    let opened = open_with(&damaged, |_, salt, params| {
        derived += 1;
        crate::kdf::argon2id(&secret(PASSPHRASE), salt, params).map(Some)
    });
    assert!(matches!(opened, Err(VaultError::WrongPassphrase)));
    assert_eq!(derived, 1);
}
