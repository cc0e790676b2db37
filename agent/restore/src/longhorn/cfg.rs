//! Longhorn's backup target: where things lie in it, and its `volume.cfg` and `backup_*.cfg`. Bytes that somebody else wrote;
//! read, never trusted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha512};

/// Longhorn's own size of a block where a backup names none.
const BLOCK: u64 = 2 << 20;
/// The largest that is taken: it has to fit into memory several times.
const LARGEST_BLOCK: u64 = 64 << 20;
/// The largest volume: 64 TiB.
const LARGEST_VOLUME: u64 = 64 << 40;

/// How blocks are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As they are.
    None,
    /// LZ4 frames.
    Lz4,
    /// Gzip.
    Gzip,
}

/// What `volume.cfg` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Bytes, as of its last backup.
    pub size: u64,
    /// The image that its blocks are only the differences from; empty for most.
    pub backing_image: String,
}

/// What a `backup_*.cfg` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub name: String,
    /// When the snapshot was made that it is of.
    pub time: Timestamp,
    /// How its blocks are packed.
    pub method: Method,
    /// Bytes of a block.
    pub block_size: u64,
    /// Checksum by the number of the block. What is not here is zeros.
    pub blocks: BTreeMap<u64, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeText {
    name: String,
    size: String,
    #[serde(default)]
    backing_image_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BackupText {
    name: String,
    volume_name: String,
    #[serde(default)]
    snapshot_created_at: String,
    #[serde(default)]
    created_time: String,
    #[serde(default)]
    compression_method: String,
    #[serde(default)]
    parameters: Option<BTreeMap<String, String>>,
    #[serde(default)]
    blocks: Option<Vec<BlockText>>,
    #[serde(default)]
    single_file: FileText,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct FileText {
    #[serde(default)]
    file_path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlockText {
    offset: u64,
    block_checksum: String,
}

/// A name that may become part of a key, as Longhorn itself has it.
pub fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// The checksum that Longhorn names its blocks by: half of a SHA-512.
pub fn checksum(data: &[u8]) -> String {
    let mut hex = hex::encode(Sha512::digest(data));
    hex.truncate(64);
    hex
}

/// The folder of a volume below the backup target's prefix, with a slash at its end.
pub fn folder(prefix: &str, volume: &str) -> String {
    let prefix = match prefix.trim_matches('/') {
        "" => String::new(),
        inner => format!("{inner}/"),
    };
    let sum = checksum(volume.as_bytes());
    let (one, two) = layers(&sum);
    format!("{prefix}backupstore/volumes/{one}/{two}/{volume}/")
}

/// The key of a block below its volume's folder.
pub fn block_key(sum: &str) -> String {
    let (one, two) = layers(sum);
    format!("blocks/{one}/{two}/{sum}.blk")
}

fn layers(sum: &str) -> (&str, &str) {
    (sum.get(..2).unwrap_or_default(), sum.get(2..4).unwrap_or_default())
}

/// Go's `,string` of a text is that text in quotes, once more.
fn unquoted(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
}

/// Reads `volume.cfg`. The error says what is wrong with it.
pub fn volume(bytes: &[u8], name: &str) -> Result<Volume, String> {
    let text: VolumeText = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if text.name != name {
        return Err(format!("it is of the volume `{}`", text.name.escape_debug()));
    }
    let size = text
        .size
        .parse::<u64>()
        .ok()
        .filter(|size| (1..=LARGEST_VOLUME).contains(size));
    Ok(Volume {
        size: size.ok_or_else(|| format!("`{}` is no size of a volume", text.size.escape_debug()))?,
        backing_image: unquoted(&text.backing_image_name),
    })
}

/// Reads a `backup_*.cfg`; `None` when that backup was never finished. The error says what is wrong with it.
pub fn backup(bytes: &[u8], name: &str, volume: &str) -> Result<Option<Backup>, String> {
    let text: BackupText = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if text.name != name || text.volume_name != volume {
        let (name, volume) = (text.name.escape_debug(), text.volume_name.escape_debug());
        return Err(format!("it is backup `{name}` of the volume `{volume}`"));
    }
    if text.created_time.is_empty() {
        return Ok(None);
    }
    if !text.single_file.file_path.is_empty() {
        return Err("it is a single file of Longhorn's oldest kind, not blocks".into());
    }
    let method = match text.compression_method.as_str() {
        "none" => Method::None,
        "lz4" => Method::Lz4,
        // What was written before there was a choice.
        "gzip" | "" => Method::Gzip,
        other => return Err(format!("its blocks are packed by `{}`", other.escape_debug())),
    };
    let time = text.snapshot_created_at.parse().or_else(|_| text.created_time.parse());
    let parameters = text.parameters.unwrap_or_default();
    let block_size = block_size(parameters.get("backup-block-size").map(String::as_str))?;
    Ok(Some(Backup {
        time: time.map_err(|_| format!("`{}` is no time", text.created_time.escape_debug()))?,
        blocks: blocks(text.blocks.unwrap_or_default(), block_size)?,
        name: text.name,
        method,
        block_size,
    }))
}

fn blocks(all: Vec<BlockText>, size: u64) -> Result<BTreeMap<u64, String>, String> {
    let mut blocks = BTreeMap::new();
    for block in all {
        let sum = block.block_checksum;
        if sum.len() != 64 || !sum.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(format!("`{}` is no block's checksum", sum.escape_debug()));
        }
        if !block.offset.is_multiple_of(size) || block.offset >= LARGEST_VOLUME {
            return Err(format!("no block of {size} bytes begins at {}", block.offset));
        }
        if blocks.insert(block.offset / size, sum).is_some() {
            return Err(format!("two blocks begin at {}", block.offset));
        }
    }
    Ok(blocks)
}

/// A size as Longhorn gives it: bytes, or one of Kubernetes' quantities with a binary suffix.
fn block_size(text: Option<&str>) -> Result<u64, String> {
    let Some(text) = text.filter(|t| !t.is_empty() && *t != "0") else {
        return Ok(BLOCK);
    };
    let (digits, unit) = match (text.strip_suffix("Ki"), text.strip_suffix("Mi")) {
        (Some(digits), _) => (digits, 1 << 10),
        (_, Some(digits)) => (digits, 1 << 20),
        _ => (text, 1),
    };
    let size = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    size.filter(|size| size.is_multiple_of(4096) && (1..=LARGEST_BLOCK).contains(size))
        .ok_or_else(|| format!("`{}` is no size of a block", text.escape_debug()))
}

/// Which backup is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The newest.
    Latest,
    /// The newest whose snapshot was made by then.
    Until(Timestamp),
    /// This one.
    Named(&'a str),
}

impl<'a> Wanted<'a> {
    /// As the castle file says it: `latest`, a time, or a name.
    pub fn of(text: &'a str) -> Self {
        match (text, text.parse()) {
            ("latest", _) => Wanted::Latest,
            (_, Ok(time)) => Wanted::Until(time),
            _ => Wanted::Named(text),
        }
    }

    /// Whether it may be this one.
    pub fn fits(&self, backup: &Backup) -> bool {
        match self {
            Wanted::Latest => true,
            Wanted::Until(time) => backup.time <= *time,
            Wanted::Named(name) => backup.name == *name,
        }
    }
}

/// The largest configuration of a backup: that of 4 TiB in blocks of 2 MiB.
pub const LARGEST: u64 = 256 << 20;

/// The name of the backup whose configuration this key is.
pub fn backup_name(key: &str) -> Option<&str> {
    let file = key.rsplit('/').next()?;
    let name = file.strip_prefix("backup_")?.strip_suffix(".cfg")?;
    is_name(name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/longhorn/store/");

    fn real(volume: &str, file: &str) -> Vec<u8> {
        std::fs::read(format!("{STORE}{}{file}", folder("", volume))).unwrap()
    }

    #[test]
    fn real_files_are_read() {
        let seen = volume(&real("pvc-lz4", "volume.cfg"), "pvc-lz4").unwrap();
        assert_eq!((seen.size, seen.backing_image.as_str()), (12 << 20, ""));
        let of = |volume, name: &str, method| {
            let seen = backup(&real(volume, &format!("backups/backup_{name}.cfg")), name, volume)
                .unwrap()
                .unwrap();
            assert_eq!((seen.method, seen.name.as_str()), (method, name));
            (seen.block_size, seen.time.to_string())
        };
        assert_eq!(
            of("pvc-lz4", "backup-2", Method::Lz4),
            (2 << 20, "2026-11-22T03:00:00Z".into())
        );
        assert_eq!(of("pvc-gzip", "backup-0", Method::Gzip).0, 2 << 20);
        assert_eq!(of("pvc-none", "backup-tiny", Method::None).0, 65536);
        assert_eq!(of("pvc-small-blocks", "backup-0", Method::Lz4).0, 1 << 20);
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let text = String::from_utf8(real("pvc-lz4", "backups/backup_backup-0.cfg")).unwrap();
        let reason = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            backup(text.replacen(from, to, 1).as_bytes(), "backup-0", "pvc-lz4").unwrap_err()
        };
        let volume_text = String::from_utf8(real("pvc-lz4", "volume.cfg")).unwrap();
        insta::assert_snapshot!(
            [
                backup(b"{", "backup-0", "pvc-lz4").unwrap_err(),
                reason("pvc-lz4", "pvc-other"),
                reason("\"lz4\"", "\"zstd\""),
                reason("\"Offset\":4194304", "\"Offset\":4194305"),
                reason("\"Offset\":4194304", "\"Offset\":0"),
                reason("\"BlockChecksum\":\"", "\"BlockChecksum\":\"../"),
                reason("\"Parameters\":{}", "\"Parameters\":{\"backup-block-size\":\"1Ti\"}"),
                reason("\"FilePath\":\"\"", "\"FilePath\":\"x\""),
                volume(volume_text.replace("12582912", "-1").as_bytes(), "pvc-lz4").unwrap_err(),
                volume(volume_text.as_bytes(), "pvc-other").unwrap_err(),
            ]
            .join("\n")
        );
        let unfinished = serde_json::from_str::<serde_json::Value>(&text).map(|mut v| {
            v["CreatedTime"] = "".into();
            v.to_string()
        });
        assert_eq!(backup(unfinished.unwrap().as_bytes(), "backup-0", "pvc-lz4"), Ok(None));
    }

    #[test]
    fn a_name_never_leaves_its_folder() {
        assert!(is_name("pvc-6f0e2b1c-7d43") && is_name("a.b_c"));
        for wrong in ["", "../x", "a/b", ".x", "a b"] {
            assert!(!is_name(wrong), "{wrong}");
        }
        assert_eq!(Wanted::of("latest"), Wanted::Latest);
        assert!(matches!(Wanted::of("2026-11-21T03:00:00Z"), Wanted::Until(_)));
        assert_eq!(Wanted::of("backup-0"), Wanted::Named("backup-0"));
    }
}
