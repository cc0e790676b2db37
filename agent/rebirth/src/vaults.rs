//! The vault's copies elsewhere: a newer one is used, and the one at hand is put where later runs find it.

use std::{sync::Arc, time::Duration};

use skykeep_aws::{Condition, Credentials, Put, S3};
use skykeep_core::{Explain, Explained, Secret, Trouble, castle::VaultObject, http::download, owner::OwnersPart};
use skykeep_vault::{
    MAX_FILE, Vault, VaultError,
    newer::{Found, choose},
};

use crate::error::RebirthError;

/// Looking for a newer vault may take this long; then the one at hand is used.
const PATIENCE: Duration = Duration::from_secs(20);

/// The vault that counts, and what is to be said about where it was looked for.
pub struct Newest {
    /// The vault: a newer copy when one was found that proves itself, else the one at hand.
    pub vault: Vault,
    /// The copy's bytes, when it is not the one at hand.
    pub newer: Option<Vec<u8>>,
    /// One line for each place, for people.
    pub said: Vec<String>,
}

/// How [`push`] ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The bucket had the same version already.
    AlreadyThere,
    /// Written, in place of this version if there was one.
    Written {
        /// The version that was there.
        instead_of: Option<u64>,
    },
}

/// Looks at every place that the castle file names. Nothing that goes wrong there is an error: the vault at hand is
/// open, and each line says which one is used and why.
pub async fn newest(owner: &OwnersPart, vault: Vault) -> Newest {
    let places = &owner.castle.vault;
    let from_url = async {
        let url = places.url.as_ref()?;
        // Without its query: that may be a signature.
        let place = format!("https://{}{}", url.host_str().unwrap_or_default(), url.path());
        let file = async {
            let http = owner.trust.http(PATIENCE)?;
            let file = download(&http, url.clone(), MAX_FILE).await;
            file.map_err(|why| problem(why).into())
        };
        Some((place, within(file).await))
    };
    let from_bucket = async {
        let object = places.s3.as_ref()?;
        let bytes = async {
            let s3 = bucket(owner, object, &vault)?;
            let Some(head) = s3.head(&object.key).await? else {
                return Ok(None);
            };
            if head.size > MAX_FILE as u64 {
                return Err(problem(format!("it is longer than the {MAX_FILE} bytes that are read")).into());
            }
            Ok(s3.get(&object.key).await?.map(|o| o.bytes.to_vec()))
        };
        Some((name(object), within(bytes).await))
    };
    let (url, object) = tokio::join!(from_url, from_bucket);
    let mut newest = Newest {
        vault,
        newer: None,
        said: Vec::new(),
    };
    for (place, found) in [url, object].into_iter().flatten() {
        newest = newest.look(&place, found);
    }
    newest
}

impl Newest {
    fn look(self, place: &str, found: Result<Option<Vec<u8>>, Trouble>) -> Self {
        let Newest {
            vault,
            mut newer,
            mut said,
        } = self;
        let at_hand = vault.counter();
        let bytes = match found {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                said.push(format!(
                    "No vault lies at {place}: version {at_hand}, at hand, is used."
                ));
                return Newest { vault, newer, said };
            }
            Err(trouble) => {
                let Explained { what, why, .. } = trouble.explained();
                said.push(format!(
                    "No newer vault could be looked for at {place} ({what}: {why}): version {at_hand}, at hand, is used."
                ));
                return Newest { vault, newer, said };
            }
        };
        let (vault, found) = choose(vault, &bytes);
        said.push(match found {
            Found::Newer { had } => {
                newer = Some(bytes);
                format!(
                    "The newer vault from {place} is used: version {}; the one at hand was version {had}.",
                    vault.counter()
                )
            }
            Found::Same => format!("The vault at {place} is the same, version {at_hand}."),
            Found::Older { theirs } => format!(
                "The vault at {place} is OLDER (version {theirs}) than the one at hand (version {at_hand}), which is \
                 used. `skykeep vault push` mends that; if it was pushed, somebody put the old one back."
            ),
            Found::Refused(error) => format!(
                "The vault at {place} is NOT used: {}. Version {at_hand}, at hand, is; ask who can write there.",
                error.why()
            ),
        });
        Newest { vault, newer, said }
    }
}

/// Puts the owner's vault into the bucket that the castle file names. Never over a newer one, and not over one that this
/// vault does not prove, unless `replace` says so (after `vault compromised` it can't).
pub async fn push(owner: &OwnersPart, vault: &Vault, replace: bool) -> Result<Pushed, Trouble> {
    let object = owner.castle.vault.s3.as_ref().ok_or(RebirthError::NoVaultPlace)?;
    let s3 = bucket(owner, object, vault)?;
    let there = s3.get(&object.key).await?;
    let refused = |why: String| RebirthError::VaultNotPushed {
        place: name(object),
        why,
    };
    let theirs = match &there {
        None => None,
        Some(there) => match vault.open_copy(&there.bytes) {
            Ok(copy) if copy.counter() > vault.counter() => {
                let why = format!(
                    "version {} lies there, the one at hand is version {}",
                    copy.counter(),
                    vault.counter()
                );
                return Err(refused(why).into());
            }
            Ok(copy) if copy.counter() == vault.counter() => {
                return match vault.verify_copy(&there.bytes) {
                    Ok(()) => Ok(Pushed::AlreadyThere),
                    Err(_) => {
                        Err(refused("another vault with the same version lies there: both were changed".into()).into())
                    }
                };
            }
            Ok(copy) => Some(copy.counter()),
            Err(_) if replace => None,
            Err(error) => return Err(refused(VaultError::why(&error)).into()),
        },
    };
    let condition = there
        .as_ref()
        .map_or(Condition::Absent, |there| Condition::Is(&there.etag));
    match s3.put(&object.key, owner.vault.clone(), condition).await? {
        Put::Done { .. } => Ok(Pushed::Written { instead_of: theirs }),
        _ => Err(refused("another one was put there at the same moment".into()).into()),
    }
}

fn name(object: &VaultObject) -> String {
    format!("s3://{}/{}", object.bucket, object.key)
}

async fn within<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(problem(format!("it did not answer within {} s", PATIENCE.as_secs())).into()))
}

fn problem(why: String) -> Explained {
    Explained {
        what: "nothing usable came".into(),
        why,
        remedy: "Look at `vault` in castle.yaml and at the network.".into(),
    }
}

/// Every credential comes from the vault at hand: no other store is open yet.
fn bucket(owner: &OwnersPart, object: &VaultObject, vault: &Vault) -> Result<S3, Trouble> {
    let entry = |reference: &skykeep_core::castle::SecretRef| {
        let skykeep_core::castle::SecretRef::Vault(path) = reference else {
            return None;
        };
        vault.get(path).map(Secret::duplicate)
    };
    let key = |reference| entry(reference).ok_or_else(|| problem(format!("{reference} is not in the vault")));
    let id = key(&object.access_key_id)?;
    let id = id.expose_str().unwrap_or_default().trim().to_owned();
    let credentials = Arc::new(Credentials::new(id, key(&object.secret_access_key)?));
    let http = owner.trust.http(PATIENCE)?;
    Ok(S3::new(
        http,
        credentials,
        &object.region,
        object.endpoint.clone(),
        &object.bucket,
    )?)
}
