//! What can go wrong while a database comes back.

use skykeep_core::Explain;

/// Errors of databases and their repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The repository can't be used.
    Repository {
        /// `bucket/path`.
        place: String,
        /// Why.
        why: String,
    },
    /// No backup was finished by the wanted point in time.
    TooEarly {
        /// `bucket/path`.
        place: String,
        /// The wanted point.
        wanted: String,
        /// When the oldest backup was finished.
        oldest: String,
    },
    /// The image is not of the version that the backup is of.
    Version {
        /// The image, or what was found in it.
        image: String,
        /// The backup's version.
        version: String,
    },
    /// A piece of the archive is missing.
    Gap {
        /// `bucket/path`.
        place: String,
        /// The last segment before it.
        after: String,
        /// The last segment that is there.
        last: String,
    },
    /// The database came back, but not to the end of the archive.
    Short {
        /// The segment it came to.
        reached: String,
        /// The last segment that is there.
        last: String,
    },
    /// A program of the image failed.
    Program {
        /// What was being done.
        doing: String,
        /// Its last words.
        why: String,
    },
    /// Pages or indexes of the restored database are damaged.
    Corrupt {
        /// What `pg_amcheck` says.
        why: String,
    },
    /// A check's answer is another one.
    Answer {
        /// The database.
        database: String,
        /// The query.
        query: String,
        /// What was expected.
        expected: String,
        /// What came.
        answer: String,
    },
    /// A role can't log in with the password its application will use.
    Role {
        /// The role.
        role: String,
        /// Why.
        why: String,
    },
}

impl Explain for Fault {
    fn what(&self) -> String {
        match self {
            Fault::Repository { place, .. } => format!("The pgBackRest repository in {place} can't be used"),
            Fault::TooEarly { place, wanted, .. } => {
                format!("The pgBackRest repository in {place} can't bring back {wanted}")
            }
            Fault::Version { image, .. } => format!("{image} does not fit the backup"),
            Fault::Gap { place, .. } => format!("WAL is missing in {place}"),
            Fault::Short { .. } => "The database did not come back to the end of its archive".into(),
            Fault::Program { doing, .. } => format!("To {doing} failed"),
            Fault::Corrupt { .. } => "The restored database is damaged".into(),
            Fault::Answer { database, query, .. } => {
                format!("The restored database `{database}` does not answer as expected: {query}")
            }
            Fault::Role { role, .. } => format!("The role `{role}` can't log in with the password of its application"),
        }
    }

    fn why(&self) -> String {
        match self {
            Fault::Repository { why, .. }
            | Fault::Program { why, .. }
            | Fault::Corrupt { why }
            | Fault::Role { why, .. } => why.clone(),
            Fault::TooEarly { oldest, .. } => format!("the oldest backup was finished at {oldest}"),
            Fault::Version { version, .. } => format!("the backup is of PostgreSQL {version}"),
            Fault::Gap { after, last, .. } => format!(
                "the segment after {after} is not there although the archive goes on to {last}: what was written from there \
                 on can't be replayed"
            ),
            Fault::Short { reached, last } => format!("it came to segment {reached}, the archive goes on to {last}"),
            Fault::Answer { expected, answer, .. } => format!("it says `{answer}` instead of `{expected}`"),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Fault::Repository { .. } => {
                "Check bucket, prefix, stanza and keys in castle.yaml; try `pgbackrest info` with the same.".into()
            }
            Fault::TooEarly { .. } => "Mend `target` in castle.yaml; `pgbackrest info` shows what there is.".into(),
            Fault::Version { .. } => {
                "Name an image of the same major version, 12 or newer; upgrade the database when it is back.".into()
            }
            Fault::Gap { .. } | Fault::Short { .. } => {
                "Bring the missing segments back (another copy of the bucket, the old machine), or set `target` to a time \
                 before them, and start again."
                    .into()
            }
            Fault::Program { .. } => {
                "Its applications stay down and the repository is untouched. Mend the cause and start again.".into()
            }
            Fault::Corrupt { .. } => {
                "Its applications stay down. Set `target` to a time when it was whole, and restore it again by name.".into()
            }
            Fault::Answer { .. } => {
                "Its applications stay down. Mend the check, or `target`, and start again.".into()
            }
            Fault::Role { .. } => "Mend `roles` in castle.yaml or the secret it names, and start again.".into(),
        }
    }

    fn is_transient(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_says_what_why_and_what_to_do() {
        let s = str::to_owned;
        let all = [
            Fault::Repository {
                place: s("b/p"),
                why: s("it has no object `backup/main/backup.info`"),
            },
            Fault::TooEarly {
                place: s("b/p"),
                wanted: s("2020-01-01T00:00:00Z"),
                oldest: s("2026-11-30T03:00:00Z"),
            },
            Fault::Version {
                image: s("docker.io/library/postgres:17"),
                version: s("15"),
            },
            Fault::Gap {
                place: s("b/p"),
                after: s("000000010000000000000004"),
                last: s("000000010000000000000009"),
            },
            Fault::Short {
                reached: s("000000010000000000000004"),
                last: s("000000010000000000000009"),
            },
            Fault::Program {
                doing: s("restore the base backup"),
                why: s("ERROR: [041]"),
            },
            Fault::Corrupt {
                why: s("heap table \"shop.public.orders\", block 3"),
            },
            Fault::Answer {
                database: s("shop"),
                query: s("select 1"),
                expected: s("1"),
                answer: s("2"),
            },
            Fault::Role {
                role: s("app"),
                why: s("there is no such role"),
            },
        ];
        let texts: Vec<String> = all
            .iter()
            .map(|f| format!("what:  {}\nwhy:   {}\ndo:    {}", f.what(), f.why(), f.remedy()))
            .collect();
        insta::assert_snapshot!(texts.join("\n\n"));
    }
}
