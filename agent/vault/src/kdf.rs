//! Argon2id with bounds, in memory that is wiped.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use icu_normalizer::ComposingNormalizerBorrowed;
use skykeep_core::Secret;
use zeroize::{Zeroize, Zeroizing};

use crate::error::VaultError;

/// Longest passphrase, bytes of UTF-8 as typed.
const MAX_PASSPHRASE: usize = 4096;
/// Memory that must stay free besides Argon2's own, MiB.
const SPARE_MIB: u64 = 64;

/// Least and most memory of a slot, KiB.
const MEMORY: std::ops::RangeInclusive<u32> = 64 * 1024..=4 * 1024 * 1024;
/// Least and most passes.
const PASSES: std::ops::RangeInclusive<u32> = 3..=16;
/// Least and most lanes.
const LANES: std::ops::RangeInclusive<u32> = 4..=16;

/// How much work a passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    /// Memory, KiB.
    pub m_kib: u32,
    /// Passes.
    pub t: u32,
    /// Lanes.
    pub p: u32,
}

impl Default for KdfParams {
    fn default() -> Self {
        KdfParams {
            m_kib: 256 * 1024,
            t: 3,
            p: 4,
        }
    }
}

impl KdfParams {
    /// Refuses what no honest vault has, before anything is allocated.
    pub(crate) fn check(&self) -> Result<(), VaultError> {
        if !MEMORY.contains(&self.m_kib) {
            return Err(VaultError::Absurd(format!(
                "a slot asks for {} KiB of Argon2 memory",
                self.m_kib
            )));
        }
        if !PASSES.contains(&self.t) || !LANES.contains(&self.p) {
            return Err(VaultError::Absurd(format!(
                "a slot asks for {} Argon2 passes on {} lanes",
                self.t, self.p
            )));
        }
        Ok(())
    }
}

/// The passphrase as it is fed to Argon2: UTF-8 in Unicode normal form C.
pub(crate) fn normalise(passphrase: &Secret) -> Result<Secret, VaultError> {
    if passphrase.is_empty() {
        return Err(VaultError::Passphrase("it is empty"));
    }
    if passphrase.len() > MAX_PASSPHRASE {
        return Err(VaultError::Passphrase("it is longer than 4096 bytes"));
    }
    let text = passphrase
        .expose_str()
        .ok_or(VaultError::Passphrase("it is not UTF-8 text"))?;
    // NFC can triple the bytes; with room from the start the string never moves and leaves no copy behind.
    let mut nfc = Zeroizing::new(String::with_capacity(3 * text.len()));
    let _never_fails = ComposingNormalizerBorrowed::new_nfc().normalize_to(text, &mut *nfc);
    Ok(Secret::new(std::mem::take(&mut *nfc).into_bytes()))
}

/// Argon2id, version 0x13, of a normalised passphrase: the 32 bytes that unwrap a slot's data key.
pub(crate) fn argon2id(passphrase: &Secret, salt: &[u8], params: KdfParams) -> Result<Secret, VaultError> {
    params.check()?;
    let refused = |e: argon2::Error| VaultError::Absurd(format!("Argon2 refuses the parameters of a slot ({e})"));
    let argon_params = Params::new(params.m_kib, params.t, params.p, Some(32)).map_err(refused)?;
    let mut matrix = Matrix::new(argon_params.block_count())?;
    let mut key = Zeroizing::new(vec![0_u8; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, argon_params)
        .hash_password_into_with_memory(passphrase.expose(), salt, &mut key, &mut matrix.0)
        .map_err(refused)?;
    Ok(Secret::new(std::mem::take(&mut *key)))
}

/// Argon2's work memory; wiped when done with, because the key can be read from it.
struct Matrix(Vec<Block>);

impl Matrix {
    fn new(blocks: usize) -> Result<Self, VaultError> {
        // One block is 1 KiB.
        let needed = blocks as u64 / 1024;
        let free = available_mib();
        if free.is_some_and(|free| free < needed + SPARE_MIB) {
            return Err(VaultError::Memory { needed, free });
        }
        let mut memory = Vec::new();
        memory
            .try_reserve_exact(blocks)
            .map_err(|_| VaultError::Memory { needed, free: None })?;
        memory.resize(blocks, Block::new());
        Ok(Matrix(memory))
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// Free memory by the kernel's own estimate; `None` where /proc is not mounted.
fn available_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_word_from_two_keyboards_is_the_same_passphrase() {
        let composed = normalise(&Secret::from_string("perch\u{e9}".into())).unwrap();
        let combining = normalise(&Secret::from_string("perche\u{301}".into())).unwrap();
        assert_eq!(composed.expose(), combining.expose());
        assert_eq!(composed.expose(), "perch\u{e9}".as_bytes());
    }

    #[test]
    fn a_terabyte_of_argon2_is_refused_before_anything_is_allocated() {
        let params = KdfParams {
            m_kib: 1024 * 1024 * 1024,
            t: 3,
            p: 4,
        };
        assert!(matches!(
            argon2id(&Secret::from_string("x".into()), &[0; 32], params),
            Err(VaultError::Absurd(_))
        ));
        for (t, p) in [(0, 4), (2, 4), (17, 4), (3, 0), (3, 3), (3, 17)] {
            assert!(KdfParams { m_kib: 65536, t, p }.check().is_err(), "{t} {p}");
        }
        assert!(
            KdfParams {
                m_kib: 65535,
                t: 3,
                p: 4
            }
            .check()
            .is_err()
        );
        assert!(
            KdfParams {
                m_kib: 65536,
                t: 3,
                p: 4
            }
            .check()
            .is_ok()
        );
    }

    #[test]
    fn empty_and_endless_passphrases_are_refused() {
        for text in [String::new(), "x".repeat(10_000)] {
            assert!(matches!(
                normalise(&Secret::from_string(text)),
                Err(VaultError::Passphrase(_))
            ));
        }
        assert!(matches!(
            normalise(&Secret::new(vec![0xff])),
            Err(VaultError::Passphrase(_))
        ));
    }
}
