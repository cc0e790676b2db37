//! The host's own disks: filled before, counted and hashed after.

use crate::config::{Config, HostDisks};
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;

/// Makes the disks.
pub(crate) fn make(config: &Config) -> Result<()> {
    for name in config.disks() {
        let path = config.path(&format!("{name}.img"));
        match &config.host_disks {
            HostDisks::Pattern => pattern(&path, name, config.host_disk_mib)?,
            HostDisks::Tempting => {
                pattern(&path, name, config.host_disk_mib)?;
                crate::tempting::fill(config, &path)?;
            }
            HostDisks::ShellScript(script) => fat(config, &path, script)?,
        }
    }
    Ok(())
}

/// Blocks of 4 KiB, each different: its disk's name and number, repeated.
fn pattern(path: &Path, name: &str, mib: u64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for number in 0..mib * 256 {
        let mark = format!("host disk {name} block {number:012} ");
        let mut block = mark.repeat(4096 / mark.len() + 1).into_bytes();
        block.truncate(4096);
        out.write_all(&block)?;
    }
    Ok(out.flush()?)
}

fn fat(config: &Config, path: &Path, script: &str) -> Result<()> {
    let text = config.path("startup.nsh");
    fs::write(&text, script.replace('\n', "\r\n"))?;
    File::create(path)?.set_len(config.host_disk_mib << 20)?;
    run(Command::new("mkfs.vfat").args(["-F", "32"]).arg(path))?;
    run(Command::new("mcopy")
        .arg("-i")
        .arg(path)
        .arg(&text)
        .arg("::/startup.nsh"))
}

/// Runs a program that must succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// SHA-256 of a file, hex.
pub(crate) fn hash(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(sum.finalize())),
            n => sum.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}
