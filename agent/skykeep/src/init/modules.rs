//! Drivers: which module files a device needs, in which order, and loading them.

use super::{alias, kernel};
use nix::kmod::{ModuleInitFlags, finit_module};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What no device asks for by itself.
const ALWAYS: &[&str] = &["efivarfs", "evdev", "button"];

/// What a module would ask the kernel to load by a program that does not exist here: the ciphers of WPA2 and WPA3, and the half of Intel's driver that
/// fits the card's firmware.
const COMPANIONS: &[(&str, &[&str])] = &[
    (
        "mac80211",
        &[
            "aesni_intel",
            "ghash_clmulni_intel",
            "ghash_generic",
            "seqiv",
            "ccm",
            "gcm",
            "cmac",
        ],
    ),
    ("iwlwifi", &["iwlmvm", "iwldvm"]),
];

/// `modules.dep`, `modules.softdep` and `modules.alias` of one kernel, and what is loaded of it.
pub struct Loader {
    folder: PathBuf,
    index: Index,
    done: BTreeSet<String>,
}

/// The text files that depmod wrote, parsed. Pure.
#[derive(Default)]
pub struct Index {
    /// Module name to its file and the files it needs, both relative to the module folder.
    files: BTreeMap<String, (String, Vec<String>)>,
    /// Module name to the names that should be there before it.
    before: BTreeMap<String, Vec<String>>,
    /// Pattern and module name.
    aliases: Vec<(String, String)>,
}

/// The name of a module as the kernel has it: `virtio-rng.ko` is `virtio_rng`.
fn name_of(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base).replace('-', "_")
}

impl Index {
    /// Parses the three files. Lines that are not understood are skipped: a driver may be missing then, nothing worse.
    pub fn parse(dep: &str, softdep: &str, alias: &str) -> Self {
        let mut index = Index::default();
        for (file, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            index.files.insert(name_of(file), (file.to_owned(), needs));
        }
        for line in softdep.lines() {
            let mut words = line.split_whitespace();
            if words.next() != Some("softdep") {
                continue;
            }
            let Some(module) = words.next() else { continue };
            let names = words
                .skip_while(|word| *word != "pre:")
                .skip(1)
                .take_while(|word| *word != "post:");
            index
                .before
                .entry(module.replace('-', "_"))
                .or_default()
                .extend(names.map(|name| name.replace('-', "_")));
        }
        for line in alias.lines() {
            let mut words = line.split_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) = (words.next(), words.next(), words.next()) {
                index.aliases.push((pattern.to_owned(), module.replace('-', "_")));
            }
        }
        index
    }

    /// The names of the modules that serve a device with this modalias.
    pub fn modules_for(&self, modalias: &str) -> Vec<String> {
        let fitting = self
            .aliases
            .iter()
            .filter(|(pattern, _)| alias::matches(pattern, modalias));
        let names: BTreeSet<String> = fitting.map(|(_, module)| module.clone()).collect();
        names.into_iter().collect()
    }

    /// The modules whose files lie under a folder of the kernel's tree.
    pub fn modules_under(&self, folder: &str) -> Vec<String> {
        let there = self.files.iter().filter(|(_, (file, _))| file.contains(folder));
        there.map(|(name, _)| name.clone()).collect()
    }

    /// The files to load for a module, in order, the module's own last. Empty when it is not in the image (built in, or left out).
    pub fn files_for(&self, module: &str) -> Vec<String> {
        let mut order = Vec::new();
        self.collect(&module.replace('-', "_"), &mut order, 0);
        order
    }

    /// As [`Index::files_for`], and the companions of each of these after them.
    fn with_companions(&self, module: &str) -> Vec<String> {
        let mut order = self.files_for(module);
        for (wanted, companions) in COMPANIONS {
            if order.iter().any(|file| name_of(file) == *wanted) {
                for companion in *companions {
                    self.collect(companion, &mut order, 0);
                }
            }
        }
        order
    }

    fn collect(&self, module: &str, order: &mut Vec<String>, depth: usize) {
        let Some((file, needs)) = self.files.get(module) else {
            return;
        };
        // Soft dependencies may be circular; real chains are a handful deep.
        if depth > 16 || order.contains(file) {
            return;
        }
        for name in self.before.get(module).into_iter().flatten() {
            self.collect(name, order, depth + 1);
        }
        // A card's PHY driver is asked for by the kernel through a program that does not exist here, so all of them come before their users.
        if needs.iter().any(|need| name_of(need) == "libphy") && !file.contains("/net/phy/") {
            let drivers = self.files.iter().filter(|(_, (phy, _))| phy.contains("/net/phy/"));
            for (name, _) in drivers {
                self.collect(name, order, depth + 1);
            }
        }
        // depmod lists the nearest need first.
        for need in needs.iter().rev() {
            if !order.contains(need) {
                order.push(need.clone());
            }
        }
        if !order.contains(file) {
            order.push(file.clone());
        }
    }
}

impl Loader {
    /// For the kernel that runs. `None` when it was built without modules.
    pub fn of_running_kernel() -> Result<Option<Self>, String> {
        if !Path::new("/proc/modules").exists() {
            return Ok(None);
        }
        let release = nix::sys::utsname::uname()
            .map_err(|e| e.to_string())?
            .release()
            .to_string_lossy()
            .into_owned();
        let folder = Path::new("/lib/modules").join(release);
        let read = |name: &str| fs::read_to_string(folder.join(name));
        let dep = read("modules.dep").map_err(|e| format!("{}: {e}", folder.join("modules.dep").display()))?;
        let alias = read("modules.alias").map_err(|e| format!("{}: {e}", folder.join("modules.alias").display()))?;
        let index = Index::parse(&dep, &read("modules.softdep").unwrap_or_default(), &alias);
        Ok(Some(Loader {
            folder,
            index,
            done: BTreeSet::new(),
        }))
    }

    /// Loads all that serves one modalias. False when the kernel takes no more modules (sealed).
    pub fn load_for(&mut self, modalias: &str) -> bool {
        self.index.modules_for(modalias).iter().all(|module| self.load(module))
    }

    /// Loads one module, what it needs, and what they would ask for later. A driver that refuses its device is no error. False when the kernel is sealed.
    pub fn load(&mut self, module: &str) -> bool {
        for file in self.index.with_companions(module) {
            if !self.done.insert(file.clone()) {
                continue;
            }
            let Ok(opened) = File::open(self.folder.join(&file)) else {
                continue;
            };
            let no_parameters = CString::default();
            if finit_module(&opened, &no_parameters, ModuleInitFlags::empty()) == Err(nix::errno::Errno::EPERM) {
                return false;
            }
        }
        true
    }
}

/// Loads drivers for every device that is there.
pub fn load_for_present_devices(loader: &mut Loader) {
    for module in ALWAYS {
        loader.load(module);
    }
    for modalias in kernel::present_modaliases() {
        loader.load_for(&modalias);
    }
}

/// What the kernel would ask for by a program that does not exist here when a VLAN's tag is put on a card.
const TAGS: &str = "8021q";

/// Loads what VLANs need.
pub fn load_tagging() {
    if let Ok(Some(mut loader)) = Loader::of_running_kernel() {
        loader.load(TAGS);
    }
}

/// Loads every driver for a USB network adapter: one that is plugged in after the modules are sealed finds its driver there already. And what VLANs need:
/// somebody may type a tag later.
pub fn load_hot_plug_networks() {
    if let Ok(Some(mut loader)) = Loader::of_running_kernel() {
        loader.load(TAGS);
        for module in loader.index.modules_under("/drivers/net/usb/") {
            loader.load(&module);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::parse(
            "kernel/drivers/net/virtio_net.ko: kernel/net/core/failover.ko kernel/drivers/net/net_failover.ko\n\
             kernel/net/core/failover.ko:\n\
             kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko\n\
             kernel/drivers/net/ethernet/realtek/r8169.ko: kernel/drivers/net/phy/libphy.ko kernel/drivers/net/phy/mdio-bus.ko\n\
             kernel/drivers/net/phy/realtek.ko: kernel/drivers/net/phy/libphy.ko kernel/drivers/net/phy/mdio-bus.ko\n\
             kernel/drivers/net/phy/libphy.ko: kernel/drivers/net/phy/mdio-bus.ko\n\
             kernel/drivers/net/phy/mdio-bus.ko:\n\
             kernel/a.ko:\nkernel/b.ko:\n",
            "# Soft dependencies\nsoftdep r8169 pre: realtek\nsoftdep a pre: b post: virtio_net\nsoftdep b pre: a\n",
            "# Aliases\nalias virtio:d00000001v* virtio_net\nalias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169\n",
        )
    }

    #[test]
    fn what_a_module_needs_is_loaded_before_it() {
        let order = index().files_for("virtio_net");
        assert_eq!(
            order.last().map(String::as_str),
            Some("kernel/drivers/net/virtio_net.ko")
        );
        assert_eq!(order.len(), 3);
        let order = Index::parse("x.ko: y.ko z.ko\ny.ko: z.ko\nz.ko:\n", "", "").files_for("x");
        assert_eq!(order, ["z.ko", "y.ko", "x.ko"], "depmod lists the nearest need first");
    }

    #[test]
    fn a_realtek_card_gets_its_phy_driver_first() {
        let order = index().files_for("r8169");
        let place = |name: &str| order.iter().position(|file| file.contains(name)).expect(name);
        assert!(place("phy/realtek") < place("r8169"));
        assert!(place("phy/libphy") < place("phy/realtek"));
        assert!(place("mdio-bus") < place("phy/libphy"));
    }

    #[test]
    fn drivers_are_found_by_their_folder() {
        assert_eq!(
            index().modules_under("/drivers/net/phy/"),
            ["libphy", "mdio_bus", "realtek"]
        );
    }

    #[test]
    fn intels_other_half_and_the_ciphers_are_loaded_without_being_asked_for() {
        let index = Index::parse(
            "wifi/iwlwifi.ko: cfg80211.ko\nwifi/iwlmvm.ko: wifi/iwlwifi.ko mac80211.ko cfg80211.ko\nmac80211.ko: cfg80211.ko\ncfg80211.ko:\ncrypto/ccm.ko:\n",
            "",
            "",
        );
        let order = index.with_companions("iwlwifi");
        assert_eq!(order.first().map(String::as_str), Some("cfg80211.ko"));
        assert_eq!(order.last().map(String::as_str), Some("wifi/iwlmvm.ko"));
        assert!(index.with_companions("mac80211").contains(&"crypto/ccm.ko".to_owned()));
        assert_eq!(index.with_companions("ccm"), ["crypto/ccm.ko"]);
    }

    #[test]
    fn circular_soft_dependencies_end() {
        assert_eq!(index().files_for("a").len(), 2);
    }

    #[test]
    fn a_device_finds_its_module_and_an_unknown_one_finds_none() {
        assert_eq!(index().modules_for("virtio:d00000001v00001AF4"), ["virtio_net"]);
        assert!(index().modules_for("pci:v00008086").is_empty());
        assert!(index().files_for("nvme").is_empty());
    }

    #[test]
    fn names_are_as_the_kernel_has_them() {
        assert_eq!(name_of("kernel/drivers/char/hw_random/virtio-rng.ko"), "virtio_rng");
    }

    #[test]
    fn rubbish_in_the_files_is_skipped() {
        let index = Index::parse("no colon here\n\u{0}\n: \n", "softdep\nsoftdep x\n", "alias\nalias a\n");
        assert!(index.modules_for("anything").is_empty());
    }
}
