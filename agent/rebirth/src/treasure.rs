//! From a treasure of the castle file to an order for its restore.

use std::{sync::Arc, time::Duration};

use skykeep_aws::S3;
use skykeep_core::{
    Deadline, Explained, Progress, Trouble,
    castle::{Backup, Castle, Restic, SecretRef, Treasure},
};
use skykeep_restore::{gate, job::JobSpec, ledger, order, repository};

use crate::{
    database,
    error::RebirthError,
    estate::{Estate, credentials},
    longhorn, operated,
    restored::{self, Restored, Verdict},
    rpo::Age,
};

fn treasure(estate: &Estate, index: usize) -> Result<&Treasure, RebirthError> {
    estate
        .castle
        .treasures
        .get(index)
        .ok_or(RebirthError::NotThere("the treasure"))
}

/// The castle file was checked: it has exactly one.
fn backup(treasure: &Treasure) -> Result<Backup<'_>, RebirthError> {
    treasure.backup().ok_or(RebirthError::NotThere("the treasure's backup"))
}

pub(crate) fn spec(restic: &Restic) -> JobSpec {
    JobSpec {
        bucket: restic.bucket.clone(),
        prefix: restic.prefix.clone(),
        region: restic.region.clone(),
        endpoint: restic.endpoint.clone(),
        snapshot: restic.snapshot.clone(),
        path: restic.path.clone(),
        replace: false,
    }
}

/// How long a restore may take: far more than planned, because a slow one is better than none.
pub(crate) fn limit(treasure: &Treasure) -> Duration {
    (treasure.budget() * 4).max(Duration::from_secs(3600))
}

/// How long we wait for a restore: a step's own error says more than its deadline's, so it ends first.
pub(crate) fn patience(treasure: &Treasure) -> Duration {
    limit(treasure).saturating_sub(Duration::from_secs(100))
}

/// Treasures of the same restic repository, opened by the same keys, by their places in the castle file; each database alone.
pub(crate) fn by_repository(castle: &Castle) -> Vec<Vec<usize>> {
    let same = |a: &Restic, b: &Restic| {
        (&a.bucket, &a.prefix, &a.region, &a.endpoint) == (&b.bucket, &b.prefix, &b.region, &b.endpoint)
            && (&a.access_key_id, &a.secret_access_key, &a.password)
                == (&b.access_key_id, &b.secret_access_key, &b.password)
    };
    let mut groups: Vec<(Option<&Restic>, Vec<usize>)> = Vec::new();
    for (i, treasure) in castle.treasures.iter().enumerate() {
        let restic = treasure.restic.as_ref();
        let of = |(other, _): &&mut (Option<&Restic>, _)| restic.zip(*other).is_some_and(|(a, b)| same(a, b));
        match groups.iter_mut().find(of) {
            Some((_, group)) => group.push(i),
            None => groups.push((restic, vec![i])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// A client for the bucket of a treasure's backup.
pub(crate) fn bucket(estate: &Estate, restic: &Restic) -> Result<Arc<S3>, Trouble> {
    let keys = credentials(&estate.secrets, &restic.access_key_id, &restic.secret_access_key)?;
    let (http, endpoint) = (estate.http.clone(), restic.endpoint.clone());
    Ok(Arc::new(S3::new(http, keys, &restic.region, endpoint, &restic.bucket)?))
}

/// Opens the index of a repository from here, and looks at the backups of these treasures; nothing of their data is read.
pub(crate) async fn inspect(estate: &Estate, indices: &[usize], progress: &Progress) -> Result<String, Trouble> {
    let all: Vec<&Treasure> = indices.iter().map(|i| treasure(estate, *i)).collect::<Result<_, _>>()?;
    let first = *all.first().ok_or(RebirthError::NotThere("the treasure"))?;
    let restic = match backup(first)? {
        Backup::Restic(restic) => restic,
        Backup::Longhorn(volume) => return longhorn::inspect(estate, first, volume, progress).await,
        Backup::Postgres(postgres) => {
            return match operated::of(first) {
                Some(one) => operated::inspect(estate, one).await,
                None => database::inspect(estate, first, postgres).await,
            };
        }
    };
    let password = estate.secrets.get(&restic.password)?;
    let specs = all.iter().filter_map(|t| t.restic.as_ref()).map(spec).collect();
    let backups = repository::inspect(bucket(estate, restic)?, password, specs).await?;
    let now = jiff::Timestamp::now();
    let mut seen = Vec::new();
    for (treasure, backup) in all.iter().zip(backups) {
        let age = aged(treasure, &backup.time, now, progress)?;
        let id = backup.snapshot.get(..8).unwrap_or_default();
        seen.push(format!(
            "{}: {id} of {} ({}), {} files, {} bytes",
            treasure.name, backup.time, age, backup.files, backup.bytes
        ));
    }
    Ok(seen.join("; "))
}

/// How old a backup is, in words. One that is too old is an error when its owner wants that.
pub(crate) fn aged(
    treasure: &Treasure,
    time: &str,
    now: jiff::Timestamp,
    progress: &Progress,
) -> Result<String, Trouble> {
    let age = Age::of(treasure, time, now);
    if let Some(age) = age.as_ref().filter(|age| age.older) {
        if treasure.strict_rpo {
            return Err(too_old(&treasure.name, age).into());
        }
        progress.note(format!("the newest backup of `{}` is {}", treasure.name, age.text()));
    }
    Ok(age.map_or("of no age".into(), |age| age.text()))
}

fn too_old(name: &str, age: &Age) -> Explained {
    Explained {
        what: format!("The newest backup of `{name}` is too old"),
        why: format!("it is {}, and castle.yaml says `strictRpo`", age.text()),
        remedy: "Look for a newer one; to live with this one, raise `rpoHours` or take `strictRpo` away.".into(),
    }
}

/// Closes the gate of every treasure's claim.
pub(crate) async fn close_gates(estate: &Estate) -> Result<String, Trouble> {
    let claims: Vec<(String, String)> = estate
        .castle
        .treasures
        .iter()
        .map(|t| (t.namespace.clone(), t.claim.clone()))
        .collect();
    gate::close(estate.api.get()?, &claims, Deadline::after(Duration::from_secs(110))).await?;
    Ok(format!("{} claims in the ledger, the policy is in force", claims.len()))
}

/// Restores one treasure inside the castle, unless ledger or journal say that it was done.
pub(crate) async fn restore(estate: &Estate, index: usize, progress: &Progress) -> Result<String, Trouble> {
    let treasure = treasure(estate, index)?;
    let (client, namespace, claim) = (estate.api.get()?, &treasure.namespace, &treasure.claim);
    let entry = restored::read(estate, &treasure.name).await?;
    let done = ledger::is_done(client, namespace, claim).await?;
    let uid = operated::uid(estate, treasure).await?;
    match restored::judge(entry.as_ref(), done, uid.as_deref()) {
        Verdict::Restore => bring_back(estate, treasure, false, progress).await,
        Verdict::Gone => {
            // Whatever stands there now is held: it must not run on an empty volume.
            ledger::reopen(client, namespace, claim).await?;
            Err(match operated::of(treasure) {
                Some(one) => operated::gone(one),
                None => restored::gone(&treasure.name, namespace, claim),
            }
            .into())
        }
        Verdict::Back {
            tell_ledger,
            tell_journal,
        } => {
            if tell_ledger {
                ledger::mark_done(client, namespace, claim).await?;
            }
            if tell_journal {
                restored::write(
                    estate,
                    &entry_of(treasure, uid.unwrap_or_default(), "by an earlier run".into()),
                )
                .await?;
            }
            if let (Backup::Postgres(postgres), None) = (backup(treasure)?, operated::of(treasure)) {
                database::tell(estate, treasure, postgres).await?;
            }
            gate::lift_for_good(client, namespace, claim, Deadline::after(Duration::from_secs(60))).await?;
            Ok("was restored before: left alone".into())
        }
    }
}

/// Restores a treasure once more, over whatever its claim holds: its owner has asked for it by name.
pub(crate) async fn restore_again(estate: &Estate, index: usize, progress: &Progress) -> Result<String, Trouble> {
    bring_back(estate, treasure(estate, index)?, true, progress).await
}

async fn bring_back(estate: &Estate, treasure: &Treasure, again: bool, progress: &Progress) -> Result<String, Trouble> {
    let what = match backup(treasure)? {
        Backup::Restic(restic) => {
            let spec = JobSpec {
                replace: again,
                ..spec(restic)
            };
            let source = order::Source::Restic(&spec, estate.secrets.get(&restic.password)?);
            let keys = (&restic.access_key_id, &restic.secret_access_key);
            files(estate, treasure, source, keys, again, progress).await?
        }
        Backup::Longhorn(volume) => {
            let spec = longhorn::spec(volume, again);
            let keys = (&volume.access_key_id, &volume.secret_access_key);
            files(estate, treasure, order::Source::Longhorn(&spec), keys, again, progress).await?
        }
        Backup::Postgres(postgres) => match operated::of(treasure) {
            Some(one) => operated::bring_back(estate, one, again, progress).await?,
            None => database::bring_back(estate, treasure, postgres, again, progress).await?,
        },
    };
    let uid = operated::uid(estate, treasure).await?;
    restored::write(estate, &entry_of(treasure, uid.unwrap_or_default(), what.clone())).await?;
    Ok(what)
}

async fn files(
    estate: &Estate,
    treasure: &Treasure,
    source: order::Source<'_>,
    keys: (&SecretRef, &SecretRef),
    again: bool,
    progress: &Progress,
) -> Result<String, Trouble> {
    let client = estate.api.get()?;
    let order = order::Order {
        name: &treasure.name,
        namespace: &treasure.namespace,
        claim: &treasure.claim,
        source,
        access_key_id: estate.secrets.get(keys.0)?,
        secret_access_key: estate.secrets.get(keys.1)?,
        extra_ca_pem: estate.trust.extra_pem(),
        image: &estate.lock.image("ghcr.io/skykeep/skykeep")?.pinned(),
    };
    if again {
        // From here on a run that dies leaves a treasure that is not back: nothing runs on half of it.
        restored::forget(estate, &treasure.name).await?;
        let (limit, place) = (
            Deadline::after(Duration::from_secs(300)),
            (order.namespace, order.claim),
        );
        order::again(client, order.name, place, limit, progress).await?;
        // A claim that is gone comes from the repository once more: not only after Flux's interval.
        skykeep_gitops::remind_layers(client).await?;
    }
    let done = order::restore(client, &order, Deadline::after(patience(treasure)), progress).await?;
    Ok(match done {
        order::Done::Already => "was restored before: left alone".to_owned(),
        order::Done::Now(outcome) => {
            format!(
                "backup {}: {} files, {} bytes, verified",
                outcome.snapshot, outcome.files, outcome.bytes
            )
        }
    })
}

fn entry_of(treasure: &Treasure, uid: String, what: String) -> Restored {
    Restored {
        v: 1,
        treasure: treasure.name.clone(),
        namespace: treasure.namespace.clone(),
        claim: treasure.claim.clone(),
        uid,
        what,
        at: jiff::Timestamp::now().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn treasures_of_one_repository_are_inspected_together() {
        let mut castle = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
        castle.treasures.truncate(1);
        let one = castle.treasures[0].clone();
        let mut other = one.clone();
        other.restic.as_mut().unwrap().prefix = "elsewhere".into();
        castle.treasures.extend([other, one]);
        assert_eq!(by_repository(&castle), [vec![0, 2], vec![1]]);
    }

    #[test]
    fn a_backup_that_is_too_old_says_what_to_do() {
        let age = Age {
            age_s: 30 * 3600,
            rpo_hours: Some(24),
            older: true,
        };
        insta::assert_snapshot!(too_old("site", &age).to_string());
    }
}
