//! Keys that nobody outside can know beforehand: in a dump they lie near the public point that their certificate tells. What was found once can be
//! searched for later.

use std::path::Path;

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result};
use p256::{
    Scalar, SecretKey,
    elliptic_curve::{PrimeField, sec1::ToSec1Point},
};

/// What stands before the point of a P-256 key in its certificate: a bit string, and an uncompressed point.
const POINT: [u8; 4] = [3, 0x42, 0, 4];
/// A certificate's name and its public key lie closer than this.
const NEAR: usize = 160;
/// A key and its public point lie closer than this, in PKCS #8 and in ring's own form.
const APART: usize = 300;

/// A dump that is asked for what nobody told us.
pub struct Found {
    memory: Vec<u8>,
}

impl Found {
    /// Reads a dump.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn in_dump(dump: &Path) -> Result<Self> {
        let memory = std::fs::read(dump).with_context(|| dump.display().to_string())?;
        Ok(Found { memory })
    }

    /// Takes some memory.
    pub fn in_memory(memory: Vec<u8>) -> Self {
        Found { memory }
    }

    /// The private keys of certificates with this name, each once.
    ///
    /// # Errors
    /// Never for a name.
    pub fn keys_of(&self, name: &str) -> Result<Vec<[u8; 32]>> {
        let mut points: Vec<&[u8]> = Vec::new();
        for hit in AhoCorasick::new([name])?.find_iter(&self.memory) {
            let near = &self.memory[hit.end()..(hit.end() + NEAR).min(self.memory.len())];
            let at = near.windows(POINT.len()).position(|window| window == POINT);
            points.extend(at.and_then(|at| near.get(at + POINT.len()..at + POINT.len() + 32)));
        }
        points.sort_unstable();
        points.dedup();
        let mut keys = Vec::new();
        for hit in AhoCorasick::new(&points)?.find_iter(&self.memory) {
            let point = points[hit.pattern().as_usize()];
            let near = &self.memory[hit.start().saturating_sub(APART)..(hit.end() + APART).min(self.memory.len())];
            let belongs = |scalar: &[u8; 32]| {
                let key = SecretKey::from_slice(scalar);
                key.is_ok_and(|key| key.public_key().to_sec1_point(false).as_bytes().get(1..33) == Some(point))
            };
            let both = |window: &[u8; 32]| [Some(*window), from_montgomery(window)];
            let candidates = near.array_windows::<32>().flat_map(both).flatten();
            keys.extend(candidates.filter(belongs));
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// The words of this length, letters and digits, that follow a text; each once.
    ///
    /// # Errors
    /// Never for a text.
    pub fn words_after(&self, text: &str, length: usize) -> Result<Vec<String>> {
        let finder = AhoCorasick::new([text])?;
        let behind = |end| self.memory.get(end..end + length);
        let found = finder.find_iter(&self.memory).filter_map(|hit| behind(hit.end()));
        let words = found.filter(|word| word.iter().all(u8::is_ascii_alphanumeric));
        let mut words: Vec<String> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        words.sort_unstable();
        words.dedup();
        Ok(words)
    }
}

/// A scalar as ring keeps it to sign: times 2^256, the lowest byte first.
pub(crate) fn to_montgomery(scalar: &[u8; 32]) -> Option<[u8; 32]> {
    let mut turned: [u8; 32] = (scalar_of(scalar)? * power()).to_repr().into();
    turned.reverse();
    Some(turned)
}

fn from_montgomery(bytes: &[u8; 32]) -> Option<[u8; 32]> {
    let mut turned = *bytes;
    turned.reverse();
    let back = Option::<Scalar>::from(power().invert())?;
    Some((scalar_of(&turned)? * back).to_repr().into())
}

fn scalar_of(bytes: &[u8; 32]) -> Option<Scalar> {
    Option::from(Scalar::from_repr((*bytes).into()))
}

/// 2^256.
fn power() -> Scalar {
    Scalar::from(1u64 << 32).square().square().square()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_by_its_certificates_name() {
        let mut names = rcgen::CertificateParams::default();
        names.distinguished_name.push(rcgen::DnType::CommonName, "somebody");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = names.self_signed(&key).unwrap();
        let file = key.serialize_der();
        let memory = [b"before", &file[..], b"between", certificate.der(), b"after"].concat();
        let found = Found::in_memory(memory);
        assert_eq!(found.keys_of("somebody").unwrap(), [&file[36..68]]);
        assert!(found.keys_of("nobody").unwrap().is_empty());
        assert_eq!(found.words_after("befo", 2).unwrap(), ["re"]);
        // Its certificate alone tells nothing.
        let public = Found::in_memory(certificate.der().to_vec());
        assert!(public.keys_of("somebody").unwrap().is_empty());
    }
}
