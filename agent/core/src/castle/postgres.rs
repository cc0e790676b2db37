//! A treasure that is a PostgreSQL database: a StatefulSet of the repository runs it, or an operator.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    DatabaseOperator, SecretRef,
    check::{bad, ensure},
};
use crate::explain::Explained;

/// A pgBackRest repository on S3, and the database that comes out of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Postgres {
    /// Bucket.
    pub bucket: String,
    /// The repository's path in the bucket (pgBackRest's `repo1-path`), without slashes at its ends. A reborn database archives to
    /// a folder of its own below it, and the next rebirth finds it there: this field need never be changed.
    pub prefix: String,
    /// AWS region.
    pub region: String,
    /// Endpoint when it is not AWS.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// Access key id. It must be allowed to write below `prefix`.
    pub access_key_id: SecretRef,
    /// Secret access key.
    pub secret_access_key: SecretRef,
    /// Passphrase of the repository, when it is encrypted (pgBackRest's `repo1-cipher-pass`, aes-256-cbc).
    #[serde(default)]
    pub cipher_pass: Option<SecretRef>,
    /// The operator that runs the database; without it a StatefulSet of the repository does. With it the treasure's `claim` is the name of
    /// its `PostgresCluster` or `Cluster`, the operator restores, and its resource gets the source by a patch of Flux. Pods that wait for
    /// it say so by the annotation `skykeep.dev/waits-for: NAMESPACE.NAME`.
    #[serde(default)]
    pub operator: Option<DatabaseOperator>,
    /// With an operator: the Secrets that applications log in with. Each must work before the treasure counts as back; the `checks` are asked
    /// with the first. When empty: the one that the operator makes for the application.
    #[serde(default)]
    pub logins: Vec<String>,
    /// pgBackRest's name of the database cluster (`db` with Crunchy); with CloudNativePG the server's name in the object store.
    pub stanza: String,
    /// The database's own image with its tag, as the repository's StatefulSet names it: it holds postgres and pgbackrest. It must be in castle.lock.
    /// An operator brings its own: then it is left out.
    #[serde(default)]
    pub image: String,
    /// The number of the user that owns the data folder and runs the database in that image.
    #[serde(default = "user")]
    pub user: u32,
    /// The data folder, inside the claim. Left out with an operator.
    #[serde(default)]
    pub data_path: String,
    /// `latest`, or the point in time to come back to, RFC 3339.
    #[serde(default = "super::treasure::latest")]
    pub target: String,
    /// Questions that the restored database must be able to answer before anybody may use it.
    #[serde(default)]
    pub checks: Vec<PostgresCheck>,
    /// Roles that applications log in with, and the passwords they will use: after the restore each one works.
    #[serde(default)]
    pub roles: BTreeMap<String, SecretRef>,
}

/// A question to the restored database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresCheck {
    /// The database that is asked.
    pub database: String,
    /// One SQL query. It runs in a transaction that may not write.
    pub query: String,
    /// The answer, as `psql -At` prints it. Without it the query has to succeed, and its answer is in the report.
    #[serde(default)]
    pub expected: Option<String>,
}

fn user() -> u32 {
    999
}

impl Postgres {
    /// Every secret it refers to.
    pub(super) fn secret_refs(&self) -> impl Iterator<Item = &SecretRef> {
        [&self.access_key_id, &self.secret_access_key]
            .into_iter()
            .chain(&self.cipher_pass)
            .chain(self.roles.values())
    }

    /// What the types alone can't say.
    pub(super) fn check(&self) -> Result<(), Explained> {
        let inside = |path: &str| {
            !path.is_empty()
                && path
                    .split('/')
                    .all(|part| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_whitespace))
        };
        self.shape()?;
        ensure(
            self.operator.is_some() || inside(&self.data_path),
            "treasures.postgres.dataPath",
            format!("`{}` is no folder inside the claim", self.data_path),
            "Write it relative to the claim's root, for example `pgdata`: beside it lie `lost+found` and our own notes.",
        )?;
        ensure(
            inside(&self.prefix) || self.operator == Some(DatabaseOperator::CloudNativePg) && self.prefix.is_empty(),
            "treasures.postgres.prefix",
            format!("`{}` is no plain path", self.prefix),
            "Write pgBackRest's repo1-path, or barman-cloud's destinationPath without the bucket, without slashes at its ends.",
        )?;
        ensure(
            self.user != 0,
            "treasures.postgres.user",
            "PostgreSQL refuses to run as root",
            "Write the number of the image's own user: `id -u postgres` in it (999 in Docker's official image).",
        )?;
        ensure(
            self.endpoint
                .as_ref()
                .is_none_or(|e| e.scheme() == "https" && e.path() == "/"),
            "treasures.postgres.endpoint",
            "pgBackRest speaks HTTPS only, to a host and a port",
            "Write `https://<host>[:<port>]`.",
        )?;
        let line = |text: &str| !text.is_empty() && !text.contains(['\n', '\r', '\0']);
        ensure(
            !self.stanza.is_empty()
                && self
                    .stanza
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)),
            "treasures.postgres.stanza",
            format!("`{}` is no stanza's name", self.stanza),
            "See it with `pgbackrest info`.",
        )?;
        ensure(
            self.operator.is_some()
                || self
                    .image
                    .rsplit_once(':')
                    .is_some_and(|(name, tag)| name.contains('/') && !tag.contains('/')),
            "treasures.postgres.image",
            format!("`{}` is no full name with a tag", self.image),
            "Write for example `docker.io/library/postgres:17`, then run `skykeep lock`.",
        )?;
        ensure(
            self.roles.keys().all(|role| line(role)) && self.checks.iter().all(|c| line(&c.database)),
            "treasures.postgres",
            "a role or a database has no name, or a line break in it",
            "Write the names as `\\du` and `\\l` of psql show them.",
        )?;
        let asked: BTreeSet<_> = self.checks.iter().map(|c| (&c.database, &c.query)).collect();
        ensure(
            asked.len() == self.checks.len() && self.checks.iter().all(|c| !c.query.trim().is_empty()),
            "treasures.postgres.checks",
            "a query is empty or asked twice",
            "Ask each question once.",
        )?;
        self.point().map(|_| ())
    }

    /// What an operator does by itself is not said here as well, and the other way round.
    fn shape(&self) -> Result<(), Explained> {
        let Some(operator) = self.operator else {
            return ensure(
                self.logins.is_empty(),
                "treasures.postgres.logins",
                "without an operator `roles` says who logs in",
                "Take the field out.",
            );
        };
        ensure(
            self.image.is_empty() && self.data_path.is_empty() && self.roles.is_empty(),
            "treasures.postgres",
            "an operator brings the image, the data folder and the roles' passwords by itself",
            "Take `image`, `dataPath` and `roles` out; `logins` names the Secrets that must work.",
        )?;
        ensure(
            operator == DatabaseOperator::Crunchy || self.cipher_pass.is_none(),
            "treasures.postgres.cipherPass",
            "barman-cloud has no repository password",
            "Take the field out.",
        )
    }

    /// The point in time to come back to; `None` for the last one that was archived.
    pub fn point(&self) -> Result<Option<jiff::Timestamp>, Explained> {
        if self.target == "latest" {
            return Ok(None);
        }
        self.target.parse().map(Some).map_err(|e| {
            bad(
                "treasures.postgres.target",
                format!("`{}` is no point in time: {e}", self.target),
                "Write `latest`, or a time with its zone such as 2026-11-30T08:15:00Z.",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::castle::Castle;

    const GOOD: &str = include_str!("../../../../tests/castle/castle.yaml");

    fn with(from: &str, to: &str) -> Result<Castle, crate::Explained> {
        assert!(GOOD.contains(from), "{from}");
        Castle::parse(&GOOD.replace(from, to))
    }

    #[test]
    fn a_treasure_has_exactly_one_backup() {
        let both = "    restic: {bucket: b, region: r, accessKeyId: \"vault:a\", secretAccessKey: \"vault:b\", password: \
                    \"vault:c\", path: /}\n    postgres:\n";
        insta::assert_snapshot!(with("    postgres:\n", both).unwrap_err());
        let neither = "treasures:\n  - {name: lost, namespace: web, claim: lost}\n";
        insta::assert_snapshot!(with("treasures:\n", neither).unwrap_err());
    }

    #[test]
    fn an_operator_brings_image_folder_and_roles() {
        let plain = GOOD.split_once("      stanza: main\n").unwrap();
        let after = plain.1.split_once("      checks:\n").unwrap().1;
        let after = after.replace("      roles:\n        shop: infisical:SHOP_DATABASE_PASSWORD\n", "");
        let with =
            |fields: &str| Castle::parse(&format!("{}      stanza: db\n{fields}      checks:\n{after}", plain.0));
        let castle = with("      operator: cloudnative-pg\n").unwrap();
        let database = castle.treasures.iter().find_map(|t| t.postgres.as_ref()).unwrap();
        assert_eq!(database.operator, Some(crate::castle::DatabaseOperator::CloudNativePg));
        assert!(with("      operator: crunchy\n      logins: [home-db-pguser-shop]\n").is_ok());
        insta::assert_snapshot!(with("      operator: crunchy\n      dataPath: pgdata\n").unwrap_err());
        assert!(with("").is_err() && with("      logins: [x]\n").is_err());
        assert!(with("      operator: cloudnative-pg\n      cipherPass: \"vault:p\"\n").is_err());
    }

    #[test]
    fn what_can_not_be_a_database_is_refused() {
        insta::assert_snapshot!(with("dataPath: pgdata", "dataPath: /pgdata").unwrap_err());
        insta::assert_snapshot!(with("dataPath: pgdata", "dataPath: pgdata\n      target: yesterday").unwrap_err());
        assert!(with("dataPath: pgdata", "dataPath: ../pgdata").is_err());
        assert!(with("dataPath: pgdata", "dataPath: pgdata\n      user: 0").is_err());
        assert!(with("docker.io/rossi/postgres:15", "postgres").is_err());
        assert!(with("stanza: main", "stanza: \"ma in\"").is_err());
        let castle = with(
            "dataPath: pgdata",
            "dataPath: pgdata\n      target: 2026-11-30T08:15:00+01:00",
        )
        .unwrap();
        let database = castle.treasures.iter().find_map(|t| t.postgres.as_ref()).unwrap();
        assert_eq!(database.point().unwrap().unwrap().to_string(), "2026-11-30T07:15:00Z");
    }
}
