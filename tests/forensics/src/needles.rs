//! What is searched for: every secret, in every form, cut into all its fragments.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose};

use crate::{aes, keys, tls};

/// Length of a fragment, bytes: shorter ones are found by chance.
pub const FRAGMENT: usize = 16;

/// Fragments, each with the secret and the form it belongs to.
#[derive(Default)]
pub struct Needles {
    fragments: BTreeMap<Vec<u8>, (String, &'static str)>,
}

impl Needles {
    /// Adds a secret in all forms: plain, UTF-16, base64 at each of three alignments (both alphabets), hexadecimal in both cases.
    ///
    /// # Errors
    /// When it is shorter than a fragment.
    pub fn add(&mut self, name: &str, secret: &[u8]) -> Result<()> {
        for (form, bytes) in forms(secret) {
            self.cut(name, form, &bytes)?;
        }
        Ok(())
    }

    /// Adds a 32-byte key in all forms, and its AES key schedule.
    ///
    /// # Errors
    /// Never for a key; as [`add`](Self::add).
    pub fn add_key(&mut self, name: &str, key: &[u8; 32]) -> Result<()> {
        self.add(name, key)?;
        for fragment in aes::schedule(key).windows(FRAGMENT).skip(FRAGMENT + 1) {
            let label = (name.to_owned(), "AES key schedule");
            self.fragments.entry(fragment.to_vec()).or_insert(label);
        }
        Ok(())
    }

    /// Adds the private scalar of a P-256 key: in all forms, and as arithmetic holds it, the lowest byte first, also times 2^256.
    ///
    /// # Errors
    /// Never for a scalar; as [`add`](Self::add).
    pub fn add_scalar(&mut self, name: &str, scalar: &[u8; 32]) -> Result<()> {
        self.add(name, scalar)?;
        let turned: Vec<u8> = scalar.iter().rev().copied().collect();
        self.cut(name, "lowest byte first", &turned)?;
        let form = keys::to_montgomery(scalar).context("the scalar is too large")?;
        self.cut(name, "as ring keeps it to sign", &form)
    }

    /// Adds what a TLS peer holds of one session: a logged secret, and the keys that TLS 1.3 makes of it with their AES schedules. Sessions are many,
    /// so only each eighth place begins a fragment: 24 bytes that are left are found.
    pub fn add_session(&mut self, name: &str, secret: &[u8]) {
        let mut add = |form, bytes: &[u8]| {
            for fragment in bytes.windows(FRAGMENT).step_by(8) {
                let label = (name.to_owned(), form);
                self.fragments.entry(fragment.to_vec()).or_insert(label);
            }
        };
        add("secret", secret);
        for key in tls::keys(secret) {
            add("key", &key);
            add("AES key schedule", &aes::schedule(&key)[key.len()..]);
        }
    }

    /// The fragments of some bytes as they are.
    pub(crate) fn of_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let mut needles = Needles::default();
        needles.cut(name, "plain", bytes)?;
        Ok(needles)
    }

    fn cut(&mut self, name: &str, form: &'static str, bytes: &[u8]) -> Result<()> {
        ensure!(bytes.len() >= FRAGMENT, "{name} is shorter than {FRAGMENT} bytes");
        for fragment in bytes.windows(FRAGMENT) {
            // A run of one byte is everywhere.
            if fragment.iter().any(|byte| Some(byte) != fragment.first()) {
                self.fragments.insert(fragment.to_vec(), (name.to_owned(), form));
            }
        }
        Ok(())
    }

    pub(crate) fn patterns(&self) -> impl Iterator<Item = &[u8]> {
        self.fragments.keys().map(Vec::as_slice)
    }

    /// Secret and form of the n-th pattern.
    pub(crate) fn label(&self, n: usize) -> Option<&(String, &'static str)> {
        self.fragments.values().nth(n)
    }

    /// How many fragments there are.
    pub fn len(&self) -> usize {
        self.fragments.len()
    }

    /// Whether nothing would be searched for.
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }
}

/// A secret as programs write it.
pub(crate) fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![
        ("plain", secret.to_vec()),
        ("hexadecimal", hex::encode(secret).into_bytes()),
        ("hexadecimal", hex::encode_upper(secret).into_bytes()),
    ];
    if let Ok(text) = std::str::from_utf8(secret) {
        let units: Vec<u16> = text.encode_utf16().collect();
        forms.push(("UTF-16", units.iter().flat_map(|unit| unit.to_le_bytes()).collect()));
        forms.push(("UTF-16", units.iter().flat_map(|unit| unit.to_be_bytes()).collect()));
    }
    for (alignment, form) in [
        "base64, first alignment",
        "base64, second alignment",
        "base64, third alignment",
    ]
    .into_iter()
    .enumerate()
    {
        for engine in [&general_purpose::STANDARD_NO_PAD, &general_purpose::URL_SAFE_NO_PAD] {
            let mut shifted = vec![0; alignment];
            shifted.extend_from_slice(secret);
            let text = engine.encode(&shifted).into_bytes();
            // Letters that hold bits of what stands before and after the secret are left out.
            let first = (alignment * 8).div_ceil(6);
            let last = shifted.len() * 8 / 6;
            forms.push((form, text[first..last].to_vec()));
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_a_longer_text_holds_the_form_of_its_alignment() {
        let secret = b"seven lanterns over the quiet harbour";
        for (alignment, before) in ["", "x", "xy"].iter().enumerate() {
            let text = [before.as_bytes(), secret, b"and more"].concat();
            let text = general_purpose::STANDARD.encode(text);
            let (_, form) = &forms(secret)[5 + 2 * alignment];
            let form = std::str::from_utf8(form).unwrap();
            assert!(form.len() > 40 && text.contains(form), "{alignment}: {form} in {text}");
        }
    }

    #[test]
    fn every_form_has_a_fragment_at_every_alignment() {
        let mut needles = Needles::default();
        needles.add("s", b"seven lanterns over the quiet harbour").unwrap();
        let found: Vec<&[u8]> = needles.patterns().collect();
        for fragment in [b"seven lanterns o".as_slice(), b"even lanterns ov", b"he quiet harbour"] {
            assert!(found.contains(&fragment));
        }
        assert!(needles.add("short", b"fifteen bytes..").is_err());
    }
}
