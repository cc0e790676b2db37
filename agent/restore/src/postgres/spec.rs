//! What the job in the cluster is told, and what it tells in the end.

use serde::{Deserialize, Serialize};
use skykeep_core::castle::PostgresCheck;

/// What the job has to do. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Tells this restore from every other: the path that the database will archive to.
    pub attempt: String,
    /// pgBackRest's name of the database cluster.
    pub stanza: String,
    /// The backup's version.
    pub version: String,
    /// The image, for messages.
    pub image: String,
    /// The data folder inside the claim.
    pub folder: String,
    /// The point in time as pgBackRest wants it; `None` for the end of the archive.
    pub target: Option<String>,
    /// What the database is asked.
    pub checks: Vec<PostgresCheck>,
    /// Roles; the password of the first is in the file `role-0`, and so on.
    pub roles: Vec<String>,
    /// Whether what the data folder holds goes first: a second restore that its owner asked for by name.
    pub replace: bool,
    /// How long all of it may take, seconds.
    pub limit: u64,
}

/// A database that came back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The backup that it began from.
    pub backup: String,
    /// The newest backup, when it was damaged and this one is older: the WAL made up for it.
    #[serde(default)]
    pub damaged: Option<String>,
    /// The last transaction that was replayed, as the database says it; empty when there was none after the backup.
    pub last_transaction: String,
    /// The timeline it is on now.
    pub timeline: u32,
    /// The database's bytes.
    pub bytes: u64,
    /// The answers to the checks, in their order.
    pub answers: Vec<String>,
    /// Whether `pg_amcheck` looked at every table and index.
    pub amcheck: bool,
    /// Roles whose password had to be set.
    pub roles_set: Vec<String>,
    /// The first backup on the new path.
    pub base: String,
    /// The last segment there.
    pub last_wal: String,
    /// Why the database may not be able to archive although the job was.
    #[serde(default)]
    pub warning: Option<String>,
}

impl Outcome {
    /// For the report.
    pub fn say(&self) -> String {
        let until = match self.last_transaction.as_str() {
            "" => String::new(),
            at => format!(", transactions until {at}"),
        };
        let damaged = match &self.damaged {
            Some(label) => format!(" (THE NEWEST, {label}, IS DAMAGED: make a new one and see why)"),
            None => String::new(),
        };
        let looked = match self.amcheck {
            true => ", tables and indexes checked",
            false => "",
        };
        let set = match self.roles_set.as_slice() {
            [] => String::new(),
            roles => format!(", password of {} set", roles.join(", ")),
        };
        let warning = match &self.warning {
            Some(why) => format!("; LOOK AT ITS ARCHIVE: pgbackrest of its image does not find that by itself ({why})"),
            None => String::new(),
        };
        format!(
            "backup {}{damaged}{until}, {} bytes{looked}, {} questions answered{set}; archives anew from backup {}{warning}",
            self.backup,
            self.bytes,
            self.answers.len(),
            self.base
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_came_back_and_what_to_look_at() {
        let mut outcome = Outcome {
            backup: "20261130-203103F".into(),
            last_transaction: "2026-11-30 20:31:06+00".into(),
            timeline: 2,
            bytes: 31_065_645,
            answers: vec!["t".into()],
            amcheck: true,
            roles_set: vec!["shop".into()],
            base: "20261130-203114F".into(),
            ..Outcome::default()
        };
        let good = outcome.say();
        outcome.damaged = Some("20261130-204000F".into());
        let older = outcome.say();
        outcome.damaged = None;
        outcome.warning = Some("ERROR: [031]: option 'repo1-path' cannot be set multiple times".into());
        insta::assert_snapshot!(format!("{good}\n{older}\n{}", outcome.say()));
    }
}
