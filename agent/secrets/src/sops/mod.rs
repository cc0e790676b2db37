//! SOPS files of the Git repository, opened with an age identity that lies in the vault.
//!
//! YAML, JSON, dotenv and files encrypted as one piece. Everything is decrypted and the seal over all values is verified
//! before one of them is given.

pub mod age;
mod file;
mod tree;
mod value;

use async_trait::async_trait;
use sha2::{Digest, Sha512};
use skykeep_core::{
    Secret,
    castle::{SecretRef, Sops},
};
use zeroize::Zeroizing;

use crate::{
    error::SecretsError,
    store::{Fetched, Look, Store, entry},
};
use age::{AgeError, Identity};
use tree::Node;

/// SHA-256 of `sops`: what a seal over encrypted values only begins with, so that it differs from one over all.
const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b, 0x97, 0x5b,
    0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// Why a SOPS file gives no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SopsError {
    /// It was not written by SOPS.
    NotSops(String),
    /// It uses something that is not read here.
    Unsupported(String),
    /// Our identity is not among its recipients.
    NoKey(String),
    /// It was changed since SOPS wrote it.
    Damaged(String),
}

/// The SOPS files of the repository as a store of secrets.
pub(crate) struct InSops<'a, 'f> {
    pub(crate) config: Option<&'a Sops>,
    pub(crate) vault: Look<'a>,
    pub(crate) file: &'a (dyn Fn(&str) -> Option<&'f [u8]> + Sync),
}

#[async_trait]
impl Store for InSops<'_, '_> {
    fn keeps(&self, reference: &SecretRef) -> bool {
        matches!(reference, SecretRef::Sops { .. })
    }

    async fn fetch(&self, wanted: &[&SecretRef]) -> Result<Fetched, SecretsError> {
        let config = self.config.ok_or(SecretsError::NoIdentity)?;
        let mut fetched = Fetched::default();
        let Some(identity) = entry(self.vault, &config.age_identity) else {
            fetched.take(&config.age_identity, None);
            return Ok(fetched);
        };
        let identities = Identity::parse_file(identity.expose_str().unwrap_or_default()).map_err(|line| {
            SecretsError::BadIdentity {
                entry: config.age_identity.to_string(),
                line,
            }
        })?;
        let mut open: Option<(&str, Opened)> = None;
        for reference in wanted {
            let SecretRef::Sops { file, key } = reference else {
                continue;
            };
            let Some(bytes) = (self.file)(file) else {
                fetched
                    .missing
                    .push(format!("{reference}: the repository has no such file"));
                continue;
            };
            // References are sorted: those into one file follow each other.
            let opened = match open.take() {
                Some((name, opened)) if name == file => opened,
                _ => read(file, bytes, &identities).map_err(|why| SecretsError::Sops {
                    file: file.clone(),
                    why,
                })?,
            };
            match opened.secret(key.as_deref()) {
                Ok(secret) => drop(fetched.found.insert((*reference).clone(), secret)),
                Err(why) => fetched.missing.push(format!("{reference}: {why}")),
            }
            open = Some((file, opened));
        }
        Ok(fetched)
    }
}

/// A SOPS file whose seal is proven.
pub struct Opened {
    content: Plain,
    whole: bool,
}

/// What was in a file.
enum Plain {
    /// Not encrypted, or nothing.
    Open,
    Value(value::Value),
    List(Vec<Plain>),
    Map(Vec<(String, Plain)>),
}

impl Opened {
    /// The value to which these names lead (`/` between them, `~1` and `~0` for `/` and `~`); without names all of a file
    /// that was encrypted as one piece. The error says why there is none.
    pub fn secret(&self, key: Option<&str>) -> Result<Secret, &'static str> {
        let names: Vec<String> = match key {
            None if self.whole => vec!["data".into()],
            None => return Err("it has many values; add `#` and the keys that lead to one"),
            Some(key) => key
                .split('/')
                .map(|name| name.replace("~1", "/").replace("~0", "~"))
                .collect(),
        };
        let mut at = &self.content;
        for name in &names {
            let next = match at {
                Plain::Map(items) => items.iter().find(|(key, _)| key == name).map(|(_, value)| value),
                Plain::List(items) => name.parse::<usize>().ok().and_then(|n| items.get(n)),
                _ => None,
            };
            at = next.ok_or("the file has no such key")?;
        }
        match at {
            Plain::Value(value) if value.truth => Ok(Secret::new(value.bytes.to_ascii_lowercase())),
            Plain::Value(value) => Ok(Secret::new(value.bytes.to_vec())),
            Plain::Open => Err("it is not encrypted in that file"),
            Plain::List(_) | Plain::Map(_) => Err("it has values below it; name one of them"),
        }
    }
}

/// Opens a file and proves its seal. `name` tells the format.
pub fn read(name: &str, bytes: &[u8], identities: &[Identity]) -> Result<Opened, SopsError> {
    let parts = file::take_apart(name, bytes)?;
    let key = data_key(&parts.meta, identities)?;
    let mut walk = Walk {
        key: &key,
        only_encrypted: parts.meta.only_encrypted,
        hash: Sha512::new(),
    };
    if walk.only_encrypted {
        walk.hash.update(ONLY_ENCRYPTED);
    }
    let content = walk.node(parts.content, &mut String::new())?;
    let seal = value::open(&parts.meta.mac, &key, &parts.meta.last_modified)
        .ok_or_else(|| SopsError::Damaged("its seal over all values is damaged".into()))?;
    let found = Zeroizing::new(hex::encode_upper(walk.hash.finalize()));
    if found.as_bytes() != seal.bytes.as_slice() {
        return Err(SopsError::Damaged("its seal does not fit its values".into()));
    }
    Ok(Opened {
        content,
        whole: parts.whole,
    })
}

fn data_key(meta: &file::Meta, identities: &[Identity]) -> Result<Secret, SopsError> {
    for (_, wrapped) in &meta.age {
        match age::open_armored(wrapped, identities) {
            Ok(key) if key.len() == 32 => return Ok(key),
            Err(AgeError::NoMatch) => {}
            Ok(_) | Err(_) => return Err(SopsError::Damaged("the key it is encrypted with is damaged".into())),
        }
    }
    let recipients: Vec<&str> = meta.age.iter().map(|(recipient, _)| recipient.as_str()).collect();
    Err(SopsError::NoKey(format!(
        "its recipients are {}",
        recipients.join(", ")
    )))
}

struct Walk<'a> {
    key: &'a Secret,
    only_encrypted: bool,
    hash: Sha512,
}

impl Walk<'_> {
    /// Decrypts everything below a node, in order. `place` is the names that lead here, each followed by a colon.
    fn node(&mut self, node: Node, place: &mut String) -> Result<Plain, SopsError> {
        Ok(match node {
            Node::Null => Plain::Open,
            Node::Leaf(text) if value::is_encrypted(&text) => {
                let value = value::open(&text, self.key, place).ok_or_else(|| {
                    SopsError::Damaged(format!(
                        "the value at `{}` was changed or moved",
                        place.trim_end_matches(':')
                    ))
                })?;
                self.hash.update(&*value.bytes);
                Plain::Value(value)
            }
            Node::Leaf(text) => {
                if !self.only_encrypted {
                    self.hash.update(text);
                }
                Plain::Open
            }
            // The number of an item is not part of its place.
            Node::List(items) => {
                let items = items.into_iter().map(|item| self.node(item, place));
                Plain::List(items.collect::<Result<_, _>>()?)
            }
            Node::Map(items) => {
                let mut plain = Vec::with_capacity(items.len());
                for (name, item) in items {
                    let length = place.len();
                    place.push_str(&name);
                    place.push(':');
                    plain.push((name, self.node(item, place)?));
                    place.truncate(length);
                }
                Plain::Map(plain)
            }
        })
    }
}

#[cfg(test)]
mod tests;
