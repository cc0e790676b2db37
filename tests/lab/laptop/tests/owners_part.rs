//! The owner's part is data: one that tries to replace the image's programs changes nothing.
//! `SKYKEEP_BUILD=folder of image/build cargo test -p lab-laptop -- --ignored`

use anyhow::{Context, Result, ensure};
use lab_laptop::{Config, Laptop};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn build() -> Result<PathBuf> {
    Ok(std::env::var_os("SKYKEEP_BUILD")
        .context("SKYKEEP_BUILD names a folder made by image/build")?
        .into())
}

fn prompt() -> String {
    std::env::var("SKYKEEP_PROMPT").unwrap_or_else(|_| "prompt> ".into())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// An archive with an /init of its own, links in place of the image's folders, the mark "whole", and links among its own files.
fn hostile(work: &Path) -> Result<PathBuf> {
    let root = work.join("hostile");
    for folder in ["skykeep/folder", "etc", "elsewhere"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("init"), "no program at all\n")?;
    fs::write(root.join("etc/skykeep-whole"), "whole\n")?;
    fs::write(root.join("skykeep/castle.yaml"), "apiVersion: hostile\n")?;
    symlink("/proc/self/environ", root.join("skykeep/vault.skv"))?;
    symlink("elsewhere", root.join("usr"))?;
    symlink("elsewhere", root.join("dev"))?;
    symlink("elsewhere", root.join("lib"))?;
    let archive = work.join("hostile.cpio");
    let pack =
        "cd \"$0\" && find . -mindepth 1 -printf '%P\\n' | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 >\"$1\"";
    run(Command::new("sh").args(["-c", pack]).arg(&root).arg(&archive))?;
    Ok(archive)
}

fn stick(build: &Path, work: &Path, personal: &Path) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../image/stick");
    let out = work.join("stick.img");
    run(Command::new(script).arg(build).arg(&out).arg(personal))?;
    Ok(out)
}

fn work(name: &str) -> Result<PathBuf> {
    let work = std::env::temp_dir().join(format!("skykeep-laptop-{name}-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    Ok(work)
}

#[test]
#[ignore = "needs QEMU, OVMF and a folder made by image/build"]
fn an_owners_part_with_programs_and_links_changes_nothing() -> Result<()> {
    let work = work("hostile")?;
    let image = stick(&build()?, &work, &hostile(&work)?)?;
    let mut laptop = Laptop::start(Config::new(image, work))?;
    laptop.wait_for(
        "vault.skv in the owner's part is not a plain file: taken away",
        Duration::from_secs(180),
    )?;
    laptop.wait_for(&prompt(), Duration::from_secs(60))?;
    Ok(())
}

/// The control: the same archive AFTER the image's own files does win, so the order is what protects.
#[test]
#[ignore = "needs QEMU, OVMF and a folder made by image/build"]
fn in_the_wrong_order_the_same_archive_would_win() -> Result<()> {
    let work = work("wrong-order")?;
    let archive = hostile(&work)?;
    let copy = work.join("build");
    run(Command::new("cp").arg("-r").arg(build()?).arg(&copy))?;
    let mut initrd = fs::read(copy.join("initrd"))?;
    initrd.extend(fs::read(&archive)?);
    fs::write(copy.join("initrd"), initrd)?;
    let mut laptop = Laptop::start(Config::new(stick(&copy, &work, &archive)?, work))?;
    let met = laptop.wait_for(&prompt(), Duration::from_secs(90));
    ensure!(
        met.is_err(),
        "the hostile archive did not win: this test proves nothing"
    );
    let text = laptop.console_text();
    ensure!(text.contains("Kernel panic"), "it failed for another reason:\n{text}");
    Ok(())
}
