//! Reading the age format, version 1, with X25519 identities: what SOPS wraps its data keys in.
//!
//! Source: C2SP `age.md`; judged by C2SP's test kit (`tests/age_testkit.rs`). Written here and not taken from the `age`
//! crate, which brings some 60 further crates (translations, post-quantum keys) for 32 bytes (docs/adr/0009).

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, aead::Aead};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use skykeep_core::Secret;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const INTRO: &str = "age-encryption.org/v1\n";
const LABEL: &[u8] = b"age-encryption.org/v1/X25519";
/// Characters of a line of a stanza's body, and of armor.
const COLUMNS: usize = 64;
/// Plain bytes of a chunk of the payload.
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone),
);

/// Why an age file does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgeError {
    /// The text around the file is not as it must be.
    Armor,
    /// The header is not as it must be.
    Header,
    /// None of the identities is a recipient.
    NoMatch,
    /// The header was changed.
    Mac,
    /// The content was changed or cut.
    Payload,
}

/// An X25519 identity.
pub struct Identity {
    secret: StaticSecret,
    recipient: PublicKey,
}

impl Identity {
    /// Reads `AGE-SECRET-KEY-1...`.
    fn parse(text: &str) -> Option<Self> {
        let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
        let hrp = Hrp::parse("age-secret-key-").ok()?;
        if text.chars().any(|c| c.is_ascii_lowercase()) || checked.hrp() != hrp {
            return None;
        }
        let bytes = Zeroizing::new(checked.byte_iter().collect::<Vec<u8>>());
        let secret = StaticSecret::from(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
        Some(Identity {
            recipient: PublicKey::from(&secret),
            secret,
        })
    }

    /// Reads a file as `age-keygen` writes it: comments, and one identity to a line. The error is the number of the line
    /// that is none, or 0 when there is no identity.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, usize> {
        let lines = (1usize..).zip(text.lines().map(str::trim));
        let identities: Vec<Self> = lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(number, line)| Identity::parse(line).ok_or(number))
            .collect::<Result<_, _>>()?;
        if identities.is_empty() { Err(0) } else { Ok(identities) }
    }
}

/// Decrypts an armored file.
pub fn open_armored(text: &str, identities: &[Identity]) -> Result<Secret, AgeError> {
    open(&dearmor(text)?, identities)
}

/// Decrypts a file, all of it or nothing.
pub fn open(file: &[u8], identities: &[Identity]) -> Result<Secret, AgeError> {
    let mut header = Header::default();
    let rest = header.read(file)?;
    let key = identities
        .iter()
        .find_map(|identity| header.unwrap(identity).transpose())
        .ok_or(AgeError::NoMatch)??;
    let mac_key = derive(&key, &[], b"header")?;
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(mac_key.as_slice()).map_err(|_| AgeError::Mac)?;
    mac.update(header.authenticated);
    mac.verify_slice(&header.mac).map_err(|_| AgeError::Mac)?;
    let (nonce, chunks) = rest.split_first_chunk::<16>().ok_or(AgeError::Header)?;
    stream(&derive(&key, nonce, b"payload")?, chunks)
}

#[derive(Default)]
struct Header<'a> {
    /// Ephemeral share and wrapped key of each X25519 stanza.
    stanzas: Vec<([u8; 32], Vec<u8>)>,
    /// How many stanzas there are, and whether one is a passphrase's, which must stand alone.
    count: usize,
    passphrase: bool,
    authenticated: &'a [u8],
    mac: Vec<u8>,
}

impl<'a> Header<'a> {
    /// Reads up to the payload, and gives it.
    fn read(&mut self, file: &'a [u8]) -> Result<&'a [u8], AgeError> {
        let mut rest = file.strip_prefix(INTRO.as_bytes()).ok_or(AgeError::Header)?;
        loop {
            let (line, after) = line(rest)?;
            if let Some(mac) = line.strip_prefix("--- ") {
                let length = file.len() - rest.len() + "---".len();
                self.authenticated = file.get(..length).unwrap_or_default();
                self.mac = unpadded(mac)?;
                let alone = !self.passphrase || self.count == 1;
                return if self.mac.len() == 32 && alone {
                    Ok(after)
                } else {
                    Err(AgeError::Header)
                };
            }
            rest = self.stanza(line, after)?;
        }
    }

    fn stanza(&mut self, first: &str, mut rest: &'a [u8]) -> Result<&'a [u8], AgeError> {
        let words: Vec<&str> = first.strip_prefix("-> ").ok_or(AgeError::Header)?.split(' ').collect();
        if words
            .iter()
            .any(|w| w.is_empty() || !w.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(AgeError::Header);
        }
        let mut body = String::new();
        loop {
            let (line, after) = line(rest)?;
            body.push_str(line);
            rest = after;
            match line.len() {
                COLUMNS => {}
                0..COLUMNS => break,
                _ => return Err(AgeError::Header),
            }
        }
        let body = unpadded(&body)?;
        self.count += 1;
        self.passphrase |= words.first() == Some(&"scrypt");
        match words.as_slice() {
            ["X25519", share] => {
                let share = <[u8; 32]>::try_from(unpadded(share)?).map_err(|_| AgeError::Header)?;
                if body.len() != 32 {
                    return Err(AgeError::Header);
                }
                self.stanzas.push((share, body));
            }
            ["X25519", ..] => return Err(AgeError::Header),
            // Other kinds of recipients are none of ours.
            _ => {}
        }
        Ok(rest)
    }

    /// The file's key, when this identity is a recipient.
    fn unwrap(&self, identity: &Identity) -> Result<Option<Zeroizing<Vec<u8>>>, AgeError> {
        for (share, body) in &self.stanzas {
            let shared = identity.secret.diffie_hellman(&PublicKey::from(*share));
            if !shared.was_contributory() {
                return Err(AgeError::Header);
            }
            let salt = [share.as_slice(), identity.recipient.as_bytes()].concat();
            let key = derive(shared.as_bytes(), &salt, LABEL)?;
            if let Ok(file_key) = cipher(&key)?.decrypt(&Nonce::default(), body.as_slice()) {
                return Ok(Some(Zeroizing::new(file_key)));
            }
        }
        Ok(None)
    }
}

/// One line, which must end, and what comes behind it.
fn line(bytes: &[u8]) -> Result<(&str, &[u8]), AgeError> {
    let end = bytes.iter().position(|b| *b == b'\n').ok_or(AgeError::Header)?;
    let (line, rest) = bytes.split_at(end);
    let line = std::str::from_utf8(line).map_err(|_| AgeError::Header)?;
    Ok((line, rest.get(1..).unwrap_or_default()))
}

fn unpadded(text: &str) -> Result<Vec<u8>, AgeError> {
    UNPADDED.decode(text).map_err(|_| AgeError::Header)
}

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, &mut *key)
        .map_err(|_| AgeError::Header)?;
    Ok(key)
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> Result<ChaCha20Poly1305, AgeError> {
    ChaCha20Poly1305::new_from_slice(key.as_slice()).map_err(|_| AgeError::Header)
}

/// The payload: chunks with a counter in the nonce, and a mark on the last one.
fn stream(key: &Zeroizing<[u8; 32]>, sealed: &[u8]) -> Result<Secret, AgeError> {
    let cipher = cipher(key)?;
    let count = sealed.len().div_ceil(CHUNK + TAG);
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    for (number, chunk) in sealed.chunks(CHUNK + TAG).enumerate() {
        let mut nonce = [0u8; 12];
        let (counter, mark) = nonce.split_at_mut(11);
        if let Some(place) = counter.last_chunk_mut::<8>() {
            *place = (number as u64).to_be_bytes();
        }
        let last = number + 1 == count;
        mark.fill(u8::from(last));
        let part = cipher
            .decrypt(&Nonce::from(nonce), chunk)
            .map_err(|_| AgeError::Payload)?;
        let part = Zeroizing::new(part);
        // An empty chunk ends an empty file only.
        if part.is_empty() && count > 1 {
            return Err(AgeError::Payload);
        }
        plain.extend_from_slice(&part);
    }
    if count == 0 {
        return Err(AgeError::Payload);
    }
    Ok(Secret::new(std::mem::take(&mut *plain)))
}

/// Takes the armor off: strict PEM with lines of 64 columns.
fn dearmor(text: &str) -> Result<Vec<u8>, AgeError> {
    let text = text.replace("\r\n", "\n");
    let body = text
        .trim_matches([' ', '\t', '\n', '\r'])
        .strip_prefix("-----BEGIN AGE ENCRYPTED FILE-----\n")
        .and_then(|t| t.strip_suffix("\n-----END AGE ENCRYPTED FILE-----"))
        .ok_or(AgeError::Armor)?;
    let lines: Vec<&str> = body.split('\n').collect();
    let (last, full) = lines.split_last().ok_or(AgeError::Armor)?;
    if full.iter().any(|l| l.len() != COLUMNS) || last.is_empty() || last.len() > COLUMNS {
        return Err(AgeError::Armor);
    }
    STANDARD.decode(lines.concat()).map_err(|_| AgeError::Armor)
}
