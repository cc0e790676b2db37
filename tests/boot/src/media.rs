//! The media of one build, made by the image scripts the way an owner would make them.

use anyhow::{Context, Result, ensure};
use lab_laptop::run;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One way in which the image reaches a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The hybrid file written onto a stick, byte for byte.
    Stick,
    /// The files of the ISO copied onto a FAT stick.
    FatStick,
    /// The hybrid file as a CD.
    Cd,
    /// TFTP: shim and grub (UEFI), or iPXE (BIOS).
    Pxe,
    /// HTTP: the firmware's own HTTP boot (UEFI), or iPXE (BIOS).
    Http,
    /// The ISO as a file on a FAT stick, whose own GRUB looks into it.
    FileOnStick,
}

/// The rows of the table, in its order.
pub const KINDS: [Kind; 5] = [Kind::Stick, Kind::FatStick, Kind::Cd, Kind::Pxe, Kind::Http];

impl Kind {
    /// As the table's row says it.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Stick => "stick (the ISO file, written byte for byte)",
            Kind::FatStick => "FAT stick (the ISO's files, copied)",
            Kind::Cd => "CD (the same ISO file)",
            Kind::Pxe => "network, TFTP (PXE)",
            Kind::Http => "network, HTTP",
            Kind::FileOnStick => "the ISO as a file on a stick",
        }
    }
}

/// Where everything lies.
pub struct Media {
    /// The hybrid file.
    pub iso: PathBuf,
    /// A FAT disk with the files of the ISO.
    pub fat: PathBuf,
    /// What TFTP and HTTP serve.
    pub net: PathBuf,
    /// What the boot screen must say: the codes that `skykeep stick` works out from the file.
    pub codes: String,
}

impl Media {
    /// Makes all media of `build` (a folder of image/build) in `work`, with the owner's part `personal`. When `files` (the same part, unpacked) and
    /// the program are given, the stick is written by `skykeep stick create`, as an owner would.
    pub fn make(tree: &Path, build: &Path, personal: &Path, by: Option<(&Path, &Path)>, work: &Path) -> Result<Self> {
        fs::create_dir_all(work)?;
        let mut media = Media {
            iso: work.join("skykeep.iso"),
            fat: work.join("fat.img"),
            net: work.join("net"),
            codes: String::new(),
        };
        run(Command::new(tree.join("image/netboot"))
            .arg(build)
            .arg(&media.net)
            .arg(personal))?;
        let stick = || {
            let mut command = Command::new(tree.join("image/stick"));
            command.arg(build);
            command
        };
        match by {
            None => run(stick().arg(&media.iso).arg(personal))?,
            Some((skykeep, files)) => {
                let release = work.join("release.iso");
                run(stick().arg(&release))?;
                let said = Command::new(skykeep)
                    .args(["stick", "create"])
                    .arg(&media.iso)
                    .arg("--image")
                    .arg(&release)
                    .arg("--castle")
                    .arg(files)
                    .output()?;
                ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
                let said = String::from_utf8_lossy(&said.stdout).into_owned();
                let codes = said.trim().strip_prefix("The boot screen will say: ");
                codes
                    .with_context(|| said.clone())?
                    .trim_end_matches('.')
                    .clone_into(&mut media.codes);
                ensure!(!media.codes.contains("none"), "{said}");
            }
        }
        fat_stick(&unpacked(&media.iso, work)?, &media.fat, work)?;
        Ok(media)
    }

    /// Makes a stick with a signed GRUB of its own, which opens the ISO lying beside it: nothing of the ISO was written to where loaders look.
    pub fn file_on_stick(&self, work: &Path) -> Result<PathBuf> {
        const MENU: &str = "loopback iso /images/skykeep.iso\nset root=iso\nconfigfile (iso)/EFI/debian/grub.cfg\n";
        let tree = unpacked(&self.iso, work)?;
        for folder in ["skykeep", "boot"] {
            fs::remove_dir_all(tree.join(folder))?;
        }
        fs::write(tree.join("EFI/debian/grub.cfg"), MENU)?;
        fs::create_dir(tree.join("images"))?;
        fs::copy(&self.iso, tree.join("images/skykeep.iso"))?;
        let out = work.join("file-on-stick.img");
        fat_stick(&tree, &out, work)?;
        Ok(out)
    }
}

/// The files of an owner's part that is good enough to be asked for a passphrase.
pub fn owners_files(tree: &Path, work: &Path) -> Result<PathBuf> {
    let folder = work.join("owner");
    fs::create_dir_all(&folder)?;
    fs::copy(tree.join("tests/castle/castle.yaml"), folder.join("castle.yaml"))?;
    let lock = r#"{"version": 1, "kubernetes": "v1.36.3", "artifacts": [], "images": []}"#;
    fs::write(folder.join("castle.lock"), lock)?;
    fs::write(folder.join("vault.skv"), "not opened in these tests")?;
    Ok(folder)
}

/// Packs them by image/personal.
pub fn owners_part(tree: &Path, files: &Path, work: &Path) -> Result<PathBuf> {
    let out = work.join("personal.cpio");
    run(Command::new(tree.join("image/personal")).arg(files).arg(&out))?;
    Ok(out)
}

/// A part that tries to be more than data: a program in place of /init, links in place of the image's folders, a list and a mark of its own, a kernel
/// module, a link among its own files. Packed by cpio, because our own packer makes no such thing.
pub fn hostile_part(work: &Path) -> Result<PathBuf> {
    let root = work.join("hostile");
    for folder in ["skykeep/folder", "etc", "elsewhere", "usr/lib/modules/6.12/kernel"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("init"), "#!/elsewhere/program\n")?;
    for name in ["etc/skykeep-whole", "etc/skykeep-image", "etc/skykeep-files"] {
        fs::write(root.join(name), "forged\n")?;
    }
    fs::write(root.join("usr/lib/modules/6.12/kernel/evil.ko"), "forged")?;
    symlink("/proc/self/environ", root.join("skykeep/vault.skv"))?;
    for name in ["dev", "lib", "proc"] {
        symlink("elsewhere", root.join(name))?;
    }
    let archive = work.join("hostile.cpio");
    let pack =
        "cd \"$0\" && find . -mindepth 1 -printf '%P\\n' | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 >\"$1\"";
    run(Command::new("sh").args(["-c", pack]).arg(&root).arg(&archive))?;
    Ok(archive)
}

/// The files of the ISO.
fn unpacked(iso: &Path, work: &Path) -> Result<PathBuf> {
    let tree = work.join("iso-files");
    run(Command::new("xorriso")
        .args(["-osirrox", "on", "-indev"])
        .arg(iso)
        .args(["-extract", "/"])
        .arg(&tree))?;
    run(Command::new("chmod").args(["-R", "u+w"]).arg(&tree))?;
    Ok(tree)
}

/// What a person does with a stick as it is sold: one FAT32 partition, the files of a folder dragged onto it. The folder is gone afterwards.
fn fat_stick(tree: &Path, out: &Path, work: &Path) -> Result<()> {
    const SECTORS: u32 = 256 * 1024 * 1024 / 512;
    const START: u32 = 2048;
    let part = work.join("fat.part");
    File::create(&part)?.set_len(u64::from(SECTORS - START) * 512)?;
    run(Command::new("mkfs.vfat").args(["-F", "32"]).arg(&part))?;
    let mut copy = Command::new("mcopy");
    copy.args(["-s", "-m", "-i"]).arg(&part);
    for entry in fs::read_dir(tree)? {
        copy.arg(entry?.path());
    }
    run(copy.arg("::/"))?;
    // One entry of an MBR partition table: not active, FAT32 with LBA addresses.
    let mut mbr = vec![0; 446];
    mbr.extend([0, 0xff, 0xff, 0xff, 0x0c, 0xff, 0xff, 0xff]);
    mbr.extend(START.to_le_bytes());
    mbr.extend((SECTORS - START).to_le_bytes());
    mbr.resize(510, 0);
    mbr.extend([0x55, 0xaa]);
    let mut disk = File::create(out)?;
    disk.write_all(&mbr)?;
    disk.seek(SeekFrom::Start(u64::from(START) * 512))?;
    std::io::copy(&mut File::open(&part)?, &mut disk)?;
    fs::remove_dir_all(tree)?;
    fs::remove_file(&part).context("the partition's file")
}
