//! Boots a real stick. `SKYKEEP_STICK=stick.img cargo test -p lab-laptop -- --ignored`

use anyhow::{Context, Result};
use lab_laptop::{Config, Laptop, Network};
use std::path::PathBuf;
use std::time::Duration;

fn stick() -> Result<PathBuf> {
    Ok(std::env::var_os("SKYKEEP_STICK")
        .context("SKYKEEP_STICK names the stick image to boot")?
        .into())
}

fn work(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("skykeep-laptop-{name}-{}", std::process::id()))
}

/// What the agent says first; another agent says something else.
fn prompt() -> String {
    std::env::var("SKYKEEP_PROMPT").unwrap_or_else(|_| "prompt> ".into())
}

#[test]
#[ignore = "needs QEMU, OVMF and a stick image"]
fn the_stick_boots_to_its_prompt_and_touches_no_host_disk() -> Result<()> {
    let mut config = Config::new(stick()?, work("boot"));
    config.network = Network::User;
    let mut laptop = Laptop::start(config)?;
    laptop.wait_for(&prompt(), Duration::from_secs(180))?;
    let proofs = laptop.finish()?;
    println!("prompt after {:?}; {:#?}", proofs.lasted, proofs.disks);
    proofs.untouched_after_handover()
}

#[test]
#[ignore = "needs QEMU, OVMF and a stick image"]
fn a_firmware_that_looks_at_all_disks_first_changes_nothing_after_handover() -> Result<()> {
    let mut config = Config::new(stick()?, work("no-bootindex"));
    config.boot_stick_first = false;
    let mut laptop = Laptop::start(config)?;
    laptop.wait_for(&prompt(), Duration::from_secs(180))?;
    let proofs = laptop.finish()?;
    assert!(
        proofs.disks.iter().all(|disk| disk.at_handover.reads > 0),
        "the firmware itself must have read: {proofs:#?}"
    );
    proofs.untouched_after_handover()
}

#[test]
#[ignore = "needs QEMU and OVMF"]
fn the_negative_control_is_caught() -> Result<()> {
    let proofs = lab_laptop::control::disks_that_are_touched(work("control"))?;
    for disk in &proofs.disks {
        assert!(
            disk.at_end.written_bytes > 0 && disk.sha256_before != disk.sha256_after,
            "{disk:#?}"
        );
    }
    assert!(proofs.untouched_after_handover().is_err());
    Ok(())
}
