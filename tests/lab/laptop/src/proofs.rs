//! What is known for certain when a laptop is switched off.

use crate::qmp::{Counters, PowerState};
use anyhow::{Result, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// One of the host's disks.
#[derive(Clone, Debug)]
pub struct DiskProof {
    /// `nvme` or `ahci`.
    pub name: String,
    /// QEMU's counters when the firmware handed over to the loader.
    pub at_handover: Counters,
    /// The same at the end.
    pub at_end: Counters,
    /// SHA-256 of its content before power-on.
    pub sha256_before: String,
    /// And after.
    pub sha256_after: String,
}

impl DiskProof {
    /// True when it was neither read nor written between handover and end, and its content is the same.
    pub fn untouched(&self) -> bool {
        self.at_handover == self.at_end && self.sha256_before == self.sha256_after
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Proofs {
    /// The host's disks.
    pub disks: Vec<DiskProof>,
    /// Power at the end.
    pub power: PowerState,
    /// From power-on to the end.
    pub lasted: Duration,
    /// The console with times.
    pub console_log: PathBuf,
}

impl Proofs {
    /// An error that names the disk and the counters when any disk was touched after handover.
    pub fn untouched_after_handover(&self) -> Result<()> {
        ensure!(!self.disks.is_empty(), "no disk was watched, so nothing is proven");
        for disk in &self.disks {
            ensure!(
                disk.untouched(),
                "host disk {} was touched: at handover {:?}, at the end {:?}, content {}",
                disk.name,
                disk.at_handover,
                disk.at_end,
                if disk.sha256_before == disk.sha256_after {
                    "the same"
                } else {
                    "CHANGED"
                }
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proofs(read: u64, hash: &str) -> Proofs {
        let disk = DiskProof {
            name: "nvme".into(),
            at_handover: Counters {
                read_bytes: 109_568,
                reads: 22,
                ..Counters::default()
            },
            at_end: Counters {
                read_bytes: 109_568 + read,
                reads: 22,
                ..Counters::default()
            },
            sha256_before: "aa".into(),
            sha256_after: hash.into(),
        };
        Proofs {
            disks: vec![disk],
            power: PowerState::Off,
            lasted: Duration::ZERO,
            console_log: PathBuf::new(),
        }
    }

    #[test]
    fn what_the_firmware_read_before_handover_does_not_count() {
        assert!(proofs(0, "aa").untouched_after_handover().is_ok());
    }

    #[test]
    fn one_byte_read_or_a_changed_content_is_an_error() {
        assert!(proofs(1, "aa").untouched_after_handover().is_err());
        assert!(proofs(0, "bb").untouched_after_handover().is_err());
    }

    #[test]
    fn no_disk_is_no_proof() {
        let mut none = proofs(0, "aa");
        none.disks.clear();
        assert!(none.untouched_after_handover().is_err());
    }
}
