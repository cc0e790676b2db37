//! Databases under an operator: what is said to it before Flux applies its resource, and what is waited for after.

mod inject;
#[cfg(test)]
mod real;

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use skykeep_aws::S3;
use skykeep_core::{
    Deadline, Explained, Progress, Trouble,
    castle::{DatabaseOperator, Treasure},
};
use skykeep_gitops::Injection;
use skykeep_restore::{ledger, operator};

use inject::Operated;
pub(crate) use inject::of;

use crate::{
    database::{look, repository, seen},
    estate::{Estate, credentials},
    lineage::{self, Begun, Lineage, Link, Next},
    restored::{self, Verdict},
    treasure::patience,
    writers,
};

/// By how much the operator's time ends before we stop waiting: there are questions to be asked after it.
const QUESTIONS: Duration = Duration::from_secs(100);

fn all(estate: &Estate) -> impl Iterator<Item = Operated<'_>> {
    estate.castle.treasures.iter().filter_map(of)
}

/// Whether it is back. One that was back and is gone is an error: its operator must make neither an empty one nor an old one.
async fn is_back(estate: &Estate, one: Operated<'_>) -> Result<bool, Trouble> {
    let (client, treasure) = (estate.api.get()?, one.treasure);
    let entry = restored::read(estate, &treasure.name).await?;
    let done = ledger::is_done(client, &treasure.namespace, &treasure.claim).await?;
    let uid = operator::uid(client, &one.database(("", ""), false)).await?;
    match restored::judge(entry.as_ref(), done, uid.as_deref()) {
        Verdict::Restore => Ok(false),
        Verdict::Back { .. } => Ok(true),
        Verdict::Gone => Err(gone(one).into()),
    }
}

/// Whether a change is of a database of an operator.
pub(crate) fn is_database(change: &Injection) -> bool {
    let mut all = DatabaseOperator::ALL.into_iter();
    all.any(|o| (change.group.as_str(), change.kind.as_str()) == (o.group(), o.kind()))
}

/// Why one that was lost is not simply restored.
pub(crate) fn gone(one: Operated<'_>) -> Explained {
    Explained {
        what: format!("`{}` is not restored by itself a second time", one.treasure.name),
        why: format!(
            "it came back before, and its {} {}/{} is gone or was made anew: what was written to it since is newer than the backup it came from",
            one.operator.kind(),
            one.treasure.namespace,
            one.treasure.claim
        ),
        remedy: "Restore it by its operator's own means from where it archived: the patches of Flux's root Kustomization name that place."
            .into(),
    }
}

/// Where this generation's database comes from and goes to, also when it is back already: a second run injects the same.
fn places(lineage: &Lineage, castle: &str, generation: &str) -> (String, String) {
    let own = lineage.links.iter().rposition(|link| link.generation == generation);
    if let Some((at, link)) = own.and_then(|at| Some((at, lineage.links.get(at)?))) {
        let before = at.checked_sub(1).and_then(|before| lineage.links.get(before));
        return (before.map_or(castle, |link| &link.path).to_owned(), link.path.clone());
    }
    match lineage.next(castle, generation, None, false) {
        Next::Restore { source, archive } => (source, archive),
        // Only for a generation that has a link.
        Next::Finish => (castle.to_owned(), castle.to_owned()),
    }
}

/// Whether every database of an operator can be told where its backup is. Asked before anything is created.
pub(crate) fn check(estate: &Estate) -> Result<(), Trouble> {
    let layout = estate.layout()?;
    let mut injections = Vec::new();
    for one in all(estate) {
        let source = one.postgres.prefix.as_str();
        let archive = format!("{source}/next");
        injections.extend(one.injections(layout, (source, &archive), false)?);
    }
    layout.nest(&injections)?;
    Ok(())
}

/// Every change that the castle needs at this moment.
async fn injections(estate: &Estate) -> Result<Vec<Injection>, Trouble> {
    let layout = estate.layout()?;
    let generation = estate.generation.get()?.to_string();
    let mut injections = Vec::new();
    for one in all(estate) {
        let lineage = lineage::read(estate, &one.treasure.name).await?;
        let (source, archive) = places(&lineage, &one.postgres.prefix, &generation);
        let back = is_back(estate, one).await?;
        injections.extend(one.injections(layout, (&source, &archive), back)?);
    }
    Ok(injections)
}

/// The patches of Flux's root for this moment, and what they do, in words. What somebody has given back to Git is not among them.
pub(crate) async fn patches(estate: &Estate) -> Result<(Vec<Value>, Vec<String>), Trouble> {
    let lifted = estate.journal.get()?.entries().await.lifted;
    let mut all = writers::holds(estate, &lifted)?;
    let databases = injections(estate).await?.into_iter();
    all.extend(databases.filter(|one| !lifted.contains(&one.id())));
    let patches = estate.layout()?.nest(&all)?;
    Ok((
        patches,
        all.iter().map(|one| format!("{}: {}", one.id(), one.why)).collect(),
    ))
}

/// Before Flux applies anything: what each operator will look for, and the lineage's note of it.
pub(crate) async fn prepare(estate: &Estate) -> Result<(), Trouble> {
    let (client, generation) = (estate.api.get()?, estate.generation.get()?.to_string());
    for one in all(estate) {
        if is_back(estate, one).await? {
            continue;
        }
        let name = &one.treasure.name;
        let mut lineage = lineage::read(estate, name).await?;
        let (source, archive) = places(&lineage, &one.postgres.prefix, &generation);
        let database = one.database((&source, &archive), false);
        operator::may_be_told(client, &database).await?;
        fits(estate, one, &source).await?;
        let begun = Some(Begun {
            generation: generation.clone(),
            path: archive.clone(),
        });
        if lineage::own(&lineage, estate.generation.get()?).is_none() && lineage.begun != begun {
            lineage.begun = begun;
            lineage::write(estate, name, &lineage).await?;
        }
        let from = repository(estate, one.postgres, &source)?;
        operator::tell_the_operator(client, &database, &from).await?;
    }
    Ok(())
}

/// The backup's version must be the manifest's: another one would not start.
async fn fits(estate: &Estate, one: Operated<'_>, source: &str) -> Result<(), Trouble> {
    let (manifest, _) = one.manifest(estate.layout()?)?;
    if let (DatabaseOperator::Crunchy, Some(version)) = (one.operator, operator::version(&manifest.value, one.operator))
    {
        look(
            estate,
            one.postgres,
            source,
            &format!("{}:{version}", one.operator.kind()),
        )
        .await?;
    }
    Ok(())
}

/// Looks at the backup that would be followed.
pub(crate) async fn inspect(estate: &Estate, one: Operated<'_>) -> Result<String, Trouble> {
    let postgres = one.postgres;
    let lineage = lineage::read(estate, &one.treasure.name).await?;
    let path = lineage.head(&postgres.prefix);
    if one.operator == DatabaseOperator::Crunchy {
        return seen(estate, postgres, path, "").await;
    }
    let keys = credentials(&estate.secrets, &postgres.access_key_id, &postgres.secret_access_key)?;
    let (http, endpoint) = (estate.http.clone(), postgres.endpoint.clone());
    let s3 = S3::new(http, keys, &postgres.region, endpoint, &postgres.bucket)?;
    let folder = operator::folder(postgres, path);
    let names = s3.list(&folder).await?;
    let newest = names
        .iter()
        .filter_map(|e| e.key.strip_prefix(&folder)?.strip_suffix("/backup.info"))
        .max();
    let newest = newest.ok_or_else(|| Explained {
        what: format!("`{}` has no backup that could come back", one.treasure.name),
        why: format!("no backup.info lies below {}/{folder}", postgres.bucket),
        remedy:
            "Mend `prefix` (the destinationPath without the bucket) and `stanza` (the server's name) in castle.yaml."
                .into(),
    })?;
    Ok(format!("{newest} of barman-cloud, below {folder}"))
}

/// Waits for the operator, asks its owner's questions, and notes that it is back.
pub(crate) async fn bring_back(
    estate: &Estate,
    one: Operated<'_>,
    again: bool,
    progress: &Progress,
) -> Result<String, Trouble> {
    let treasure = one.treasure;
    if again {
        return Err(gone(one).into());
    }
    let client = estate.api.get()?;
    let generation = estate.generation.get()?.to_string();
    let mut lineage = lineage::read(estate, &treasure.name).await?;
    let (source, archive) = places(&lineage, &one.postgres.prefix, &generation);
    let database = one.database((&source, &archive), false);
    let limit = Deadline::after(patience(treasure).saturating_sub(QUESTIONS));
    operator::wait(client, &database, limit, progress).await?;
    let limit = Deadline::after(limit.remaining() + QUESTIONS);
    let asked = operator::ask(client, &database, limit).await?;
    let (manifest, _) = one.manifest(estate.layout()?)?;
    let by_plugin = operator::object_store(&manifest.value).is_some();
    operator::backed_up(client, &database, by_plugin, limit).await?;
    if lineage::own(&lineage, estate.generation.get()?).is_none() {
        // Before anybody writes: what they write must be found by the next rebirth.
        lineage.begun = None;
        lineage.links.push(Link {
            generation,
            path: archive.clone(),
            uid: operator::uid(client, &database).await?.unwrap_or_default(),
            backup: String::new(),
            last_wal: String::new(),
            at: jiff::Timestamp::now().to_string(),
        });
        lineage::write(estate, &treasure.name, &lineage).await?;
    }
    skykeep_restore::postgres::order::let_go_again(client, &treasure.namespace, &treasure.claim).await?;
    refresh(estate).await?;
    Ok(format!(
        "restored by its operator from {source}, every log-in works, {asked} questions answered; archives to {archive}"
    ))
}

/// What is back is told no source any more, and its schedules run again.
async fn refresh(estate: &Estate) -> Result<(), Trouble> {
    // Two databases that are back at once must not each put back what the other took away.
    let _one = estate.injecting.lock().await;
    let client = estate.api.get()?;
    let root = &estate.layout()?.root;
    let (patches, _) = patches(estate).await?;
    skykeep_gitops::apply_patches(client, root, &patches, Deadline::after(Duration::from_secs(60))).await?;
    skykeep_gitops::remind_layers(client).await?;
    Ok(())
}

/// Namespaces in which an operator restores at this moment.
pub(crate) async fn restoring(estate: &Estate) -> Result<BTreeSet<String>, Trouble> {
    let client = estate.api.get()?;
    let mut restoring = BTreeSet::new();
    for Operated { treasure, .. } in all(estate) {
        if !ledger::is_done(client, &treasure.namespace, &treasure.claim).await? {
            restoring.insert(treasure.namespace.clone());
        }
    }
    Ok(restoring)
}

/// The uid of a treasure's place: of its claim, or of the resource that an operator runs.
pub(crate) async fn uid(estate: &Estate, treasure: &Treasure) -> Result<Option<String>, Trouble> {
    let client = estate.api.get()?;
    Ok(match of(treasure) {
        Some(one) => operator::uid(client, &one.database(("", ""), false)).await?,
        None => skykeep_restore::order::claim_uid(client, &treasure.namespace, &treasure.claim).await?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(links: &[(&str, &str)]) -> Lineage {
        let link = |(generation, path): &(&str, &str)| Link {
            generation: (*generation).into(),
            path: (*path).into(),
            uid: "u".into(),
            backup: String::new(),
            last_wal: String::new(),
            at: String::new(),
        };
        let mut lineage = Lineage::default();
        lineage.links = links.iter().map(link).collect();
        lineage
    }

    #[test]
    fn the_lineages_head_is_followed_and_a_second_run_injects_the_same() {
        let at = |links: &[(&str, &str)], generation: &str| places(&lineage(links), "repo", generation);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(at(&[], "A"), pair("repo", "repo/A"));
        assert_eq!(
            at(&[("A", "repo/A")], "A"),
            pair("repo", "repo/A"),
            "it is back: nothing changes"
        );
        assert_eq!(at(&[("A", "repo/A")], "B"), pair("repo/A", "repo/B"));
        assert_eq!(at(&[("A", "repo/A"), ("B", "repo/B")], "B"), pair("repo/A", "repo/B"));
    }
}
