//! The mirror: a bucket with a copy of everything that castle.lock pins. Filled on a good day; on a bad one nodes take from it what
//! its own place refuses. It needs no trust: everything in it is proven by its hash.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use skykeep_aws::{Condition, Put, S3};
use skykeep_cluster::plan::{RegistryAt, Sources};
use skykeep_core::{
    Explained, Progress, Trouble,
    castle::{Mirror, Registry as Named},
    explain::chain,
    lock::{Artifact, Image, Lock},
    registry::{Login, Reference, Registry, RegistryError},
};

use crate::{
    estate::{Estate, credentials},
    revision,
};

/// Transfers at a time. Each is held in memory until the store has it.
const PARALLEL: usize = 3;
/// A download or an upload may take this long.
const TRANSFER: Duration = Duration::from_secs(900);

/// What filling the mirror came to.
#[derive(Debug, Default)]
pub struct Filled {
    /// Copies that it holds now.
    pub copies: usize,
    /// Those of them that were written now.
    pub written: usize,
    /// Bytes written.
    pub bytes: u64,
}

fn store(estate: &Estate, mirror: &Mirror, http: reqwest::Client) -> Result<S3, Trouble> {
    let keys = credentials(&estate.secrets, &mirror.access_key_id, &mirror.secret_access_key)?;
    let endpoint = mirror.endpoint.clone();
    Ok(S3::new(http, keys, &mirror.region, endpoint, &mirror.bucket)?)
}

fn login(estate: &Estate, registry: &Named) -> Result<Option<Login>, Trouble> {
    let (Some(username), Some(password)) = (&registry.username, &registry.password) else {
        return Ok(None);
    };
    Ok(Some(Login {
        username: estate.secrets.get(username)?.duplicate(),
        password: estate.secrets.get(password)?.duplicate(),
    }))
}

/// What the nodes are told, with addresses signed for that moment.
pub(crate) fn sources(estate: &Estate, at: SystemTime, life: Duration) -> Result<Sources<'_>, Trouble> {
    let mut sources = Sources::default();
    for registry in &estate.castle.registries {
        sources.registries.push(RegistryAt {
            host: &registry.host,
            mirror: registry.mirror.as_ref(),
            login: login(estate, registry)?,
        });
    }
    if let Some(mirror) = &estate.castle.mirror {
        let s3 = store(estate, mirror, estate.http.clone())?;
        for (sha256, _) in pinned(&estate.lock) {
            let url = s3.presign_get(&mirror.key(&sha256), at, life)?;
            sources.copies.insert(sha256, url);
        }
    }
    Ok(sources)
}

/// Hash and size of everything that the lock pins and a mirror can keep.
fn pinned(lock: &Lock) -> BTreeMap<String, u64> {
    let artifacts = lock.artifacts.iter().map(|a| (a.sha256.clone(), a.size));
    let blobs = lock.images.iter().flat_map(|image| &image.blobs);
    artifacts
        .chain(blobs.map(|b| (b.sha256().to_owned(), b.size)))
        .collect()
}

/// Where an image is asked for, the mirror of its registry first, as the nodes do.
pub(crate) struct Registries<'a> {
    http: &'a reqwest::Client,
    known: Vec<(&'a Named, Option<Login>)>,
}

impl<'a> Registries<'a> {
    pub(crate) fn of(estate: &'a Estate, http: &'a reqwest::Client) -> Result<Self, Trouble> {
        let known = estate.castle.registries.iter();
        let known = known
            .map(|r| Ok((r, login(estate, r)?)))
            .collect::<Result<_, Trouble>>()?;
        Ok(Registries { http, known })
    }

    fn places<'b>(&'b self, host: &str) -> Vec<Registry<'b>> {
        let found = self.known.iter().find(|(named, _)| named.host == host);
        match found {
            Some((Named { mirror: Some(url), .. }, login)) => vec![
                Registry::mirror(self.http, url, login.as_ref()),
                Registry::of(self.http, host, None),
            ],
            Some((_, login)) => vec![Registry::of(self.http, host, login.as_ref())],
            None => vec![Registry::of(self.http, host, None)],
        }
    }

    /// The digest that a name has, by the first place that says it.
    pub(crate) async fn digest(&self, name: &str) -> Result<String, RegistryError> {
        let reference = Reference::parse(name)?;
        let mut last = RegistryError::Name(name.to_owned());
        for place in self.places(&reference.host) {
            match place.digest(&reference).await {
                Ok(digest) => return Ok(digest),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// What of the lock the mirror does not hold, by hash. One listing, whatever the number.
pub(crate) async fn missing(estate: &Estate, mirror: &Mirror) -> Result<BTreeSet<String>, Trouble> {
    let s3 = store(estate, mirror, estate.http.clone())?;
    let held = held(&s3, mirror).await?;
    let wanted = pinned(&estate.lock).into_iter();
    let absent = wanted.filter(|(sha256, size)| held.get(&mirror.key(sha256)) != Some(size));
    Ok(absent.map(|(sha256, _)| sha256).collect())
}

async fn held(s3: &S3, mirror: &Mirror) -> Result<BTreeMap<String, u64>, Trouble> {
    let listed = s3.list(&mirror.key("")).await?;
    Ok(listed.into_iter().map(|entry| (entry.key, entry.size)).collect())
}

/// Copies everything that the lock pins and the repository names openly. Answers the lock with all of it pinned.
pub async fn fill(estate: &Estate, progress: &Progress) -> Result<(Lock, Filled), Trouble> {
    let Some(mirror) = &estate.castle.mirror else {
        return Err(Explained {
            what: "There is no mirror to fill".into(),
            why: "castle.yaml has no `mirror`".into(),
            remedy: "Add `mirror` with a bucket and its keys to castle.yaml; `skykeep schema` prints its fields."
                .into(),
        }
        .into());
    };
    let http = estate.trust.http(TRANSFER)?;
    let s3 = store(estate, mirror, http.clone())?;
    let held = held(&s3, mirror).await?;
    let filling = Filling {
        registries: Registries::of(estate, &http)?,
        http: &http,
        s3: &s3,
        mirror,
        held: &held,
        progress,
    };
    let mut lock = estate.lock.clone();
    let named = skykeep_gitops::images(revision::read(estate).await?, &estate.castle);
    let more = named.iter().chain(&mirror.images);
    let more: BTreeSet<String> = more
        .filter_map(|name| Some(Reference::parse(name).ok()?.full()))
        .collect();
    let known: BTreeSet<String> = lock.images.iter().map(|i| i.name.clone()).collect();
    lock.images.extend(more.difference(&known).map(|name| Image {
        name: name.clone(),
        digest: String::new(),
        blobs: Vec::new(),
    }));
    let artifacts: Vec<u64> = stream::iter(&lock.artifacts)
        .map(|a| filling.artifact(a))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let images: Vec<(Image, Vec<u64>)> = stream::iter(lock.images)
        .map(|i| filling.image(i))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let mut filled = Filled::default();
    for bytes in artifacts
        .into_iter()
        .chain(images.iter().flat_map(|(_, written)| written.clone()))
    {
        filled.copies += 1;
        filled.written += usize::from(bytes > 0);
        filled.bytes += bytes;
    }
    lock.images = images.into_iter().map(|(image, _)| image).collect();
    Ok((lock, filled))
}

struct Filling<'a> {
    registries: Registries<'a>,
    http: &'a reqwest::Client,
    s3: &'a S3,
    mirror: &'a Mirror,
    held: &'a BTreeMap<String, u64>,
    progress: &'a Progress,
}

impl Filling<'_> {
    fn has(&self, sha256: &str, size: u64) -> bool {
        self.held.get(&self.mirror.key(sha256)) == Some(&size)
    }

    /// Writes a copy; answers its bytes.
    async fn write(&self, sha256: &str, bytes: Bytes) -> Result<u64, Trouble> {
        let (key, size) = (self.mirror.key(sha256), bytes.len() as u64);
        match self.s3.put(&key, bytes, Condition::Always).await? {
            Put::Done { .. } => Ok(size),
            other => Err(cannot(&key, format!("the bucket answered {other:?}")).into()),
        }
    }

    async fn artifact(&self, artifact: &Artifact) -> Result<u64, Trouble> {
        if self.has(&artifact.sha256, artifact.size) {
            return Ok(0);
        }
        let got = async {
            self.http
                .get(&artifact.url)
                .send()
                .await?
                .error_for_status()?
                .bytes()
                .await
        };
        let bytes = got.await.map_err(|e| cannot(&artifact.url, chain(&e)))?;
        if hex::encode(Sha256::digest(&bytes)) != artifact.sha256 {
            return Err(cannot(&artifact.url, "it is not what castle.lock pinned".into()).into());
        }
        let written = self.write(&artifact.sha256, bytes).await?;
        self.progress.note(format!("{}: {written} bytes", artifact.name));
        Ok(written)
    }

    async fn image(&self, mut image: Image) -> Result<(Image, Vec<u64>), Trouble> {
        let reference = Reference::parse(&image.name).map_err(|e| cannot(&image.name, e.to_string()))?;
        if image.digest.is_empty() {
            let asked = self.registries.digest(&image.name).await;
            image.digest = asked.map_err(|e| cannot(&image.name, e.to_string()))?;
        }
        let whole = !image.blobs.is_empty() && image.blobs.iter().all(|b| self.has(b.sha256(), b.size));
        if whole {
            let none = vec![0; image.blobs.len()];
            return Ok((image, none));
        }
        let mut last = String::new();
        for place in self.registries.places(&reference.host) {
            let (blobs, small) = match place.parts(&reference, &image.digest).await {
                Ok(parts) => parts,
                Err(error) => {
                    last = error.to_string();
                    continue;
                }
            };
            let mut written = Vec::new();
            for blob in &blobs {
                if self.has(blob.sha256(), blob.size) {
                    written.push(0);
                    continue;
                }
                let at_hand = small.iter().find(|(digest, _)| *digest == blob.digest);
                let bytes = match at_hand {
                    Some((_, bytes)) => bytes.clone(),
                    None => place
                        .blob(&reference, blob)
                        .await
                        .map_err(|e| cannot(&image.name, e.to_string()))?,
                };
                written.push(self.write(blob.sha256(), bytes).await?);
            }
            self.progress.note(format!(
                "{}: {} parts, {} bytes",
                image.name,
                blobs.len(),
                written.iter().sum::<u64>()
            ));
            image.blobs = blobs;
            return Ok((image, written));
        }
        Err(cannot(&image.name, last).into())
    }
}

fn cannot(what: &str, why: String) -> Explained {
    Explained {
        what: format!("{what} can't be copied into the mirror"),
        why,
        remedy: "Nothing of the castle was changed; what was copied stays. Start again when that place answers.".into(),
    }
}
