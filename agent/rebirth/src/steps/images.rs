//! Preflight: every image of the lock and of the rendered repository can be had, from its registry or from the mirror.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use skykeep_core::{
    Explained, Progress, Trouble,
    lock::Image,
    registry::{Reference, RegistryError},
};

use super::step;
use crate::{
    engine::Step,
    estate::Estate,
    mirror::{self, Registries},
};

/// Questions at a time.
const PARALLEL: usize = 8;
/// A registry that does not answer by then does not answer.
const ANSWER: Duration = Duration::from_secs(15);
/// A refusal that may pass is asked again, this often.
const TRIES: u32 = 3;

pub(super) fn check() -> Step<Estate> {
    step(
        "check.images",
        "every image can be had",
        &["check.git"],
        (2, 180),
        images,
    )
}

async fn images(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let missing = match &estate.castle.mirror {
        Some(mirror) => Some(mirror::missing(&estate, mirror).await?),
        None => None,
    };
    if let Some(missing) = missing.as_ref().filter(|m| !m.is_empty()) {
        progress.note(format!(
            "{} things that castle.lock pins are not in the mirror: fill it with `skykeep lock --mirror`",
            missing.len()
        ));
    }
    let copied = |image: &Image| {
        let held = |missing: &BTreeSet<String>| image.blobs.iter().all(|b| !missing.contains(b.sha256()));
        !image.blobs.is_empty() && missing.as_ref().is_some_and(held)
    };
    let http = estate.trust.http(ANSWER)?;
    let registries = Registries::of(&estate, &http)?;
    let pinned = estate.lock.images.iter();
    let mut names: BTreeSet<String> = pinned.map(Image::pinned).collect();
    let own = names.clone();
    let full = |name: &String| Some(Reference::parse(name).ok()?.full());
    let tagged = skykeep_gitops::images(estate.repository.get()?, &estate.castle);
    names.extend(tagged.iter().filter_map(full));
    let with_copy = estate.lock.images.iter().filter(|image| copied(image));
    let copies: BTreeSet<String> = with_copy
        .flat_map(|i| [Some(i.pinned()), full(&i.name)])
        .flatten()
        .collect();
    let asked: Vec<(String, Result<String, RegistryError>)> = stream::iter(names)
        .map(|name| {
            // A good copy is worth more than a second question.
            let tries = if copies.contains(&name) { 1 } else { TRIES };
            asked_for(&registries, name, tries)
        })
        .buffered(PARALLEL)
        .collect()
        .await;
    let mut from_mirror = 0;
    for (name, answer) in &asked {
        let Err(error) = answer else { continue };
        if copies.contains(name) {
            from_mirror += 1;
            continue;
        }
        if own.contains(name) {
            return Err(refused(name, error, estate.castle.mirror.is_some()).into());
        }
        progress.note(format!("{name}, which the repository names, can't be had now: {error}"));
    }
    if from_mirror > 0 {
        progress.note(format!(
            "{from_mirror} images come from the mirror: their registries refuse"
        ));
    }
    Ok(format!(
        "{} images asked for, {from_mirror} from the mirror",
        asked.len()
    ))
}

async fn asked_for(registries: &Registries<'_>, name: String, tries: u32) -> (String, Result<String, RegistryError>) {
    let answer = patiently(registries, &name, tries).await;
    (name, answer)
}

async fn patiently(registries: &Registries<'_>, name: &str, most: u32) -> Result<String, RegistryError> {
    let mut tries = 1;
    loop {
        match registries.digest(name).await {
            Err(error) if error.is_transient() && tries < most => tries += 1,
            answer => return answer,
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

fn refused(name: &str, error: &RegistryError, mirror: bool) -> Explained {
    let remedy = match mirror {
        true => {
            "Wait, or give a login or a mirror of that registry under `registries` in castle.yaml. The mirror's copy is not whole: `skykeep lock --mirror` fills it when the registry answers."
        }
        false => {
            "Wait, or give a login or a mirror of that registry under `registries` in castle.yaml. With `mirror` and `skykeep lock --mirror` a copy is kept for such days."
        }
    };
    Explained {
        what: format!("The image {name} can't be had"),
        why: error.to_string(),
        remedy: remedy.into(),
    }
}
