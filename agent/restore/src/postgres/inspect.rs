//! A pgBackRest repository looked at from the laptop, without pgBackRest: what would come back, and whether its archive is whole.

use skykeep_aws::S3;

use super::{
    Fault,
    conf::place,
    info::{self, Info, choose, major_of_tag},
    wal::{Segment, follow},
};
use crate::RestoreError;

/// The oldest version whose recovery is set up as it is here.
const OLDEST: u32 = 12;

/// What is looked for.
pub struct Wanted<'a> {
    /// The repository's path in the bucket.
    pub path: &'a str,
    /// pgBackRest's name of the database cluster.
    pub stanza: &'a str,
    /// The image that it comes back in.
    pub image: &'a str,
    /// The point in time, seconds since 1970; `None` for the end of the archive.
    pub until: Option<i64>,
}

/// What a repository holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The backup that a restore begins from.
    pub label: String,
    /// When it was finished, seconds since 1970. Not known of an encrypted repository.
    pub stop: Option<i64>,
    /// The version of the database.
    pub version: String,
    /// The last WAL segment of the archive.
    pub last_wal: String,
    /// The database's bytes; 0 when not known.
    pub size: u64,
    /// Whether wrong checksums were seen while the backup was made.
    pub with_errors: bool,
}

/// Reads what `backup.info` and the names in the archive say. Reads only.
pub async fn inspect(s3: &S3, wanted: &Wanted<'_>) -> Result<Seen, RestoreError> {
    let place = place(s3.bucket(), wanted.path);
    let unusable = |why: String| {
        RestoreError::from(Fault::Repository {
            place: place.clone(),
            why,
        })
    };
    let backups = match backup_info(s3, wanted, &place).await? {
        Info::Clear(backups) => backups,
        Info::Encrypted => return encrypted(s3, wanted, &place).await,
    };
    let backup = choose(&backups, wanted.until).ok_or_else(|| match (wanted.until, choose(&backups, None)) {
        (Some(until), Some(_)) => too_early(&place, until, backups.iter().map(|b| b.stop).min()),
        _ => unusable(format!(
            "it knows the stanza `{}` but holds no backup that was made while the database ran",
            wanted.stanza
        )),
    })?;
    fits(wanted.image, &backup.version)?;
    let manifest = key(
        wanted,
        &format!("backup/{}/{}/backup.manifest", wanted.stanza, backup.label),
    );
    if s3.head(&manifest).await?.is_none() {
        return Err(unusable(format!(
            "its backup {} has no object {manifest}",
            backup.label
        )));
    }
    let archive = key(wanted, &format!("archive/{}/{}/", wanted.stanza, backup.archive()));
    let run = follow(segments(s3, &archive).await?, backup.first_wal).ok_or_else(|| {
        unusable(format!(
            "its backup {} needs the WAL segment {}, which is not there",
            backup.label, backup.first_wal
        ))
    })?;
    // A point in time may lie before the gap; the restore itself will tell.
    if let (Some(after), None) = (run.gap_after, wanted.until) {
        return Err(Fault::Gap {
            place,
            after: after.to_string(),
            last: run.last.to_string(),
        }
        .into());
    }
    Ok(Seen {
        label: backup.label.clone(),
        stop: Some(backup.stop),
        version: backup.version.clone(),
        last_wal: run.last.to_string(),
        size: backup.size,
        with_errors: backup.with_errors,
    })
}

fn key(wanted: &Wanted<'_>, rest: &str) -> String {
    format!("{}/{rest}", wanted.path.trim_matches('/'))
}

/// The file, or its copy when it can't be read: pgBackRest writes both.
async fn backup_info(s3: &S3, wanted: &Wanted<'_>, place: &str) -> Result<Info, RestoreError> {
    let name = key(wanted, &format!("backup/{}/backup.info", wanted.stanza));
    let mut why = format!("it has no object {name}");
    for name in [name.clone(), format!("{name}.copy")] {
        let Some(object) = s3.get(&name).await? else { continue };
        match info::parse(&object.bytes) {
            Ok(info) => return Ok(info),
            Err(e) => why = format!("{name}: {e}"),
        }
    }
    Err(Fault::Repository {
        place: place.to_owned(),
        why,
    }
    .into())
}

/// What the names in an encrypted repository tell: labels of backups begin with their time, archives with the version.
async fn encrypted(s3: &S3, wanted: &Wanted<'_>, place: &str) -> Result<Seen, RestoreError> {
    let unusable = |why: &str| {
        RestoreError::from(Fault::Repository {
            place: place.to_owned(),
            why: why.to_owned(),
        })
    };
    let folder = key(wanted, &format!("backup/{}/", wanted.stanza));
    let names = s3.list(&folder).await?;
    let labels = names
        .iter()
        .filter_map(|e| e.key.strip_prefix(&folder)?.strip_suffix("/backup.manifest"));
    let label = labels
        .max()
        .ok_or_else(|| unusable("it is encrypted and holds no backup"))?
        .to_owned();
    let folder = key(wanted, &format!("archive/{}/", wanted.stanza));
    let names = s3.list(&folder).await?;
    let newest = names
        .iter()
        .filter_map(|e| {
            let (version, number) = e.key.strip_prefix(&folder)?.split('/').next()?.rsplit_once('-')?;
            Some((number.parse::<u64>().ok()?, version, Segment::of_object(&e.key)?))
        })
        .max();
    let (_, version, last) = newest.ok_or_else(|| unusable("it is encrypted and its archive is empty"))?;
    fits(wanted.image, version)?;
    Ok(Seen {
        label,
        stop: None,
        version: version.to_owned(),
        last_wal: last.to_string(),
        size: 0,
        with_errors: false,
    })
}

async fn segments(s3: &S3, folder: &str) -> Result<Vec<Segment>, RestoreError> {
    let names = s3.list(folder).await?;
    Ok(names.iter().filter_map(|e| Segment::of_object(&e.key)).collect())
}

/// The image's tag may tell its version: then it must be the backup's.
pub(super) fn fits(image: &str, version: &str) -> Result<(), RestoreError> {
    let major = version.split('.').next().unwrap_or_default();
    let old = major.parse::<u32>().is_ok_and(|m| m < OLDEST);
    if old || major_of_tag(image).is_some_and(|tag| tag != major) {
        return Err(Fault::Version {
            image: image.to_owned(),
            version: version.to_owned(),
        }
        .into());
    }
    Ok(())
}

fn too_early(place: &str, until: i64, oldest: Option<i64>) -> RestoreError {
    Fault::TooEarly {
        place: place.to_owned(),
        wanted: time(until),
        oldest: oldest.map(time).unwrap_or_default(),
    }
    .into()
}

/// Seconds since 1970, for people.
pub fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds}"), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_another_version_is_refused_before_anything_is_made() {
        assert!(fits("x/postgres:15", "15").is_ok() && fits("x/postgres:latest", "15").is_ok());
        assert!(fits("x/postgres:16", "15").is_err());
        assert!(fits("x/postgres:latest", "9.6").is_err());
    }

    #[test]
    fn a_time_is_said_in_utc() {
        assert_eq!(time(1_796_067_676), "2026-11-30T19:41:16Z");
    }
}
