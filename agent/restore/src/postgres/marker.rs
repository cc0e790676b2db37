//! How far a restore has come, written beside the data folder: a job that was killed goes on there, and one of another restore
//! keeps its hands off.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Outcome, Spec};
use crate::RestoreError;

const NAME: &str = ".skykeep-restore.json";

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Files come, WAL is replayed. May be begun again: nothing of it was archived.
    Restoring,
    /// It has been verified, on a timeline of its own. Must not be restored again: it may have archived.
    Restored,
    /// Its first backup is there as well.
    Done,
}

#[derive(Serialize, Deserialize)]
struct Marker {
    v: u32,
    attempt: String,
    phase: Phase,
    outcome: Outcome,
}

/// A claim and the data folder in it.
pub(crate) struct Place<'a> {
    pub(crate) claim: &'a Path,
    pub(crate) spec: &'a Spec,
}

impl Place<'_> {
    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.claim.join(&self.spec.folder)
    }

    fn target(path: &Path, e: &std::io::Error) -> RestoreError {
        RestoreError::Target {
            path: path.display().to_string(),
            why: e.to_string(),
        }
    }

    /// Says how far this restore is. A data folder with anything in it that this restore did not write is refused, or emptied
    /// when that is wanted.
    pub(crate) fn begin(&self) -> Result<(Phase, Outcome), RestoreError> {
        if let Some(marker) = self.read()?.filter(|m| m.attempt == self.spec.attempt) {
            return Ok((marker.phase, marker.outcome));
        }
        let data = self.data();
        let found = first_entry(&data).map_err(|e| Self::target(&data, &e))?;
        match found {
            Some(_) if self.spec.replace => empty(&data).map_err(|e| Self::target(&data, &e))?,
            Some(name) => {
                return Err(RestoreError::Occupied {
                    target: data.display().to_string(),
                    why: format!(
                        "{} holds `{name}`, which this restore did not write: a database may have been made there that is not \
                         the backed-up one",
                        self.spec.folder
                    ),
                });
            }
            None => {}
        }
        self.write(Phase::Restoring, &Outcome::default())?;
        Ok((Phase::Restoring, Outcome::default()))
    }

    /// Makes the data folder fit for `pgbackrest restore`; says whether there is something that can be gone on from.
    pub(crate) fn prepare(&self) -> Result<bool, RestoreError> {
        let data = self.data();
        let fail = |e: std::io::Error| Self::target(&data, &e);
        let begun = ["PG_VERSION", "backup.manifest"]
            .iter()
            .any(|name| data.join(name).exists());
        if begun {
            return self.unlock().map(|()| true);
        }
        fs::create_dir_all(&data).map_err(fail)?;
        empty(&data).map_err(fail)?;
        fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(fail)?;
        Ok(false)
    }

    /// Takes away what a server of this job left when it was killed with it.
    pub(crate) fn unlock(&self) -> Result<(), RestoreError> {
        let path = self.data().join("postmaster.pid");
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Self::target(&path, &e)),
            _ => Ok(()),
        }
    }

    /// Writes how far it is.
    pub(crate) fn write(&self, phase: Phase, outcome: &Outcome) -> Result<(), RestoreError> {
        let path = self.claim.join(NAME);
        let fail = |e: std::io::Error| Self::target(&path, &e);
        let marker = Marker {
            v: 1,
            attempt: self.spec.attempt.clone(),
            phase,
            outcome: outcome.clone(),
        };
        let text = serde_json::to_vec(&marker).map_err(|e| RestoreError::Internal(e.to_string()))?;
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh).map_err(fail)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(fail)?;
        fs::rename(&fresh, &path).map_err(fail)?;
        File::open(self.claim).and_then(|f| f.sync_all()).map_err(fail)
    }

    fn read(&self) -> Result<Option<Marker>, RestoreError> {
        let path = self.claim.join(NAME);
        match fs::read(&path) {
            // One that can't be read is somebody else's.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Self::target(&path, &e)),
        }
    }
}

fn first_entry(folder: &Path) -> std::io::Result<Option<String>> {
    match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
        Ok(mut entries) => Ok(entries
            .next()
            .transpose()?
            .map(|e| e.file_name().to_string_lossy().into_owned())),
    }
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(attempt: &str, replace: bool) -> Spec {
        Spec {
            attempt: attempt.into(),
            stanza: "main".into(),
            version: "15".into(),
            image: "x/y:15".into(),
            folder: "pgdata".into(),
            target: None,
            checks: Vec::new(),
            roles: Vec::new(),
            replace,
            limit: 60,
        }
    }

    #[test]
    fn a_cluster_that_somebody_made_is_never_touched() {
        let claim = tempfile::tempdir().unwrap();
        fs::create_dir(claim.path().join("pgdata")).unwrap();
        fs::write(claim.path().join("pgdata/PG_VERSION"), "15\n").unwrap();
        let (one, two) = (spec("a", false), spec("b", true));
        let place = |spec| Place {
            claim: claim.path(),
            spec,
        };
        let error = place(&one).begin().unwrap_err();
        insta::assert_snapshot!(skykeep_core::Trouble::from(error).to_string());
        assert!(claim.path().join("pgdata/PG_VERSION").exists());
        // Unless its owner wants it by name.
        assert_eq!(place(&two).begin().unwrap().0, Phase::Restoring);
        assert!(!claim.path().join("pgdata/PG_VERSION").exists());
    }

    #[test]
    fn what_was_killed_goes_on_and_another_restore_does_not() {
        let claim = tempfile::tempdir().unwrap();
        let (one, two) = (spec("a", false), spec("b", false));
        let place = |spec| Place {
            claim: claim.path(),
            spec,
        };
        assert_eq!(place(&one).begin().unwrap().0, Phase::Restoring);
        assert!(!place(&one).prepare().unwrap());
        // Killed before pgBackRest had noted what it was doing: from the beginning.
        fs::write(claim.path().join("pgdata/half"), "x").unwrap();
        assert!(!place(&one).prepare().unwrap() && !claim.path().join("pgdata/half").exists());
        for name in ["backup.manifest", "postmaster.pid"] {
            fs::write(claim.path().join("pgdata").join(name), "x").unwrap();
        }
        assert!(place(&one).prepare().unwrap() && !claim.path().join("pgdata/postmaster.pid").exists());
        assert!(place(&two).begin().is_err());
        let outcome = Outcome {
            timeline: 2,
            ..Outcome::default()
        };
        place(&one).write(Phase::Restored, &outcome).unwrap();
        assert_eq!(place(&one).begin().unwrap(), (Phase::Restored, outcome));
    }
}
