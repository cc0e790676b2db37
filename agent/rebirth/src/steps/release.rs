//! The steps of `skykeep release`, in a castle that stands.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use skykeep_core::{Deadline, Explained, Progress, Trouble};
use skykeep_gitops::{Injection, Layout, Repository, Severity};

use super::step;
use crate::{
    engine::Step,
    estate::Estate,
    operated,
    release::{Given, Piece, Shown, Wish},
};

/// How long the layers may take to be ready at another commit; then the pin is put back.
const LAYERS: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_secs(100);

pub(super) fn steps(wish: &Wish) -> Vec<Step<Estate>> {
    let needs = ["cluster.nodes"];
    let mut steps = vec![step(
        "release.look",
        "what stands between Git and the castle",
        &needs,
        (3, 200),
        look,
    )];
    if *wish != Wish::Look {
        let lift = wish.clone();
        let give = move |estate, progress| patches(estate, progress, lift.clone());
        let title = "patches are taken away, one by one";
        steps.push(step("release.patches", title, &["release.look"], (10, 900), give));
    }
    if *wish == Wish::Everything {
        let title = "Flux follows its branch";
        steps.push(step("release.pin", title, &["release.patches"], (20, 1500), pin));
        let title = "Git alone gives the same castle";
        steps.push(step("release.proof", title, &["release.pin"], (10, 600), proof));
    }
    steps
}

/// The repository at the branch's head, read anew.
async fn head(estate: &Estate) -> Result<Repository, Trouble> {
    let gitops = &estate.castle.gitops;
    let token = estate.secrets.get(&gitops.token)?;
    let fetched = skykeep_gitops::fetch(gitops, None, token, &estate.trust, Deadline::after(SHORT));
    Ok(fetched.await?.repository)
}

async fn look(estate: Arc<Estate>, _: Progress) -> Result<String, Trouble> {
    let (here, head) = (estate.repository.get()?, head(&estate).await?);
    let (layout, in_head) = (estate.layout()?, Layout::of(&head, &estate.castle.gitops.path)?);
    let root = &layout.root;
    let held = skykeep_gitops::held(estate.api.get()?, root, Deadline::after(SHORT)).await?;
    let mut pieces = Vec::new();
    for one in &held.injections {
        pieces.push(Piece {
            id: one.id(),
            why: one.why.clone(),
            diff: skykeep_gitops::diff(layout, one),
            in_head: one.is_in(&in_head),
            database: operated::is_database(one),
        });
    }
    let names = here.files.keys().chain(head.files.keys());
    let mut files: Vec<String> = names
        .filter(|f| here.files.get(*f) != head.files.get(*f))
        .cloned()
        .collect();
    files.sort();
    files.dedup();
    let shown = Shown {
        revision: estate.revision.get()?.clone(),
        pin: held
            .commit
            .as_deref()
            .map(|commit| skykeep_gitops::pin_diff(root, commit)),
        files,
        pieces,
    };
    let outcome = format!(
        "{} patches, {}",
        shown.pieces.len(),
        if shown.pin.is_some() { "pinned" } else { "no pin" }
    );
    estate.shown.give(shown);
    Ok(outcome)
}

/// Whether this patch is to be taken away now.
fn goes(wish: &Wish, piece: &Piece) -> bool {
    match wish {
        Wish::Look => false,
        Wish::These(names) => names.contains(&piece.id),
        Wish::Everything => piece.in_head,
    }
}

async fn patches(estate: Arc<Estate>, progress: Progress, wish: Wish) -> Result<String, Trouble> {
    let shown = estate.shown.get()?;
    let refused = |why: String, remedy: String| Explained {
        what: "Nothing was given back".into(),
        why,
        remedy,
    };
    if let Wish::These(names) = &wish
        && let Some(unknown) = names.iter().find(|n| shown.pieces.iter().all(|p| p.id != **n))
    {
        let there: Vec<&str> = shown.pieces.iter().map(|p| p.id.as_str()).collect();
        let why = format!(
            "nothing that is called `{unknown}` is patched; patched are: {}",
            there.join(", ")
        );
        return Err(refused(why, "Give one of these names.".into()).into());
    }
    let stays = shown
        .pieces
        .iter()
        .find(|piece| wish == Wish::Everything && !goes(&wish, piece));
    if let Some(stays) = stays {
        let why = format!(
            "{} is held back ({}), and the branch's head would let it run",
            stays.id, stays.why
        );
        let remedy = format!(
            "Choose: commit what `skykeep release` shows (or delete the object), or lift it by its name: `skykeep release {} --yes`.",
            stays.id
        );
        return Err(refused(why, remedy).into());
    }
    let mut going = shown.pieces.iter().filter(|piece| goes(&wish, piece));
    if let Some(early) = going.find(|piece| piece.database && !piece.in_head) {
        let why = format!(
            "{} is a database ({}), and the branch's head says otherwise: it would archive to where another one did",
            early.id, early.why
        );
        return Err(refused(why, "Commit what `skykeep release` shows first.".into()).into());
    }
    let mut lifted = Vec::new();
    for piece in shown.pieces.iter().filter(|piece| goes(&wish, piece)) {
        lift(&estate, &progress, &piece.id).await?;
        progress.note(format!("{} is as Git has it", piece.id));
        lifted.push(piece.id.clone());
    }
    let outcome = format!("{} lifted", lifted.len());
    estate.lifted.give(lifted);
    Ok(outcome)
}

/// Takes one patch away, and waits until every layer stands without it.
async fn lift(estate: &Estate, progress: &Progress, id: &str) -> Result<(), Trouble> {
    estate.lease.get()?.renew(None).await?;
    // First the intent: a later run must not hold it again.
    let keep = |entries: &mut crate::journal::Entries| {
        if !entries.lifted.iter().any(|l| l == id) {
            entries.lifted.push(id.to_owned());
        }
    };
    estate.journal.get()?.update(keep).await?;
    let (client, layout) = (estate.api.get()?, estate.layout()?);
    let root = &layout.root;
    let held = skykeep_gitops::held(client, root, Deadline::after(SHORT))
        .await?
        .injections;
    let left: Vec<Injection> = held.into_iter().filter(|one| one.id() != id).collect();
    let patches = layout.nest(&left)?;
    skykeep_gitops::apply_patches(client, root, &patches, Deadline::after(SHORT)).await?;
    skykeep_gitops::remind_layers(client).await?;
    let (commit, limit) = (&estate.repository.get()?.commit, Deadline::after(LAYERS));
    skykeep_gitops::watch_layers(client, commit, &BTreeSet::new(), limit, progress).await?;
    Ok(())
}

async fn pin(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    estate.lease.get()?.renew(None).await?;
    let (client, root) = (estate.api.get()?, &estate.layout()?.root);
    let before = skykeep_gitops::held(client, root, Deadline::after(SHORT)).await?.commit;
    let head = head(&estate).await?;
    if before.is_some() {
        let findings = skykeep_gitops::lint(&head, &estate.castle);
        if let Some(f) = findings.iter().find(|f| f.severity == Severity::Error) {
            return Err(Explained {
                what: "The pin stays: the branch's head would not come up".into(),
                why: format!("{}: {}", f.place(), f.what),
                remedy: f.remedy.clone(),
            }
            .into());
        }
    }
    // First the intent: a later run must not pin it again.
    let journal = estate.journal.get()?;
    journal.update(|entries| entries.given_back = true).await?;
    skykeep_gitops::set_pin(client, root, None, Deadline::after(SHORT)).await?;
    skykeep_gitops::remind_source(client, root).await?;
    let watched = skykeep_gitops::watch_layers(
        client,
        &head.commit,
        &BTreeSet::new(),
        Deadline::after(LAYERS),
        &progress,
    )
    .await;
    let Err(trouble) = watched else {
        estate.follows.give(head.commit);
        return Ok("every layer is ready at the branch's head".into());
    };
    let Some(before) = before else {
        return Err(trouble);
    };
    skykeep_gitops::set_pin(client, root, Some(&before), Deadline::after(SHORT)).await?;
    journal.update(|entries| entries.given_back = false).await?;
    skykeep_gitops::remind_source(client, root).await?;
    let said = trouble.explained();
    Err(Explained {
        what: format!("The castle is pinned to {before} again: the branch's head did not come up"),
        why: format!("{}: {}", said.what, said.why),
        remedy: "Mend the branch and push, then give the castle back once more.".into(),
    }
    .into())
}

async fn proof(estate: Arc<Estate>, progress: Progress) -> Result<String, Trouble> {
    let (client, root) = (estate.api.get()?, &estate.layout()?.root);
    let kept = skykeep_gitops::let_go(client, root, Deadline::after(SHORT)).await?;
    let alone = skykeep_gitops::prove(client, Deadline::after(LAYERS / 2)).await?;
    for changed in &alone.changed {
        progress.note(format!("{changed} changed when Flux applied it once more"));
    }
    let outcome = format!("{} objects, {} changed", alone.objects, alone.changed.len());
    estate.given.give(Given {
        lifted: estate.lifted.get().cloned().unwrap_or_default(),
        follows: estate.follows.get().ok().cloned(),
        objects: alone.objects,
        changed: alone.changed,
        kept,
    });
    Ok(outcome)
}
