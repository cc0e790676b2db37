//! pgBackRest's `backup.info`: which backups a repository has. Bytes that somebody else wrote; read, never trusted.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::wal::Segment;

/// An encrypted file begins like OpenSSL's.
const ENCRYPTED: &[u8] = b"Salted__";

/// What `backup.info` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Info {
    /// Its backups, in the order of their labels.
    Clear(Vec<Backup>),
    /// The repository is encrypted.
    Encrypted,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its label: `20261130-030000F`, or with a second part for one that builds on it.
    pub label: String,
    /// `full`, `diff` or `incr`.
    pub kind: String,
    /// When it was finished, seconds since 1970.
    pub stop: i64,
    /// The first segment that it needs.
    pub first_wal: Segment,
    /// The version of the database, for example `15` or `9.6`.
    pub version: String,
    /// The number of that database in the repository: one that was upgraded has two.
    pub database: u64,
    /// The bytes of the database.
    pub size: u64,
    /// Whether pages with wrong checksums were seen while it was made.
    pub with_errors: bool,
}

impl Backup {
    /// The folder of its WAL below `archive/<stanza>/`.
    pub fn archive(&self) -> String {
        format!("{}-{}", self.version, self.database)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    backup_archive_start: Option<String>,
    #[serde(default)]
    backup_error: bool,
    backup_timestamp_stop: i64,
    backup_type: String,
    #[serde(default)]
    backup_info_size: u64,
    db_id: u64,
    #[serde(default = "yes")]
    option_online: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Database {
    db_version: String,
}

/// Reads the file. The error says what is wrong with it.
pub fn parse(bytes: &[u8]) -> Result<Info, String> {
    if bytes.starts_with(ENCRYPTED) {
        return Ok(Info::Encrypted);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    let (mut section, mut format) = ("", "");
    let mut entries: BTreeMap<&str, Entry> = BTreeMap::new();
    let mut databases: BTreeMap<&str, Database> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let wrong = |e: serde_json::Error| format!("line {}: {e}", number + 1);
        match section {
            "backrest" if key == "backrest-format" => format = value,
            "backup:current" => {
                entries.insert(key, serde_json::from_str(value).map_err(wrong)?);
            }
            "db:history" => {
                databases.insert(key, serde_json::from_str(value).map_err(wrong)?);
            }
            _ => {}
        }
    }
    if format != "5" {
        return Err(format!("it has format `{}`, 5 is read here", format.escape_debug()));
    }
    let backups = entries
        .into_iter()
        .filter(|(_, e)| e.option_online)
        .map(|(label, entry)| {
            let database = databases
                .get(entry.db_id.to_string().as_str())
                .ok_or_else(|| format!("backup {label} is of database {}, which it does not know", entry.db_id))?;
            let first_wal = entry.backup_archive_start.as_deref().and_then(Segment::parse);
            Ok(Backup {
                first_wal: first_wal.ok_or_else(|| format!("backup {label} names no WAL segment"))?,
                label: label.to_owned(),
                kind: entry.backup_type,
                stop: entry.backup_timestamp_stop,
                version: plain(&database.db_version)?,
                database: entry.db_id,
                size: entry.backup_info_size,
                with_errors: entry.backup_error,
            })
        });
    Ok(Info::Clear(backups.collect::<Result<_, String>>()?))
}

/// It becomes part of a key: digits and points only.
fn plain(version: &str) -> Result<String, String> {
    let plain = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain
        .then(|| version.to_owned())
        .ok_or_else(|| format!("`{}` is no version of PostgreSQL", version.escape_debug()))
}

/// The backup that a restore begins from: the newest one that was finished by then.
pub fn choose(backups: &[Backup], not_after: Option<i64>) -> Option<&Backup> {
    let usable = backups.iter().filter(|b| not_after.is_none_or(|limit| b.stop <= limit));
    usable.max_by_key(|b| (b.stop, &b.label))
}

/// The major version that an image's tag begins with: `15`, `15.8-bookworm`; `None` when it says nothing.
pub fn major_of_tag(image: &str) -> Option<&str> {
    let tag = image.rsplit_once(':')?.1;
    let digits = tag
        .find(|c: char| !c.is_ascii_digit())
        .map_or(Some(tag), |end| tag.get(..end))?;
    matches!(digits.parse(), Ok(10..=99)).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &[u8] = include_bytes!("../../tests/pgbackrest/backup.info");

    fn real() -> Vec<Backup> {
        match parse(REAL).unwrap() {
            Info::Clear(backups) => backups,
            Info::Encrypted => panic!("it is in the clear"),
        }
    }

    #[test]
    fn a_real_file_is_read() {
        insta::assert_debug_snapshot!(real());
    }

    #[test]
    fn the_newest_backup_before_the_point_is_chosen() {
        let backups = real();
        assert_eq!(choose(&backups, None).unwrap().kind, "incr");
        assert_eq!(choose(&backups, Some(1_796_067_676)).unwrap().kind, "full");
        assert_eq!(choose(&backups, Some(1_796_067_675)), None);
        assert_eq!(backups[0].archive(), "15-1");
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        assert_eq!(parse(b"Salted__xyz").unwrap(), Info::Encrypted);
        let text = String::from_utf8(REAL.to_vec()).unwrap();
        let reason = |from: &str, to: &str| parse(text.replace(from, to).as_bytes()).unwrap_err();
        insta::assert_snapshot!(
            [
                parse(b"").unwrap_err(),
                parse(b"\xff").unwrap_err(),
                reason("backrest-format=5", "backrest-format=6"),
                reason("\"db-version\":\"15\"", "\"db-version\":\"../15\""),
                reason("\n1={", "\n2={"),
                reason("\"000000010000000000000005\"", "\"5\""),
                reason("\"full\"", "full"),
            ]
            .join("\n")
        );
    }

    #[test]
    fn a_backup_of_a_stopped_database_is_no_beginning_for_wal() {
        let text = String::from_utf8(REAL.to_vec()).unwrap();
        let offline = text.replace("\"option-online\":true", "\"option-online\":false");
        assert_eq!(parse(offline.as_bytes()).unwrap(), Info::Clear(Vec::new()));
    }

    #[test]
    fn a_tag_tells_its_version_or_nothing() {
        assert_eq!(major_of_tag("docker.io/library/postgres:17.2-bookworm"), Some("17"));
        assert_eq!(major_of_tag("docker.io/rossi/postgres:15"), Some("15"));
        for silent in [
            "docker.io/library/postgres:latest",
            "x/postgres:ubi8-15.4",
            "x/postgres:9.6",
            "x/y:20240101",
        ] {
            assert_eq!(major_of_tag(silent), None, "{silent}");
        }
    }
}
