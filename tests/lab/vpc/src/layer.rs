//! The file systems of the nodes: the shared image, one thin layer that all nodes of this hypervisor share (the laboratory's CA,
//! the kernel's built-in modules), and one writable layer per node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::host::{run, run_args};

/// Mounts an overlay. What is written does not survive a crash of the host, which is fine and much faster.
pub fn mount(lower: &[&Path], upper: &Path, work: &Path, at: &Path) -> Result<()> {
    for folder in [upper, work, at] {
        fs::create_dir_all(folder)?;
    }
    let lower: Vec<_> = lower.iter().map(|path| path.display().to_string()).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={},volatile",
        lower.join(":"),
        upper.display(),
        work.display()
    );
    let at = at.display().to_string();
    run_args(&["mount", "-t", "overlay", "skylab", "-o", &options, &at], None)?;
    Ok(())
}

/// Unmounts everything at or below a folder, innermost first.
pub fn unmount_below(folder: &Path) {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(folder))
        .collect();
    for point in points.iter().rev() {
        let point = point.display().to_string();
        if run_args(&["umount", &point], None).is_err() {
            let _ = run_args(&["umount", "-l", &point], None);
        }
    }
}

/// Makes the shared layer under `folder` and returns it.
pub fn shared(image: &Path, ca: &Path, folder: &Path) -> Result<PathBuf> {
    let (layer, root) = (folder.join("layer"), folder.join("layer-root"));
    mount(&[image], &layer, &folder.join("layer-work"), &root)?;
    let filled = fill(&root, ca);
    unmount_below(&root);
    filled?;
    Ok(layer)
}

fn fill(root: &Path, ca: &Path) -> Result<()> {
    let place = root.join("usr/local/share/ca-certificates/skylab.crt");
    fs::copy(ca, &place).with_context(|| format!("copying the laboratory's CA from {}", ca.display()))?;
    let path = root.display();
    run(&format!("chroot {path} update-ca-certificates"))?;
    // A kernel without loadable modules: modprobe of what it has built in must succeed, as on a stock kernel.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    if Path::new("/lib/modules").join(&release).exists() {
        return Ok(());
    }
    let modules = root.join("lib/modules").join(&release);
    fs::create_dir_all(&modules)?;
    fs::write(modules.join("modules.builtin"), builtin()?)?;
    fs::write(modules.join("modules.order"), "")?;
    run(&format!("chroot {path} depmod -a {release}"))?;
    Ok(())
}

/// Those modules a Kubernetes node loads that this kernel can be seen to have.
fn builtin() -> Result<String> {
    let filesystems = fs::read_to_string("/proc/filesystems")?;
    let mut list = String::new();
    let mut add = |present: bool, file: &str| {
        if present {
            list.push_str(&format!("kernel/{file}.ko\n"));
        }
    };
    let sysctl = Path::new("/proc/sys/net");
    add(
        filesystems.lines().any(|line| line.ends_with("\toverlay")),
        "fs/overlayfs/overlay",
    );
    add(sysctl.join("bridge").exists(), "net/bridge/br_netfilter");
    add(
        sysctl.join("netfilter/nf_conntrack_max").exists(),
        "net/netfilter/nf_conntrack",
    );
    Ok(list)
}
