//! Files on the node.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use skykeep_cluster::plan::PlanFile;

use super::error::NodeError;

const MARK: &str = "# skykeep";

/// An octal mode.
pub(super) fn mode(text: &str) -> Result<u32, NodeError> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|m| *m <= 0o777)
        .ok_or_else(|| NodeError::Step {
            title: "reading the plan".into(),
            why: format!("`{text}` is no file mode"),
        })
}

/// Sets a file's mode.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), NodeError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|e| NodeError::file(path, e))
}

/// Writes a file so that it is there whole or not at all, with its mode from its first moment.
pub(super) fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), NodeError> {
    let problem = |e| NodeError::file(path, e);
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(problem)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = folder.join(format!(".skykeep-{name}.part"));
    remove(&part)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&part)
        .map_err(problem)?;
    file.write_all(content).map_err(problem)?;
    file.sync_all().map_err(problem)?;
    set_mode(&part, mode)?;
    fs::rename(&part, path).map_err(problem)
}

/// Writes a file of the plan, when its condition holds.
pub(super) fn write_planned(file: &PlanFile) -> Result<(), NodeError> {
    if file.only_if.as_ref().is_some_and(|path| !Path::new(path).exists()) {
        return Ok(());
    }
    write(
        Path::new(&file.path),
        mode(&file.mode)?,
        file.content.expose().as_bytes(),
    )
}

/// Puts our lines at the end of /etc/hosts; lines of an earlier try go.
pub(super) fn hosts(path: &Path, lines: &[String]) -> Result<(), NodeError> {
    let old = fs::read_to_string(path).map_err(|e| NodeError::file(path, e))?;
    let mut text: String = old
        .lines()
        .filter(|line| !line.ends_with(MARK))
        .map(|line| format!("{line}\n"))
        .collect();
    for line in lines {
        text.push_str(&format!("{line} {MARK}\n"));
    }
    write(path, 0o644, text.as_bytes())
}

/// Overwrites and removes a file that held a key. On a cloud's disk that is a courtesy: the key opens nothing any more.
pub(super) fn wipe(path: &Path) -> Result<(), NodeError> {
    match fs::OpenOptions::new().write(true).open(path) {
        Ok(mut file) => {
            let size = file.metadata().map_err(|e| NodeError::file(path, e))?.len();
            let zeros = vec![0; usize::try_from(size).unwrap_or(0)];
            file.write_all(&zeros)
                .and_then(|()| file.sync_all())
                .map_err(|e| NodeError::file(path, e))?;
            remove(path)
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(NodeError::file(path, e)),
    }
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), NodeError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(NodeError::file(path, e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lines_are_replaced_and_not_piled_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        hosts(&path, &["10.0.0.1 api".into()]).unwrap();
        hosts(&path, &["10.0.0.2 api".into()]).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "127.0.0.1 localhost\n10.0.0.2 api # skykeep\n"
        );
    }

    #[test]
    fn a_key_file_is_never_readable_by_others_and_is_gone_after_wiping() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pki/ca.key");
        write(&path, 0o600, b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        wipe(&path).unwrap();
        assert!(!path.exists());
        wipe(&path).unwrap();
    }

    #[test]
    fn a_mode_that_is_none_is_refused() {
        assert_eq!(mode("0644").unwrap(), 0o644);
        assert!(mode("4755").is_err() && mode("abc").is_err());
    }
}
