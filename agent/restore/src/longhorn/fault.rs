//! What can be wrong with a Longhorn backup.

use skykeep_aws::AwsError;
use skykeep_core::Explain;

/// Errors of a Longhorn backup.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The object store refused.
    Store(AwsError),
    /// The backup target knows no such volume.
    NoVolume {
        /// `bucket/prefix`.
        place: String,
        /// The volume.
        volume: String,
    },
    /// The volume has no such backup.
    NoBackup {
        /// The volume and where it is.
        place: String,
        /// What was looked for.
        wanted: String,
        /// What there is instead.
        instead: String,
    },
    /// A configuration can't be read.
    Config {
        /// Its key.
        key: String,
        /// Why.
        why: String,
    },
    /// A block is not there, or not what its name says.
    Block {
        /// Its key.
        key: String,
        /// Why.
        why: String,
    },
    /// The backup holds something that is not read here.
    Unreadable {
        /// The volume.
        volume: String,
        /// What it is.
        why: String,
        /// What its owner can do.
        remedy: &'static str,
    },
    /// The file system in it is damaged.
    Damaged {
        /// The volume.
        volume: String,
        /// What is wrong.
        why: String,
    },
}

impl Fault {
    /// Whether another backup of the volume may do better.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Fault::Config { .. } | Fault::Block { .. } | Fault::Damaged { .. })
    }
}

impl From<AwsError> for Fault {
    fn from(e: AwsError) -> Self {
        Fault::Store(e)
    }
}

impl Explain for Fault {
    fn what(&self) -> String {
        match self {
            Fault::Store(e) => e.what(),
            Fault::NoVolume { place, volume } => format!("The Longhorn backups in {place} know no volume `{volume}`"),
            Fault::NoBackup { place, wanted, .. } => format!("The Longhorn volume {place} has no {wanted}"),
            Fault::Config { key, .. } => format!("The Longhorn backup's {key} can't be read"),
            Fault::Block { key, .. } => format!("A block of the Longhorn backup is damaged: {key}"),
            Fault::Unreadable { volume, .. } => format!("The Longhorn backup of `{volume}` can't be restored here"),
            Fault::Damaged { volume, .. } => format!("The file system in the Longhorn backup of `{volume}` is damaged"),
        }
    }

    fn why(&self) -> String {
        match self {
            Fault::Store(e) => e.why(),
            Fault::NoVolume { .. } => "there is no volume.cfg of that name".into(),
            Fault::NoBackup { instead, .. } => instead.clone(),
            Fault::Config { why, .. }
            | Fault::Block { why, .. }
            | Fault::Unreadable { why, .. }
            | Fault::Damaged { why, .. } => why.clone(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Fault::Store(e) => e.remedy(),
            Fault::NoVolume { .. } => "Write bucket and prefix as in Longhorn's backupTargetURL, and the volume's name as Longhorn's page \
                 `Backup` shows it (often pvc-<uid>)."
                .into(),
            Fault::NoBackup { .. } => "Name one of those in castle.yaml, or write `latest`.".into(),
            Fault::Config { .. } | Fault::Block { .. } => {
                "Its applications stay down. An older backup of the volume may still be whole: name it as `backup` in castle.yaml.".into()
            }
            Fault::Unreadable { remedy, .. } => (*remedy).into(),
            Fault::Damaged { .. } => {
                "An older backup may be whole: name it as `backup` in castle.yaml. Else restore it with Longhorn and run e2fsck.".into()
            }
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, Fault::Store(e) if e.is_transient())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_says_what_why_and_what_to_do() {
        let (place, volume, key) = ("rossi/longhorn".to_owned(), "pvc-1".to_owned(), "a/b.blk".to_owned());
        let why = "it is missing".to_owned();
        let all = [
            Fault::NoVolume {
                place: place.clone(),
                volume: volume.clone(),
            },
            Fault::NoBackup {
                place: format!("`{volume}` in {place}"),
                wanted: "backup `x`".into(),
                instead: "there are a, b".into(),
            },
            Fault::Config {
                key: key.clone(),
                why: why.clone(),
            },
            Fault::Block { key, why: why.clone() },
            super::super::ext4::kind_of(&volume, b"LUKS\xba\xbe").unwrap_err(),
            super::super::ext4::kind_of(&volume, b"XFSB").unwrap_err(),
            super::super::ext4::kind_of(&volume, &[7; 2048]).unwrap_err(),
            Fault::Damaged { volume, why },
        ];
        let texts: Vec<String> = all
            .iter()
            .map(|f| format!("{}\n{}\n{}", f.what(), f.why(), f.remedy()))
            .collect();
        insta::assert_snapshot!(texts.join("\n\n"));
    }
}
