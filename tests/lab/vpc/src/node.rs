//! One instance: a booted Debian in systemd-nspawn. The flags and the order are hard won, see the comments.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::{
    sys::wait::{Id, WaitPidFlag, WaitStatus, waitid},
    unistd::Pid,
};

use crate::router::netns_of_instance;
use crate::spec::{InstanceSpec, Supplier};
use crate::{cgroup, layer};

/// A started instance.
pub struct Node {
    /// What it was launched with.
    pub spec: InstanceSpec,
    folder: PathBuf,
    console: PathBuf,
    nspawn: Option<Child>,
}

/// Folders that must lie on a real file system: containerd cannot put an overlay on an overlay, etcd wants a real disk.
const ON_DISK: [&str; 3] = ["containerd", "kubelet", "etcd"];

impl Node {
    /// Mounts its file system and starts it, or, when it hangs, a process that does nothing in its place. Its network namespace must
    /// be ready.
    pub fn start(
        spec: &InstanceSpec,
        hangs: bool,
        image: &Path,
        layer: &Path,
        folder: &Path,
        resolver: &str,
    ) -> Result<Self> {
        let mut node = Self {
            spec: spec.clone(),
            folder: folder.join("i").join(&spec.id),
            console: folder.join("console").join(&spec.id),
            nspawn: None,
        };
        let started = node.boot(hangs, image, layer, resolver);
        match started {
            Ok(()) => Ok(node),
            Err(error) => {
                let _ = node.destroy();
                Err(error)
            }
        }
    }

    fn boot(&mut self, hangs: bool, image: &Path, shared: &Path, resolver: &str) -> Result<()> {
        let at = |name: &str| self.folder.join(name);
        let (upper, root) = (at("upper"), at("root"));
        // What differs from node to node and is there before the first program runs.
        fs::create_dir_all(upper.join("etc"))?;
        fs::write(upper.join("etc/resolv.conf"), format!("nameserver {resolver}\n"))?;
        let identity = machine_id(&self.spec.id);
        fs::write(upper.join("etc/machine-id"), format!("{identity}\n"))?;
        self.firmware(&upper, image, &identity)?;
        for name in ON_DISK {
            fs::create_dir_all(at(name))?;
            // As whoever makes them on a machine of its own would.
            fs::set_permissions(
                at(name),
                Permissions::from_mode(if name == "etcd" { 0o700 } else { 0o755 }),
            )?;
        }
        layer::mount(&[shared, image], &upper, &at("work"), &root)?;
        let doors = cgroup::create(&self.spec.id)?;
        fs::create_dir_all(self.console.parent().context("no folder for consoles")?)?;
        let console = File::create(&self.console)?;

        // The shell moves itself into the instance's cgroups and becomes systemd-nspawn.
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@""#,
            "sh",
        ]);
        command.args(doors).arg("--");
        if hangs {
            command.args(["sleep", "infinity"]);
        } else {
            command.arg("systemd-nspawn").args(self.flags(&root));
        }
        command
            .env("SYSTEMD_SECCOMP", "0")
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
            .env("SYSTEMD_NSPAWN_LOCK", "0")
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console);
        self.nspawn = Some(command.spawn().context("starting systemd-nspawn")?);
        Ok(())
    }

    /// What the firmware's tables say, by which cloud-init knows whose machine it is in, and where it then looks.
    fn firmware(&self, upper: &Path, image: &Path, identity: &str) -> Result<()> {
        let dmi = upper.join("etc/skylab/dmi");
        fs::create_dir_all(&dmi)?;
        if self.spec.supplier == Supplier::Hetzner {
            // The serial number is the server's number.
            let serial = self.spec.id.trim_start_matches("hz-");
            for (name, text) in [
                ("sys_vendor", "Hetzner"),
                ("product_name", "vServer"),
                ("product_serial", serial),
            ] {
                fs::write(dmi.join(name), format!("{text}\n"))?;
            }
            let settings = "etc/cloud/cloud.cfg.d/90_lab.cfg";
            let text = fs::read_to_string(image.join(settings)).context("cloud-init's settings in the node image")?;
            fs::create_dir_all(upper.join("etc/cloud/cloud.cfg.d"))?;
            fs::write(upper.join(settings), text.replace("[Ec2]", "[Hetzner]"))?;
            return Ok(());
        }
        // EC2's machines are known by a UUID that begins with ec2 and is the serial number too.
        for name in ["product_uuid", "product_serial"] {
            fs::write(dmi.join(name), ec2_uuid(identity))?;
        }
        Ok(())
    }

    fn flags(&self, root: &Path) -> Vec<String> {
        let name = self.spec.hostname.split('.').next().unwrap_or_default();
        let mut flags: Vec<String> = [
            "--quiet",
            "--settings=no",
            "--register=no",
            "--keep-unit",
            "--boot",
            "--console=read-only",
            "--capability=all",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--bind=/dev/kmsg",
        ]
        .map(str::to_owned)
        .to_vec();
        flags.push(format!("--directory={}", root.display()));
        flags.push(format!("--machine={}", self.spec.id));
        flags.push(format!("--hostname={name}"));
        // Not `ip netns exec`: that remounts /sys and nspawn then finds no cgroups.
        flags.push(format!(
            "--network-namespace-path=/run/netns/{}",
            netns_of_instance(&self.spec.id)
        ));
        for name in ON_DISK {
            flags.push(format!("--bind={}:/var/lib/{name}", self.folder.join(name).display()));
        }
        if Path::new("/lib/modules").exists() {
            flags.push("--bind-ro=/lib/modules".into());
        }
        flags
    }

    /// Whether it runs, or is still being started: systemd-nspawn lives as long as its container.
    pub fn alive(&self) -> bool {
        let Some(pid) = self.nspawn.as_ref().and_then(|child| i32::try_from(child.id()).ok()) else {
            return false;
        };
        // Looked at without being reaped: that is for the end.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        matches!(waitid(Id::Pid(Pid::from_raw(pid)), flags), Ok(WaitStatus::StillAlive))
    }

    /// Kills it and removes all it had on this host except what it said.
    pub fn destroy(&mut self) -> Result<()> {
        cgroup::destroy(&self.spec.id)?;
        if let Some(mut child) = self.nspawn.take() {
            let _ = child.kill();
            child.wait()?;
        }
        layer::unmount_below(&self.folder);
        fs::remove_dir_all(&self.folder).with_context(|| format!("removing {}", self.folder.display()))?;
        Ok(())
    }
}

/// The first process must not find another node's identity, nor invent one that we cannot reproduce.
fn machine_id(id: &str) -> String {
    let hash = |basis: u64| {
        id.bytes().fold(basis, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    format!(
        "{:016x}{:016x}",
        hash(0xcbf2_9ce4_8422_2325),
        hash(0x9ae1_6a3b_2f90_404f)
    )
}

/// Thirty-two hexadecimal digits as such a UUID.
fn ec2_uuid(digits: &str) -> String {
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "ec2{}-{}-{}-{}-{}\n",
        part(3, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

#[cfg(test)]
mod tests {
    use super::{ec2_uuid, machine_id};

    #[test]
    fn the_firmware_says_ec2() {
        assert_eq!(
            ec2_uuid("0123456789abcdef0123456789abcdef"),
            "ec234567-89ab-cdef-0123-456789abcdef\n"
        );
    }

    #[test]
    fn two_instances_have_two_machine_ids_of_the_right_shape() {
        let (first, second) = (machine_id("i-0000000000000001"), machine_id("i-0000000000000002"));
        assert_ne!(first, second);
        assert_eq!(first.len(), 32);
        assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
