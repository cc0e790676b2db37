//! How fast the vault's work is, by processor time. `agent/vault/tests/speed` sets it beside OpenSSL and the C program of Argon2.

use aes_gcm::{Aes256Gcm, KeyInit, Nonce, aead::AeadInOut};
use skykeep_core::{Secret, Trouble};
use skykeep_vault::{KdfParams, Vault};

/// The most that a vault holds.
const LARGE: usize = 3 << 20;
/// One with a few secrets.
const SMALL: usize = 12 << 10;

fn main() -> Result<(), Trouble> {
    for bytes in [SMALL, LARGE] {
        let cipher = Aes256Gcm::new(&[7; 32].into());
        let nonce = Nonce::from([7; 12]);
        let mut text = Vec::with_capacity(bytes + 16);
        text.resize(bytes, 7);
        // As the vault calls it, on memory that was touched before.
        let seconds = each(|| {
            let _ = cipher.encrypt_in_place(&nonce, b"header", &mut text);
            text.truncate(bytes);
        });
        println!("gcm-seal {bytes} {:.0}", bytes as f64 / seconds);
        text.resize(bytes, 7);
        let _ = cipher.encrypt_in_place(&nonce, b"header", &mut text);
        let mut sealed = Vec::with_capacity(text.len());
        let seconds = each(|| {
            sealed.clear();
            sealed.extend_from_slice(&text);
            let _ = cipher.decrypt_in_place(&nonce, b"header", &mut sealed);
        });
        println!("gcm-open {bytes} {:.0}", bytes as f64 / seconds);
    }
    // All of it: checksum, padding, locked memory for each value.
    let weak = KdfParams {
        m_kib: 64 * 1024,
        ..KdfParams::default()
    };
    let mut vault = Vault::create(&Secret::from_string("a passphrase for the clock".into()), weak)?;
    for number in 0..16 {
        vault.put(&format!("value/{number}"), Secret::new(vec![7; LARGE / 17]), "", None)?;
    }
    let sealed = vault.seal()?;
    let bytes = sealed.len();
    println!("vault-seal {bytes} {:.0}", bytes as f64 / each(|| drop(vault.seal())));
    println!(
        "vault-open {bytes} {:.0}",
        bytes as f64 / each(|| drop(vault.open_copy(&sealed)))
    );
    // What a person waits for: the derivation, and nothing to be opened behind it.
    let made = Vault::create(
        &Secret::from_string("a passphrase for the clock".into()),
        KdfParams::default(),
    )?
    .seal()?;
    let typed = Secret::from_string("another one for the clock".into());
    let seconds = (0..5)
        .map(|_| timed(|| drop(Vault::open(&made, &typed))))
        .fold(f64::MAX, f64::min);
    println!("argon2 262144 {seconds:.3}");
    Ok(())
}

/// Seconds of one call: the best of five rounds of a tenth of a second each.
fn each(mut work: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let (mut calls, mut took) = (0, 0.0);
        while took < 0.1 {
            took += timed(&mut work);
            calls += 1;
        }
        best = best.min(took / f64::from(calls));
    }
    best
}

/// Seconds of processor time that a call takes in this thread.
fn timed(work: impl FnOnce()) -> f64 {
    let before = nanoseconds();
    work();
    (nanoseconds() - before) as f64 / 1e9
}

fn nanoseconds() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0)
}
