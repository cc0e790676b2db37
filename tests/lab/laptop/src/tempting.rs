//! Host disks that ask to be looked at: a partition table, a boot partition with what loaders search for, swap, LVM.

use crate::config::Config;
use crate::disks::run;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

/// What a loader prints when it was tempted.
pub const TEMPTED: &str = "HOST-DISK-WAS-READ";

const MIB: u64 = 1 << 20;

/// Partition 1: EFI system partition. 2: swap. 3: LVM.
const PARTITIONS: [(u64, u64, &str); 3] = [(1, 20, "ef00"), (21, 10, "8200"), (31, 10, "8e00")];

/// Writes partition table and contents into a disk that is 48 MiB or larger; the rest keeps its pattern.
pub(crate) fn fill(config: &Config, disk: &Path) -> Result<()> {
    let mut table = Command::new("sgdisk");
    table.arg("--clear");
    for (number, (start, size, kind)) in (1..).zip(PARTITIONS) {
        table.arg(format!("-n{number}:{}:+{size}M", start * MIB / 512));
        table.arg(format!("-t{number}:{kind}"));
    }
    run(table.arg(disk))?;
    let contents = [boot_partition(config)?, swap(config)?, lvm()];
    let mut out = File::options().write(true).open(disk)?;
    for ((start, _, _), content) in PARTITIONS.into_iter().zip(contents) {
        out.seek(SeekFrom::Start(start * MIB))?;
        out.write_all(&content)?;
    }
    Ok(())
}

/// A FAT with a file of every name that a boot loader might look for, ours included. It holds no loader: the firmware itself must not start it.
fn boot_partition(config: &Config) -> Result<Vec<u8>> {
    let image = config.path("tempting.fat");
    let tree = config.path("tempting");
    for name in [
        "EFI/debian/grub.cfg",
        "boot/grub/grub.cfg",
        ".disk/info",
        "skykeep/vmlinuz",
        "skykeep/initrd",
        "skykeep/personal",
        "loader/loader.conf",
    ] {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, format!("echo {TEMPTED}\nsleep 60\n"))?;
    }
    File::create(&image)?.set_len(20 * MIB)?;
    run(Command::new("mkfs.vfat").args(["-F", "16"]).arg(&image))?;
    for name in ["EFI", "boot", ".disk", "skykeep", "loader"] {
        run(Command::new("mcopy")
            .args(["-s", "-i"])
            .arg(&image)
            .arg(tree.join(name))
            .arg("::/"))?;
    }
    fs::read(&image).context("the boot partition")
}

fn swap(config: &Config) -> Result<Vec<u8>> {
    let image = config.path("tempting.swap");
    File::create(&image)?.set_len(10 * MIB)?;
    run(Command::new("mkswap").arg(&image))?;
    fs::read(&image).context("the swap partition")
}

/// The label that `pvscan` looks for, in the second sector.
fn lvm() -> Vec<u8> {
    let mut text = vec![0; 512];
    text.extend(b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001");
    text.extend(b"00000000000000000000000000000000");
    text
}
