//! From a database of the castle file to an order for its restore, along its lineage.

use std::time::Duration;

use skykeep_aws::S3;
use skykeep_core::{
    Deadline, Progress, Secret, Trouble,
    castle::{Postgres, Treasure},
};
use skykeep_restore::{
    order,
    postgres::{
        self, Spec,
        conf::Repository,
        inspect::{self, Seen, Wanted},
    },
};

use crate::{
    estate::{Estate, credentials},
    lineage::{self, Begun, Link, Next},
    restored,
    treasure::patience,
};

/// By how much the job ends before we stop waiting for it: its own error says more than ours.
const JOB_FIRST: Duration = Duration::from_secs(100);

/// Looks at the repository that would be followed; nothing of its data is read.
pub(crate) async fn inspect(estate: &Estate, treasure: &Treasure, postgres: &Postgres) -> Result<String, Trouble> {
    let lineage = lineage::read(estate, &treasure.name).await?;
    // It comes back in an image that is pinned.
    estate.lock.image_named(&postgres.image)?;
    seen(estate, postgres, lineage.head(&postgres.prefix), &postgres.image).await
}

/// What lies at a path, in words.
pub(crate) async fn seen(estate: &Estate, postgres: &Postgres, path: &str, image: &str) -> Result<String, Trouble> {
    let seen = look(estate, postgres, path, image).await?;
    let made = seen
        .stop
        .map(|s| format!(" of {}", inspect::time(s)))
        .unwrap_or_default();
    let errors = match seen.with_errors {
        true => ", made although pages had wrong checksums",
        false => "",
    };
    Ok(format!(
        "{}{made}{errors}: PostgreSQL {}, {} bytes, WAL until {}, in {path}",
        seen.label, seen.version, seen.size, seen.last_wal
    ))
}

pub(crate) async fn look(estate: &Estate, postgres: &Postgres, path: &str, image: &str) -> Result<Seen, Trouble> {
    let keys = credentials(&estate.secrets, &postgres.access_key_id, &postgres.secret_access_key)?;
    let s3 = S3::new(
        estate.http.clone(),
        keys,
        &postgres.region,
        postgres.endpoint.clone(),
        &postgres.bucket,
    )?;
    let wanted = Wanted {
        path,
        stanza: &postgres.stanza,
        image,
        until: postgres.point()?.map(jiff::Timestamp::as_second),
    };
    Ok(inspect::inspect(&s3, &wanted).await?)
}

/// Has it restored, notes where it archives from now on, and lets its pods go.
pub(crate) async fn bring_back(
    estate: &Estate,
    treasure: &Treasure,
    postgres: &Postgres,
    again: bool,
    progress: &Progress,
) -> Result<String, Trouble> {
    let (client, namespace, claim) = (estate.api.get()?, treasure.namespace.as_str(), treasure.claim.as_str());
    let generation = estate.generation.get()?.to_string();
    let mut lineage = lineage::read(estate, &treasure.name).await?;
    let uid = order::claim_uid(client, namespace, claim).await?;
    let (source, archive) = match lineage.next(&postgres.prefix, &generation, uid.as_deref(), again) {
        Next::Restore { source, archive } => (source, archive),
        Next::Finish => {
            tell(estate, treasure, postgres).await?;
            postgres::order::let_go_again(client, namespace, claim).await?;
            return Ok("was restored by an earlier run, and archives on its own".into());
        }
    };
    let patience = patience(treasure);
    let seen = look(estate, postgres, &source, &postgres.image).await?;
    progress.note(format!(
        "backup {} of PostgreSQL {} in {source}; it will archive to {archive}",
        seen.label, seen.version
    ));
    lineage.begun = Some(Begun {
        generation: generation.clone(),
        path: archive.clone(),
    });
    lineage::write(estate, &treasure.name, &lineage).await?;
    if again {
        // From here on a run that dies leaves a treasure that is not back: nothing runs on half of it.
        restored::forget(estate, &treasure.name).await?;
        let limit = Deadline::after(Duration::from_secs(300));
        order::again(client, &treasure.name, (namespace, claim), limit, progress).await?;
    }
    let spec = Spec {
        attempt: archive.clone(),
        stanza: postgres.stanza.clone(),
        version: seen.version,
        image: postgres.image.clone(),
        folder: postgres.data_path.clone(),
        target: postgres.point()?.map(postgres::for_pgbackrest),
        checks: postgres.checks.clone(),
        roles: postgres.roles.keys().cloned().collect(),
        replace: again,
        limit: patience.saturating_sub(JOB_FIRST).as_secs(),
    };
    let (from, to) = (
        repository(estate, postgres, &source)?,
        repository(estate, postgres, &archive)?,
    );
    let passwords: Vec<&Secret> = postgres
        .roles
        .values()
        .map(|reference| estate.secrets.get(reference))
        .collect::<Result<_, _>>()?;
    let order = postgres::order::Order {
        name: &treasure.name,
        namespace,
        claim,
        spec: &spec,
        source: &from,
        archive: &to,
        passwords: &passwords,
        user: postgres.user,
        extra_ca_pem: estate.trust.extra_pem(),
        image: &estate.lock.image_named(&postgres.image)?.pinned(),
        own_image: &estate.lock.image("ghcr.io/skykeep/skykeep")?.pinned(),
    };
    let limit = Deadline::after(patience);
    let outcome = postgres::order::restore(client, &order, limit, progress).await?;
    // Before its pods go: what they write must be found by the next rebirth.
    lineage.begun = None;
    lineage.links.push(Link {
        generation,
        path: archive.clone(),
        uid: order::claim_uid(client, namespace, claim).await?.unwrap_or_default(),
        backup: outcome.base.clone(),
        last_wal: outcome.last_wal.clone(),
        at: jiff::Timestamp::now().to_string(),
    });
    lineage::write(estate, &treasure.name, &lineage).await?;
    let lifted = postgres::order::let_go(client, &order).await?;
    progress.note(format!("verified; the gate of {lifted} pods is lifted"));
    Ok(outcome.say())
}

/// Tells a database that is back where it archives to, should the cluster have forgotten it.
pub(crate) async fn tell(estate: &Estate, treasure: &Treasure, postgres: &Postgres) -> Result<(), Trouble> {
    let lineage = lineage::read(estate, &treasure.name).await?;
    let Some(link) = lineage::own(&lineage, estate.generation.get()?) else {
        return Ok(());
    };
    let archive = repository(estate, postgres, &link.path)?;
    let authorities = estate.trust.extra_pem();
    postgres::order::tell_the_database(
        estate.api.get()?,
        &treasure.name,
        &treasure.namespace,
        &archive,
        authorities,
    )
    .await
}

pub(crate) fn repository<'a>(
    estate: &'a Estate,
    postgres: &'a Postgres,
    path: &'a str,
) -> Result<Repository<'a>, Trouble> {
    let cipher_pass = postgres.cipher_pass.as_ref();
    Ok(Repository {
        bucket: &postgres.bucket,
        path,
        region: &postgres.region,
        endpoint: postgres.endpoint.as_ref(),
        access_key_id: estate.secrets.get(&postgres.access_key_id)?,
        secret_access_key: estate.secrets.get(&postgres.secret_access_key)?,
        cipher_pass: cipher_pass.map(|reference| estate.secrets.get(reference)).transpose()?,
        own_authorities: !estate.trust.extra_pem().is_empty(),
    })
}
