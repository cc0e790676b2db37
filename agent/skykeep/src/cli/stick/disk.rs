//! What the kernel knows of a disk: make, size, and who uses it. Read from /sys and /proc; both roots are given, so that tests bring their own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The kernel's files.
pub struct Kernel {
    /// `/sys`
    pub sys: PathBuf,
    /// `/proc`
    pub proc: PathBuf,
}

/// What a person wants to know before a disk is overwritten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Vendor and model, as far as they are known.
    pub make: String,
    /// Bytes.
    pub size: u64,
    /// Can be pulled out (as the kernel sees it).
    pub removable: bool,
    /// The disk that this is a partition of.
    pub part_of: Option<String>,
    /// Who uses it now, for people; empty when nobody does.
    pub uses: Vec<String>,
}

impl Kernel {
    /// This machine's.
    pub fn here() -> Self {
        Kernel {
            sys: "/sys".into(),
            proc: "/proc".into(),
        }
    }

    /// The kernel's own name of the block device with this number.
    pub fn name_of(&self, number: u64) -> Option<String> {
        let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
        let place = fs::canonicalize(self.sys.join(format!("dev/block/{major}:{minor}"))).ok()?;
        Some(place.file_name()?.to_str()?.to_owned())
    }

    /// Everything about the block device with this name (`sda`, `nvme0n1`). None when there is no such device.
    pub fn disk(&self, name: &str) -> Option<Disk> {
        let folder = self.sys.join("class/block").join(name);
        let sectors: u64 = word(&folder.join("size"))?.parse().ok()?;
        let part_of = folder.join("partition").exists().then(|| {
            // A partition's folder lies in that of its disk.
            let real = fs::canonicalize(&folder).unwrap_or_default();
            let disk = real.parent().and_then(Path::file_name).unwrap_or_default();
            disk.to_string_lossy().into_owned()
        });
        let make = ["device/vendor", "device/model"]
            .iter()
            .filter_map(|file| word(&folder.join(file)))
            // A virtual disk's vendor is a bare number.
            .filter(|text| !text.starts_with("0x"))
            .collect::<Vec<_>>();
        Some(Disk {
            make: if make.is_empty() {
                "unknown make".into()
            } else {
                make.join(" ")
            },
            size: sectors * 512,
            removable: word(&folder.join("removable")).as_deref() == Some("1"),
            part_of,
            uses: self.uses(name),
        })
    }

    /// The device, its partitions, and all that is built on them (encryption, LVM, RAID), by name.
    fn family(&self, name: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut next = vec![name.to_owned()];
        while let Some(name) = next.pop() {
            let folder = self.sys.join("class/block").join(&name);
            if !all.insert(name) {
                continue;
            }
            next.extend(names(&folder.join("holders")));
            next.extend(
                names(&folder)
                    .into_iter()
                    .filter(|child| folder.join(child).join("partition").exists()),
            );
        }
        all
    }

    fn uses(&self, name: &str) -> Vec<String> {
        let family = self.family(name);
        let numbers: BTreeSet<String> = family
            .iter()
            .filter_map(|name| word(&self.sys.join("class/block").join(name).join("dev")))
            .collect();
        let mut uses = Vec::new();
        let mounts = fs::read_to_string(self.proc.join("self/mountinfo")).unwrap_or_default();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(2);
            let (Some(device), _, Some(place)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            // Btrfs gives a number of its own; behind the dash stands the device's path.
            let source = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').nth(1));
            let source = source.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            if numbers.contains(device) || family.contains(source) {
                uses.push(match place {
                    "/" | "/usr" | "/boot" | "/boot/efi" | "/var" | "/home" => {
                        format!("it carries {place} of the running system")
                    }
                    _ => format!("it is mounted at {place}"),
                });
            }
        }
        let swaps = fs::read_to_string(self.proc.join("swaps")).unwrap_or_default();
        for line in swaps.lines().skip(1) {
            let path = line.split_whitespace().next().unwrap_or_default();
            if family.contains(path.rsplit('/').next().unwrap_or_default()) {
                uses.push(format!("the running system swaps to {path}"));
            }
        }
        uses.extend(
            family
                .iter()
                .filter(|other| other.starts_with("dm-") || other.starts_with("md"))
                .map(|other| format!("an encrypted, LVM or RAID device ({other}) is built on it")),
        );
        uses.dedup();
        uses
    }
}

fn word(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A machine with a system disk `sda` (root on LVM on sda2, swap on sda3) and a stick `sdb` with one partition.
    fn machine(mounts: &str) -> (tempfile::TempDir, Kernel) {
        let folder = tempfile::tempdir().expect("folder");
        let at = |path: &str| folder.path().join(path);
        let put = |path: &str, text: &str| {
            fs::create_dir_all(at(path).parent().expect("parent")).expect("folder");
            fs::write(at(path), text).expect("file");
        };
        for (name, dev, size) in [
            ("sda", "8:0", "1000"),
            ("sdb", "8:16", "60000000"),
            ("dm-0", "253:0", "500"),
        ] {
            put(&format!("sys/devices/{name}/size"), size);
            put(&format!("sys/devices/{name}/dev"), dev);
        }
        for (disk, part, dev) in [("sda", "sda2", "8:2"), ("sda", "sda3", "8:3"), ("sdb", "sdb1", "8:17")] {
            put(&format!("sys/devices/{disk}/{part}/size"), "100");
            put(&format!("sys/devices/{disk}/{part}/dev"), dev);
            put(&format!("sys/devices/{disk}/{part}/partition"), "1");
        }
        put("sys/devices/sdb/removable", "1\n");
        put("sys/devices/sdb/device/vendor", "SanDisk \n");
        put("sys/devices/sdb/device/model", "Ultra   \n");
        fs::create_dir_all(at("sys/devices/sda/sda2/holders")).expect("folder");
        fs::write(at("sys/devices/sda/sda2/holders/dm-0"), "").expect("holder");
        fs::create_dir_all(at("sys/class/block")).expect("folder");
        for (name, path) in [
            ("sda", "sda"),
            ("sdb", "sdb"),
            ("dm-0", "dm-0"),
            ("sda2", "sda/sda2"),
            ("sda3", "sda/sda3"),
            ("sdb1", "sdb/sdb1"),
        ] {
            symlink(at("sys/devices").join(path), at("sys/class/block").join(name)).expect("link");
        }
        put("proc/self/mountinfo", mounts);
        put(
            "proc/swaps",
            "Filename Type Size Used Priority\n/dev/sda3 partition 1 0 -2\n",
        );
        let kernel = Kernel {
            sys: at("sys"),
            proc: at("proc"),
        };
        (folder, kernel)
    }

    const ROOT: &str = "22 1 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n";

    #[test]
    fn the_running_systems_disk_is_known_also_behind_lvm() {
        let (_folder, kernel) = machine(ROOT);
        let uses = kernel.disk("sda").expect("disk").uses.join("; ");
        assert!(uses.contains("carries / of the running system"), "{uses}");
        assert!(uses.contains("swaps to /dev/sda3"), "{uses}");
    }

    #[test]
    fn a_stick_shows_its_make_and_is_free_until_a_part_of_it_is_mounted() {
        let (_folder, kernel) = machine(ROOT);
        let stick = kernel.disk("sdb").expect("disk");
        assert_eq!(stick.make, "SanDisk Ultra");
        assert_eq!(stick.size, 30_720_000_000);
        assert!(
            stick.removable && stick.uses.is_empty() && stick.part_of.is_none(),
            "{stick:?}"
        );
        let mounted = format!("{ROOT}40 22 8:17 / /media/you/STICK rw - vfat /dev/sdb1 rw\n");
        let (_folder, kernel) = machine(&mounted);
        assert_eq!(
            kernel.disk("sdb").expect("disk").uses,
            ["it is mounted at /media/you/STICK"]
        );
    }

    #[test]
    fn btrfs_hides_its_number_and_is_still_found() {
        let (_folder, kernel) = machine("40 22 0:55 /sub /data rw - btrfs /dev/sdb1 rw\n");
        assert_eq!(kernel.disk("sdb").expect("disk").uses, ["it is mounted at /data"]);
    }

    #[test]
    fn a_partition_says_which_disk_it_is_part_of() {
        let (_folder, kernel) = machine(ROOT);
        assert_eq!(kernel.disk("sdb1").expect("part").part_of.as_deref(), Some("sdb"));
        assert_eq!(kernel.disk("sdz"), None);
    }
}
