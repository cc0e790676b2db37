//! Operators that run PostgreSQL databases by a custom resource.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The annotation of a pod that waits for treasures it does not mount, `<namespace>.<claim>` each, separated by spaces.
pub const WAITS_FOR: &str = "skykeep.dev/waits-for";

/// Who runs a database by a custom resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseOperator {
    /// Crunchy's PGO, version 5: `PostgresCluster`, backed up by pgBackRest.
    Crunchy,
    /// CloudNativePG: `Cluster`, backed up by barman-cloud, either by itself (`backup.barmanObjectStore`) or by the Barman Cloud plugin.
    #[serde(rename = "cloudnative-pg")]
    CloudNativePg,
}

impl DatabaseOperator {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Crunchy, Self::CloudNativePg];

    /// The API group of its resource.
    pub fn group(self) -> &'static str {
        match self {
            Self::Crunchy => "postgres-operator.crunchydata.com",
            Self::CloudNativePg => "postgresql.cnpg.io",
        }
    }

    /// The API version of its resource.
    pub fn version(self) -> &'static str {
        match self {
            Self::Crunchy => "v1beta1",
            Self::CloudNativePg => "v1",
        }
    }

    /// The kind of its resource.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Crunchy => "PostgresCluster",
            Self::CloudNativePg => "Cluster",
        }
    }

    /// The word of the castle file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Crunchy => "crunchy",
            Self::CloudNativePg => "cloudnative-pg",
        }
    }
}
