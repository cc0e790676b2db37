//! A treasure that Longhorn has backed up.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{SecretRef, check::ensure};
use crate::explain::Explained;

/// A volume in a Longhorn backup target on S3. It is read without Longhorn; its files go into the claim, whatever storage that has.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Longhorn {
    /// Bucket: what stands before the `@` in Longhorn's backupTargetURL.
    pub bucket: String,
    /// The path in the backupTargetURL, without slashes at its ends.
    #[serde(default)]
    pub prefix: String,
    /// AWS region: what stands behind the `@`.
    pub region: String,
    /// Endpoint when it is not AWS (Longhorn's `AWS_ENDPOINTS`).
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// Access key id. It need only read.
    pub access_key_id: SecretRef,
    /// Secret access key.
    pub secret_access_key: SecretRef,
    /// Longhorn's name of the volume, often `pvc-<uid>`.
    pub volume: String,
    /// `latest`, the name of a backup, or a point in time (RFC 3339): the newest backup of then.
    #[serde(default = "super::treasure::latest")]
    pub backup: String,
}

impl Longhorn {
    /// Every secret it refers to.
    pub(super) fn secret_refs(&self) -> impl Iterator<Item = &SecretRef> {
        [&self.access_key_id, &self.secret_access_key].into_iter()
    }

    /// What the types alone can't say.
    pub(super) fn check(&self) -> Result<(), Explained> {
        let name = |text: &str| {
            (1..=253).contains(&text.len())
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        };
        ensure(
            name(&self.volume),
            "treasures.longhorn.volume",
            format!("`{}` is no volume's name", self.volume),
            "Write it as Longhorn's page of backups shows it, for example `pvc-6f0e2b1c-7d43-4c5a-9e21-0c5d8b7a4f10`.",
        )?;
        ensure(
            name(&self.backup) || self.backup.parse::<jiff::Timestamp>().is_ok(),
            "treasures.longhorn.backup",
            format!("`{}` is neither a backup's name nor a time", self.backup),
            "Write `latest`, a name such as `backup-0123456789abcdef`, or a time with its zone such as 2026-11-30T08:15:00Z.",
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::castle::{Backup, Castle};

    const GOOD: &str = include_str!("../../../../tests/castle/castle.yaml");

    fn with(fields: &str) -> Result<Castle, crate::Explained> {
        let treasure = format!(
            "treasures:\n  - name: old\n    namespace: web\n    claim: old\n    longhorn: {{bucket: b, region: r, accessKeyId: \"vault:a\", \
             secretAccessKey: \"vault:b\", {fields}}}\n"
        );
        Castle::parse(&GOOD.replace("treasures:\n", &treasure))
    }

    #[test]
    fn a_volume_is_named_and_its_backup_may_be() {
        let castle = with("volume: pvc-1").unwrap();
        let Some(Backup::Longhorn(longhorn)) = castle.treasures[0].backup() else {
            panic!("another backup");
        };
        assert_eq!(longhorn.backup, "latest");
        assert!(castle.secret_refs().iter().any(|r| r.to_string() == "vault:b"));
        assert!(with("volume: pvc-1, backup: backup-1a").is_ok());
        assert!(with("volume: pvc-1, backup: \"2026-11-30T08:15:00+01:00\"").is_ok());
        insta::assert_snapshot!(with("volume: ../pvc-1").unwrap_err());
        insta::assert_snapshot!(with("volume: pvc-1, backup: last week").unwrap_err());
    }
}
