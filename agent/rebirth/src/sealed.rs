//! What we leave in the state bucket for the next run is sealed: AES-256-GCM under a key of the castle's root, padded so that
//! its size says little.

use aes_gcm::{
    Aes256Gcm, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use skykeep_core::{Explained, Secret};

/// Sealed objects are padded to a multiple of this, bytes.
const BLOCK: usize = 4096;

/// Seals `plain` for the object `name`; the name is authenticated, so that objects can't be swapped.
pub fn seal(key: &Secret, name: &str, plain: &[u8]) -> Result<Vec<u8>, Explained> {
    let mut nonce = [0u8; 12];
    getrandom::fill(&mut nonce).map_err(|e| problem(name, &e.to_string()))?;
    let length = u32::try_from(plain.len()).map_err(|_| problem(name, "it is too large"))?;
    let mut padded = [&length.to_be_bytes(), plain].concat();
    padded.resize(padded.len().next_multiple_of(BLOCK), 0);
    let payload = Payload {
        msg: &padded,
        aad: name.as_bytes(),
    };
    let sealed = cipher(key, name)?
        .encrypt(&Nonce::from(nonce), payload)
        .map_err(|_| problem(name, "it is too large"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// Opens what [`seal`] made for the object `name`.
pub fn open(key: &Secret, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Explained> {
    let (nonce, body) = sealed
        .split_first_chunk::<12>()
        .ok_or_else(|| problem(name, "it is cut short"))?;
    let payload = Payload {
        msg: body,
        aad: name.as_bytes(),
    };
    let mut plain = cipher(key, name)?
        .decrypt(&Nonce::from(*nonce), payload)
        .map_err(|_| problem(name, "it was sealed with another key, or changed"))?;
    let length = plain
        .split_first_chunk::<4>()
        .map(|(length, rest)| (u32::from_be_bytes(*length) as usize, rest.len()))
        .filter(|(length, there)| length <= there)
        .ok_or_else(|| problem(name, "its padding is wrong"))?;
    plain.drain(..4);
    plain.truncate(length.0);
    Ok(plain)
}

fn cipher(key: &Secret, name: &str) -> Result<Aes256Gcm, Explained> {
    let key: &[u8; 32] = key
        .expose()
        .try_into()
        .map_err(|_| problem(name, "the key has a wrong length"))?;
    Ok(Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)))
}

/// What is said when an object can't be used.
pub fn problem(name: &str, why: &str) -> Explained {
    Explained {
        what: format!("`{name}` of the state bucket can't be sealed or opened"),
        why: why.into(),
        remedy: "It holds records, no secrets: the castle can be rebuilt without it. Restore an older version.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_for_one_name_does_not_open_under_another() {
        let key = Secret::new(vec![7; 32]);
        let sealed = seal(&key, "a", b"hello").unwrap();
        assert_eq!(open(&key, "a", &sealed).unwrap(), b"hello");
        assert!(open(&key, "b", &sealed).is_err());
        assert!(open(&key, "a", &sealed[..11]).is_err());
    }

    #[test]
    fn short_and_long_look_alike_up_to_the_block() {
        let key = Secret::new(vec![7; 32]);
        let size = |n: usize| seal(&key, "a", &vec![1; n]).unwrap().len();
        assert_eq!(size(0), size(4092));
        assert_ne!(size(4092), size(4093));
        assert_eq!(
            open(&key, "a", &seal(&key, "a", &[1; 5000]).unwrap()).unwrap(),
            [1; 5000]
        );
    }
}
