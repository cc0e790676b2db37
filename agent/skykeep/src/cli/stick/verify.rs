//! Comparing a medium with its own list, with its number, and with a release.

use std::path::Path;

use sha2::{Digest, Sha256};
use skykeep_core::Trouble;

use super::error::StickError;
use super::iso::Place;
use super::medium::{CHUNK, Medium};
use super::{SLOT, newc};
use crate::code;
use crate::console::lines::Output;

/// The last bytes of the initrd: an archive with the image's number and the mark "whole".
const MARK: usize = 512;

/// Reads all of a medium and says what it is. An error when anything differs.
pub fn run(target: &Path, release: Option<&str>, output: Output) -> Result<(), Trouble> {
    let name = target.display().to_string();
    let medium = Medium::open(target)?;
    let list = medium.read(medium.find("skykeep/SHA256SUMS")?)?;
    let mut files = 0;
    for line in String::from_utf8_lossy(&list).lines() {
        let Some((sum, path)) = line.split_once("  ") else {
            return Err(medium.no_medium("its list of files is damaged").into());
        };
        if hex::encode(Sha256::digest(medium.read(medium.find(path)?)?)) != sum {
            return Err(StickError::Altered {
                name,
                what: format!("{path} is not the file of its list"),
            }
            .into());
        }
        files += 1;
    }
    let codes = codes(&medium)?;
    let whole = whole(&medium)?;
    let same = match release {
        None => None,
        Some(given) => {
            let expected = expected(given)?;
            if expected != whole {
                return Err(StickError::Altered {
                    name,
                    what: format!("without its owner's part it has the SHA-256 {whole}, the release has {expected}"),
                }
                .into());
            }
            Some(true)
        }
    };
    match output {
        Output::Json => println!(
            "{}",
            serde_json::json!({"image": codes.image, "owner": codes.owner, "sha256": whole, "files": files, "release": same,
                "past_cache": medium.past_cache})
        ),
        Output::Text => {
            println!("{codes}");
            println!("{files} files are those of its own list. SHA-256 without the owner's part: {whole}");
            println!(
                "{}",
                if same.is_some() {
                    "It is the release, byte for byte."
                } else {
                    "Its own list can't show a forgery: compare the SHA-256 with the release's (--release)."
                }
            );
        }
    }
    Ok(())
}

/// The codes of the boot screen.
pub struct Codes {
    /// The image's.
    pub image: String,
    /// The owner's part's, when there is one.
    pub owner: Option<String>,
}

impl std::fmt::Display for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owner = self.owner.as_deref().unwrap_or("none");
        write!(
            f,
            "The boot screen will say: Image {}, owner's part {owner}.",
            self.image
        )
    }
}

/// Works them out from the bytes of the medium.
pub fn codes(medium: &Medium) -> Result<Codes, StickError> {
    let read = |path: &str| medium.read(medium.find(path)?);
    let initrd = read("skykeep/initrd")?;
    let (body, mark) = initrd
        .len()
        .checked_sub(MARK)
        .and_then(|at| initrd.split_at_checked(at))
        .ok_or_else(|| medium.no_medium("its initrd is cut off"))?;
    // As image/build makes it: the hash of what sha256sum prints for these four.
    let mut number = Sha256::new();
    for (name, content) in [
        ("vmlinuz", read("skykeep/vmlinuz")?),
        ("initrd", body.to_vec()),
        ("cmdline", read("skykeep/cmdline")?),
        ("cmdline.screen", read("skykeep/cmdline.screen")?),
    ] {
        number.update(format!("{}  {name}\n", hex::encode(Sha256::digest(content))));
    }
    let number = number.finalize();
    let written = hex::encode(number);
    if !mark.windows(written.len()).any(|window| window == written.as_bytes()) {
        return Err(medium.no_medium("kernel, initrd and command line do not belong together"));
    }
    let slot = read(SLOT)?;
    let files =
        newc::unpack(&slot).map_err(|why| medium.no_medium(format!("its owner's part can't be read: {why}")))?;
    let known = code::OWNER_FILES
        .iter()
        .filter_map(|name| files.iter().find(|(other, _)| other == name));
    let owner =
        (!files.is_empty()).then(|| code::of_owner(known.map(|(name, content)| (name.as_str(), content.as_slice()))));
    Ok(Codes {
        image: code::short(&number),
        owner,
    })
}

/// SHA-256 of the whole volume, its slot taken as empty.
fn whole(medium: &Medium) -> Result<String, StickError> {
    let (length, _) = medium.volume()?;
    let slot = medium.find(SLOT)?;
    let mut sum = Sha256::new();
    let mut at = 0;
    while at < length {
        let piece = Place {
            at,
            length: CHUNK.min(length - at),
        };
        let mut bytes = medium.read(piece)?;
        if bytes.len() as u64 != piece.length {
            return Err(medium.no_medium("it ends before its volume does"));
        }
        for (number, byte) in (at..).zip(&mut bytes) {
            if (slot.at..slot.at + slot.length).contains(&number) {
                *byte = 0;
            }
        }
        sum.update(&bytes);
        at += piece.length;
    }
    Ok(hex::encode(sum.finalize()))
}

/// The release's SHA-256: typed, or that of its file.
fn expected(given: &str) -> Result<String, StickError> {
    if given.len() == 64 && given.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(given.to_ascii_lowercase());
    }
    whole(&Medium::open(Path::new(given))?)
}
