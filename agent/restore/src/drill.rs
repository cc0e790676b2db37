//! Restoring into a folder of this machine, to see that a backup can be restored. What comes back is verified as in the castle.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

use skykeep_aws::S3;
use skykeep_core::{Progress, Secret};

use crate::{
    RestoreError,
    job::{JobSpec, Outcome, here},
    longhorn,
    report::Report,
};

/// Restores into `folder`, which is made, and which must be empty when it is there.
pub async fn into_folder(
    s3: Arc<S3>,
    password: &Secret,
    spec: &JobSpec,
    folder: &Path,
    progress: Progress,
) -> Result<Outcome, RestoreError> {
    prepare(folder)?;
    here(s3, password, spec, folder, Report::to(progress)).await
}

/// The same for a Longhorn backup.
pub async fn longhorn_into_folder(
    s3: Arc<S3>,
    spec: &longhorn::job::Spec,
    folder: &Path,
    progress: Progress,
) -> Result<Outcome, RestoreError> {
    prepare(folder)?;
    longhorn::job::here(s3, spec, folder, Report::to(progress)).await
}

fn refused(folder: &Path, e: &io::Error) -> RestoreError {
    RestoreError::Target {
        path: folder.display().to_string(),
        why: e.to_string(),
    }
}

/// Nobody else may look into it: it will hold the owner's data.
fn prepare(folder: &Path) -> Result<(), RestoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| refused(folder, &e))?;
    let mut entries = fs::read_dir(folder).map_err(|e| refused(folder, &e))?;
    if entries.next().is_some() {
        return Err(RestoreError::Occupied {
            target: folder.display().to_string(),
            why: format!("{} holds something already", folder.display()),
        });
    }
    Ok(())
}

/// Takes away what a drill has restored.
pub fn discard(folder: &Path) -> Result<(), RestoreError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(refused(folder, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_drill_goes_into_a_folder_of_its_own_that_nobody_else_reads() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("drill/site");
        prepare(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        prepare(&folder).unwrap();
        fs::write(folder.join("x"), "somebody's").unwrap();
        assert!(matches!(prepare(&folder), Err(RestoreError::Occupied { .. })));
        discard(&folder).unwrap();
        assert!(!folder.exists());
        discard(&folder).unwrap();
    }
}
