//! The boot menu's "check the image that was read": every file in memory against the list that was made with the image.
//!
//! It finds a stick or a cable that loses bits, and too little memory. It can't find a forgery: whoever changes the files can change the list. For that there is
//! `skykeep stick verify --release` on a computer you trust.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use skykeep_core::Explained;

/// The list, as sha256sum writes it, paths without their first slash.
const LIST: &str = "etc/skykeep-files";

/// Whether the boot menu's check was chosen.
pub fn is_wanted() -> bool {
    let words = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    words.split_whitespace().any(|word| word == "skykeep.verify")
}

/// Compares the running image with its list, and counts the disks that this system can see. Gives a line for people.
pub fn image() -> Result<String, Explained> {
    let files = compare(Path::new("/"))?;
    let disks = fs::read_dir("/sys/class/block").into_iter().flatten().count();
    let sealed = match Path::new("/sys/class/net").exists() && !Path::new("/sys/class/block").exists() {
        true => " Its kernel has no block layer: it could see none.",
        false => "",
    };
    Ok(format!(
        "Checked: all {files} files of the image are as they were built. Disks that this system can see: {disks}.{sealed}"
    ))
}

fn compare(root: &Path) -> Result<usize, Explained> {
    let problem = |why: String| Explained {
        what: "The image in memory is not as it was built".into(),
        why,
        remedy: "Power off and write the stick again; if it stays so, use another stick or another machine.".into(),
    };
    let list = fs::read_to_string(root.join(LIST)).map_err(|e| problem(format!("{LIST}: {e}")))?;
    let mut files = 0;
    for line in list.lines() {
        let (sum, name) = line
            .split_once("  ")
            .ok_or_else(|| problem(format!("a line of {LIST} is damaged")))?;
        let content = fs::read(root.join(name)).map_err(|e| problem(format!("{name}: {e}")))?;
        let found = hex::encode(Sha256::digest(content));
        if found != sum {
            return Err(problem(format!("{name} differs")));
        }
        files += 1;
    }
    if files == 0 {
        return Err(problem(format!("{LIST} is empty")));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_files_are_counted_and_a_changed_or_missing_one_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("etc")).expect("folder");
        assert!(compare(folder.path()).is_err(), "no list");
        fs::write(at(LIST), "").expect("write");
        assert!(compare(folder.path()).is_err(), "an empty list");
        fs::write(at("init"), "abc").expect("write");
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        fs::write(at(LIST), format!("{sum}  init\n")).expect("write");
        assert_eq!(compare(folder.path()).expect("whole"), 1);
        fs::write(at("init"), "abd").expect("write");
        assert_eq!(compare(folder.path()).expect_err("changed").why, "init differs");
        fs::remove_file(at("init")).expect("remove");
        assert!(compare(folder.path()).expect_err("missing").why.starts_with("init: "));
    }
}
