//! The negative control: a laptop whose disks ARE touched, to show that the counters and hashes of [`crate::Proofs`] can fail.

use crate::config::{Config, HostDisks};
use crate::laptop::Laptop;
use crate::proofs::Proofs;
use anyhow::Result;
use std::path::PathBuf;
use std::time::Duration;

const MARK: &str = "CONTROL-DISKS-WRITTEN";

/// Boots nothing from USB: the firmware's own shell runs `startup.nsh` from a host disk, which writes a file onto each of them.
/// Every disk of the proofs must then be touched.
pub fn disks_that_are_touched(work: PathBuf) -> Result<Proofs> {
    let script = format!("fs0:\necho touched > fs0:\\touched.txt\necho touched > fs1:\\touched.txt\necho {MARK}\n");
    let mut config = Config::new(PathBuf::new(), work);
    config.stick = None;
    config.host_disks = HostDisks::ShellScript(script);
    let mut laptop = Laptop::power_on(config)?;
    laptop.wait_for("startup.nsh", Duration::from_secs(180))?;
    // The shell counts down five seconds before it runs the script, unless a key is pressed.
    laptop.type_key('\r')?;
    laptop.wait_for(MARK, Duration::from_secs(120))?;
    // The prompt after the script: the mark before may be the echo of the script's own line.
    laptop.wait_for("FS0:\\>", Duration::from_secs(60))?;
    laptop.finish()
}
