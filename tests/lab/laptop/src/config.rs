//! What a laptop is made of, and the QEMU command line for it.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// QEMU's name of the stick as a device.
pub(crate) const STICK: &str = "usb-stick";

/// How the laptop is wired.
#[derive(Clone, Debug)]
pub enum Network {
    /// A tap on a bridge of a network namespace; QEMU runs in that namespace. The tap is made and deleted by us.
    Tap {
        /// The namespace.
        netns: String,
        /// The bridge in it.
        bridge: String,
        /// The name of the tap, at most 15 letters.
        tap: String,
    },
    /// QEMU's built-in network with its own DHCP server. For trying things, not for rehearsals.
    User,
    /// A cable with nobody at its other end.
    Silent,
    /// No card at all.
    None,
}

impl Network {
    /// A tap `tap` on `bridge` in `netns`.
    pub fn tap(netns: &str, bridge: &str, tap: &str) -> Self {
        Network::Tap {
            netns: netns.into(),
            bridge: bridge.into(),
            tap: tap.into(),
        }
    }
}

/// The program that starts the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// OVMF, Secure Boot off.
    Uefi,
    /// OVMF with Secure Boot on and the keys that laptops are sold with (Microsoft's, Debian's through shim).
    SecureBoot,
    /// SeaBIOS: an old machine.
    Bios,
}

/// Where the image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Medium {
    /// [`Config::stick`] as a USB stick.
    Stick,
    /// [`Config::stick`] as a CD.
    Cd,
    /// From the network card ([`Network::User`]): QEMU's DHCP server names `file`; what is fetched by TFTP lies in `folder`.
    Net {
        /// Served by TFTP.
        folder: PathBuf,
        /// What DHCP tells the card to fetch.
        file: String,
    },
}

/// What lies on the host's own disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostDisks {
    /// A known pattern over the whole disk.
    Pattern,
    /// The pattern, and in it what tempts a system to look: a partition table, a boot partition with loader configurations, swap, LVM.
    Tempting,
    /// A FAT file system with this `startup.nsh`: what the firmware's shell runs when nothing else boots. For the negative control.
    ShellScript(String),
}

/// One laptop.
#[derive(Clone, Debug)]
pub struct Config {
    /// The stick image; None boots nothing from USB.
    pub stick: Option<PathBuf>,
    /// A folder for this laptop's disks, sockets and logs. Made when missing.
    pub work: PathBuf,
    /// RAM in MiB.
    pub memory_mib: u32,
    /// Number of CPUs.
    pub cpus: u32,
    /// The wire.
    pub network: Network,
    /// The card's hardware address.
    pub mac: String,
    /// The card is plugged in by USB.
    pub usb_card: bool,
    /// Tell the firmware to boot the stick first (as a person would in the boot menu). Without it the firmware looks at all disks before.
    pub boot_stick_first: bool,
    /// What starts the machine.
    pub firmware: Firmware,
    /// Where the image comes from.
    pub medium: Medium,
    /// Another store of UEFI variables to begin with than the firmware's own (one with a boot address, say).
    pub variables: Option<PathBuf>,
    /// Three more host disks: virtio, USB and an SD card.
    pub all_kinds_of_disks: bool,
    /// What the host's disks hold.
    pub host_disks: HostDisks,
    /// Size of each host disk in MiB.
    pub host_disk_mib: u64,
    /// More QEMU arguments.
    pub more: Vec<String>,
}

impl Config {
    /// 2 GiB, 2 CPUs, no network, the stick first.
    pub fn new(stick: PathBuf, work: PathBuf) -> Self {
        Config {
            stick: Some(stick),
            work,
            memory_mib: 2048,
            cpus: 2,
            network: Network::None,
            mac: "52:54:00:5b:1c:0f".into(),
            usb_card: false,
            boot_stick_first: true,
            firmware: Firmware::Uefi,
            medium: Medium::Stick,
            variables: None,
            all_kinds_of_disks: false,
            host_disks: HostDisks::Pattern,
            host_disk_mib: 64,
            more: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// QEMU's ids of the host's disks; their files are `<id>.img`.
    pub(crate) fn disks(&self) -> &'static [&'static str] {
        if self.all_kinds_of_disks {
            &["nvme", "ahci", "virtio", "usb", "sd"]
        } else {
            &["nvme", "ahci"]
        }
    }

    /// The store of UEFI variables that the machine begins with.
    pub(crate) fn variables(&self) -> PathBuf {
        let own = match self.firmware {
            Firmware::SecureBoot => "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
            Firmware::Uefi | Firmware::Bios => "/usr/share/OVMF/OVMF_VARS_4M.fd",
        };
        self.variables.clone().unwrap_or_else(|| own.into())
    }

    /// The whole command: QEMU paused at power-on, sockets for QMP and the serial line, no window.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut args: Vec<String> = Vec::new();
        let mut arg = |key: &str, value: String| args.extend([key.to_owned(), value]);
        // A comma in a path would be read as the next option.
        let file = |path: &Path| -> Result<String> {
            let text = path
                .to_str()
                .with_context(|| format!("{} is not UTF-8", path.display()))?;
            ensure!(!text.contains(','), "QEMU can't take a comma in {text}");
            Ok(text.to_owned())
        };
        arg("-accel", "tcg,thread=multi".into());
        arg(
            "-M",
            match self.firmware {
                Firmware::SecureBoot => "q35,smm=on".into(),
                Firmware::Uefi | Firmware::Bios => "q35".into(),
            },
        );
        arg("-cpu", "max".into());
        arg("-smp", self.cpus.to_string());
        arg("-m", self.memory_mib.to_string());
        arg("-display", "none".into());
        arg("-monitor", "none".into());
        arg(
            "-chardev",
            format!(
                "socket,id=serial,path={},server=on,wait=off",
                file(&self.path("serial.sock"))?
            ),
        );
        arg("-serial", "chardev:serial".into());
        arg(
            "-gdb",
            format!("unix:{},server=on,wait=off", file(&self.path("gdb.sock"))?),
        );
        arg(
            "-qmp",
            format!("unix:{},server=on,wait=off", file(&self.path("qmp.sock"))?),
        );
        let code = match self.firmware {
            Firmware::Uefi => Some("/usr/share/OVMF/OVMF_CODE_4M.fd"),
            Firmware::SecureBoot => Some("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"),
            Firmware::Bios => None,
        };
        if let Some(code) = code {
            arg("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"));
            arg(
                "-drive",
                format!("if=pflash,unit=1,format=raw,file={}", file(&self.path("vars.fd"))?),
            );
        }
        if self.firmware == Firmware::SecureBoot {
            arg("-global", "driver=cfi.pflash01,property=secure,value=on".into());
        }
        arg("-device", "virtio-rng-pci".into());
        arg("-device", "qemu-xhci".into());
        arg("-device", "usb-kbd".into());
        if let Some(stick) = &self.stick {
            arg(
                "-drive",
                format!("if=none,id=stick,format=raw,readonly=on,file={}", file(stick)?),
            );
            let first = if self.boot_stick_first { ",bootindex=0" } else { "" };
            arg(
                "-device",
                match self.medium {
                    Medium::Cd => format!("ide-cd,bus=ide.1,drive=stick{first}"),
                    Medium::Stick | Medium::Net { .. } => {
                        format!("usb-storage,id={STICK},drive=stick,removable=on{first}")
                    }
                },
            );
        }
        for name in self.disks() {
            arg(
                "-drive",
                format!(
                    "if=none,id={name},format=raw,file={}",
                    file(&self.path(&format!("{name}.img")))?
                ),
            );
        }
        arg("-device", "nvme,serial=host-nvme,drive=nvme".into());
        arg("-device", "ide-hd,bus=ide.0,drive=ahci".into());
        if self.all_kinds_of_disks {
            arg("-device", "virtio-blk-pci,romfile=,drive=virtio".into());
            arg("-device", "usb-storage,drive=usb".into());
            arg("-device", "sdhci-pci".into());
            arg("-device", "sd-card,drive=sd".into());
        }
        match &self.network {
            Network::Tap { tap, .. } => {
                ensure!(
                    !tap.is_empty() && tap.len() <= 15,
                    "a tap's name has 1 to 15 letters: {tap}"
                );
                arg("-netdev", format!("tap,id=net0,ifname={tap},script=no,downscript=no"));
            }
            Network::User => {
                let boot = match &self.medium {
                    Medium::Net { folder, file: name } => format!(",tftp={},bootfile={name}", file(folder)?),
                    Medium::Stick | Medium::Cd => String::new(),
                };
                arg("-netdev", format!("user,id=net0{boot}"));
            }
            Network::Silent => arg("-netdev", "hubport,id=net0,hubid=0".into()),
            Network::None => arg("-nic", "none".into()),
        }
        if !matches!(self.network, Network::None) {
            let role = match (&self.medium, self.firmware) {
                // A BIOS boots from the network by the program in the card (iPXE).
                (Medium::Net { .. }, Firmware::Bios) => "bootindex=0",
                // OVMF has its own driver.
                (Medium::Net { .. }, _) => "romfile=,bootindex=0",
                // romfile= : no PXE program in the card, which would take a second and a network boot entry.
                _ => "romfile=",
            };
            let card = if self.usb_card {
                "usb-net,netdev=net0".to_owned()
            } else {
                format!("virtio-net-pci,netdev=net0,{role}")
            };
            arg("-device", format!("{card},mac={}", self.mac));
        }
        args.extend(self.more.iter().cloned());
        args.extend(["-no-reboot", "-no-shutdown", "-S"].map(str::to_owned));

        let mut command = match &self.network {
            Network::Tap { netns, .. } => {
                // `ip netns exec` replaces itself by QEMU, so the process number we get is QEMU's.
                let mut ip = Command::new("ip");
                ip.args(["netns", "exec", netns, "qemu-system-x86_64"]);
                ip
            }
            Network::User | Network::Silent | Network::None => Command::new("qemu-system-x86_64"),
        };
        command.args(args);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(config: &Config) -> String {
        let command = config.command().expect("command");
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.join(" ")
    }

    #[test]
    fn the_stick_is_read_only_and_the_hosts_disks_are_writable_so_that_a_write_would_show() {
        let text = line(&Config::new("/s.img".into(), "/w".into()));
        assert!(text.contains("id=stick,format=raw,readonly=on"), "{text}");
        assert!(text.contains("id=nvme,format=raw,file=/w/nvme.img"), "{text}");
        assert!(!text.contains("snapshot"), "{text}");
    }

    #[test]
    fn a_path_that_qemu_would_misread_is_refused() {
        assert!(Config::new("/a,b.img".into(), "/w".into()).command().is_err());
    }

    #[test]
    fn secure_boot_and_bios_get_their_own_firmware() {
        let mut config = Config::new("/s.img".into(), "/w".into());
        config.firmware = Firmware::SecureBoot;
        let text = line(&config);
        assert!(text.contains("q35,smm=on") && text.contains("secboot.fd"), "{text}");
        assert!(config.variables().ends_with("OVMF_VARS_4M.ms.fd"));
        config.firmware = Firmware::Bios;
        assert!(!line(&config).contains("pflash"), "{}", line(&config));
    }

    #[test]
    fn every_disk_that_is_watched_is_also_plugged_in() {
        let mut config = Config::new("/s.img".into(), "/w".into());
        config.all_kinds_of_disks = true;
        let text = line(&config);
        assert_eq!(config.disks().len(), 5);
        for name in config.disks() {
            assert_eq!(text.matches(&format!("drive={name}")).count(), 1, "{name}: {text}");
        }
    }

    #[test]
    fn a_tap_runs_qemu_inside_the_namespace() {
        let mut config = Config::new("/s.img".into(), "/w".into());
        config.network = Network::tap("sk-inet", "br0", "sk-laptop0");
        assert!(line(&config).starts_with("netns exec sk-inet qemu-system-x86_64 "));
        config.network = Network::tap("sk-inet", "br0", "a-name-that-is-too-long");
        assert!(config.command().is_err());
    }
}
