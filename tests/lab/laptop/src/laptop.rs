//! One running laptop.

use crate::config::{Config, Firmware, Network};
use crate::console::Console;
use crate::disks;
use crate::proofs::{DiskProof, Proofs};
use crate::qmp::{Counters, PowerState, Qmp};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What OVMF prints when it hands over to a loader. From here on nobody may touch the host's disks.
const HANDOVER: &str = "BdsDxe: starting";

/// A laptop that was switched on. Dropping it ends QEMU (by its own process number) and takes its tap away.
pub struct Laptop {
    config: Config,
    qemu: Child,
    qmp: Qmp,
    console: Console,
    hashes: BTreeMap<String, String>,
    handover: BTreeMap<String, Counters>,
    _tap: Option<Tap>,
}

impl Laptop {
    /// Fills the disks, switches on, and waits for the firmware's handover to the stick's loader, where the counters' baseline is taken.
    /// A BIOS says nothing at its handover: there the baseline is power-on, so that not even the firmware may touch a disk.
    pub fn start(config: Config) -> Result<Self> {
        if config.firmware == Firmware::Bios {
            return Self::power_on(config);
        }
        let mut laptop = Self::power_on(config)?;
        laptop.wait_for(HANDOVER, Duration::from_secs(180))?;
        laptop.qmp.call("stop", json!({}))?;
        laptop.handover = laptop.qmp.counters()?;
        laptop.qmp.call("cont", json!({}))?;
        Ok(laptop)
    }

    /// Fills the disks and switches on; the baseline is power-on itself.
    pub(crate) fn power_on(config: Config) -> Result<Self> {
        fs::create_dir_all(&config.work)?;
        disks::make(&config)?;
        let mut hashes = BTreeMap::new();
        for name in config.disks() {
            hashes.insert((*name).to_owned(), disks::hash(&config.path(&format!("{name}.img")))?);
        }
        fs::copy(config.variables(), config.path("vars.fd")).context("the firmware (package ovmf)")?;
        for socket in ["qmp.sock", "serial.sock", "gdb.sock"] {
            // Left over from an earlier run.
            let _ = fs::remove_file(config.path(socket));
        }
        let tap = match &config.network {
            Network::Tap { netns, bridge, tap } => Some(Tap::make(netns, bridge, tap)?),
            Network::User | Network::Silent | Network::None => None,
        };
        let log = config.path("qemu.log");
        let qemu = config
            .command()?
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("starting QEMU")?;
        let mut guard = EndOnError(Some(qemu));
        let qmp = guard.wait_for_socket(&config.path("qmp.sock"), &log, Qmp::connect)?;
        let connect = |path: &Path| Console::connect(path, &config.path("console.log"));
        let console = guard.wait_for_socket(&config.path("serial.sock"), &log, connect)?;
        let qemu = guard.0.take().context("QEMU is gone")?;
        let mut laptop = Laptop {
            config,
            qemu,
            qmp,
            console,
            hashes,
            handover: BTreeMap::new(),
            _tap: tap,
        };
        laptop.handover = laptop.qmp.counters()?;
        laptop.qmp.call("cont", json!({}))?;
        Ok(laptop)
    }

    /// Waits until `text` comes on the serial line, after what was waited for before; gives what came in between.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // In short pieces, so that a machine that went off is noticed.
            if let Some(before) = self.console.wait_for(text, left.min(Duration::from_secs(2)))? {
                return Ok(before);
            }
            let state = self.power_state()?;
            let running = state == PowerState::On;
            if !running {
                // What came just before power-off may still be on its way.
                if let Some(before) = self.console.wait_for(text, Duration::from_millis(500))? {
                    return Ok(before);
                }
            }
            ensure!(
                running,
                "the laptop is {state:?} while waiting for {text:?}; last lines:\n{}",
                self.console.tail()
            );
            if left.is_zero() {
                bail!(
                    "waited {} s for {text:?} on the console; last lines:\n{}",
                    limit.as_secs(),
                    self.console.tail()
                );
            }
        }
    }

    /// Types a line and Enter.
    pub fn type_line(&mut self, text: &str) -> Result<()> {
        self.console.send(text.as_bytes())?;
        self.console.send(b"\r")
    }

    /// Types a single key, without Enter.
    pub fn type_key(&mut self, key: char) -> Result<()> {
        self.console.send(key.to_string().as_bytes())
    }

    /// Types on the emulated USB keyboard, as on a US layout, without Enter (`\n` is that).
    pub fn press_keys(&mut self, text: &str) -> Result<()> {
        for key in text.chars() {
            let keys =
                crate::keyboard::keys_for(key).with_context(|| format!("a US keyboard has no key for {key:?}"))?;
            self.press_together(&keys)?;
        }
        Ok(())
    }

    /// Holds keys of the emulated keyboard together, by QEMU's names of them.
    pub fn press_together(&mut self, keys: &[impl AsRef<str>]) -> Result<()> {
        let keys: Vec<_> = keys
            .iter()
            .map(|name| json!({"type": "qcode", "data": name.as_ref()}))
            .collect();
        self.qmp.call("send-key", json!({"keys": keys, "hold-time": 30}))?;
        // QEMU's own queue is short, and the keyboard reports 100 times a second.
        std::thread::sleep(Duration::from_millis(80));
        Ok(())
    }

    /// Presses the power button, briefly.
    pub fn press_power_button(&mut self) -> Result<()> {
        self.qmp.call("system_powerdown", json!({})).map(drop)
    }

    /// Puts the network cable in, or pulls it out.
    pub fn plug_cable(&mut self, plugged: bool) -> Result<()> {
        let arguments = json!({"name": "net0", "up": plugged});
        self.qmp.call("set_link", arguments).map(drop)
    }

    /// Pulls the stick out.
    pub fn pull_stick(&mut self) -> Result<()> {
        self.qmp
            .call("device_del", json!({"id": crate::config::STICK}))
            .map(drop)
    }

    /// Everything that came on the console so far.
    pub fn console_text(&self) -> String {
        self.console.everything()
    }

    /// The console's log file, each line with the seconds since power-on.
    pub fn console_log(&self) -> PathBuf {
        self.config.path("console.log")
    }

    /// CPU seconds that the whole machine has used so far (QEMU's own): a steadier figure than time on a busy host.
    pub fn cpu_time(&self) -> Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.qemu.id()))?;
        // After the name in brackets: state is field 3, user and system ticks (1/100 s) are 14 and 15.
        let fields = text.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
    }

    /// Time since power-on.
    pub fn elapsed(&self) -> Duration {
        self.console.elapsed()
    }

    /// QEMU's counters of all media now, by name: `nvme`, `ahci`, `stick`.
    pub fn block_stats(&mut self) -> Result<BTreeMap<String, Counters>> {
        self.qmp.counters()
    }

    /// On, off, panicked.
    pub fn power_state(&mut self) -> Result<PowerState> {
        if let Some(status) = self.qemu.try_wait()? {
            bail!(
                "QEMU ended by itself ({status}), see {}",
                self.config.path("qemu.log").display()
            );
        }
        self.qmp.power_state()
    }

    /// Waits until the guest powered itself off.
    pub fn wait_for_power_off(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            match self.power_state()? {
                PowerState::Off => return Ok(()),
                PowerState::On if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(200)),
                state => bail!(
                    "the laptop is {state:?} after {} s, and not powered off; last lines:\n{}",
                    limit.as_secs(),
                    self.console.tail()
                ),
            }
        }
    }

    /// Writes all of the guest's RAM into a file (ELF core), the guest stopped meanwhile. Works after power-off too.
    pub fn dump_memory(&mut self, file: &Path) -> Result<()> {
        let running = self.power_state()? == PowerState::On;
        self.qmp.call("stop", json!({}))?;
        let target = format!("file:{}", file.display());
        self.qmp
            .call("dump-guest-memory", json!({"paging": false, "protocol": target}))?;
        if running {
            self.qmp.call("cont", json!({}))?;
        }
        Ok(())
    }

    /// Writes a piece of the guest's RAM into a file, while it runs.
    pub fn save_memory(&mut self, physical: u64, bytes: u64, file: &Path) -> Result<()> {
        let arguments = json!({"val": physical, "size": bytes, "filename": file.display().to_string()});
        self.qmp.call("pmemsave", arguments).map(drop)
    }

    /// Changes the guest's RAM at a physical address: a fault that the laboratory makes.
    pub fn write_memory(&mut self, physical: u64, bytes: &[u8]) -> Result<()> {
        crate::poke::write(&self.config.path("gdb.sock"), physical, bytes)?;
        self.qmp.call("cont", json!({})).map(drop)
    }

    /// Pulls the plug: QEMU ends at once, as in a power cut. Gives the proofs all the same.
    pub fn finish(mut self) -> Result<Proofs> {
        let power = self.qmp.power_state()?;
        if power == PowerState::On {
            self.qmp.call("stop", json!({}))?;
        }
        let end = self.qmp.counters()?;
        let lasted = self.elapsed();
        end_child(&mut self.qemu);
        let mut found = Vec::new();
        for name in self.config.disks() {
            found.push(DiskProof {
                name: (*name).to_owned(),
                at_handover: self
                    .handover
                    .get(*name)
                    .copied()
                    .with_context(|| format!("no counters of {name}"))?,
                at_end: end
                    .get(*name)
                    .copied()
                    .with_context(|| format!("no counters of {name}"))?,
                sha256_before: self.hashes.get(*name).cloned().unwrap_or_default(),
                sha256_after: disks::hash(&self.config.path(&format!("{name}.img")))?,
            });
        }
        Ok(Proofs {
            disks: found,
            power,
            lasted,
            console_log: self.console_log(),
        })
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        end_child(&mut self.qemu);
    }
}

fn end_child(child: &mut Child) {
    // Already ended is fine.
    let _ = child.kill();
    let _ = child.wait();
}

/// QEMU between its start and the moment it belongs to a [`Laptop`].
struct EndOnError(Option<Child>);

impl EndOnError {
    fn wait_for_socket<T>(&mut self, path: &Path, log: &Path, connect: impl Fn(&Path) -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let problem = match connect(path) {
                Ok(connected) => return Ok(connected),
                Err(problem) => problem,
            };
            let ended = self.0.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > deadline {
                bail!(
                    "QEMU did not start: {problem}; it said: {}",
                    fs::read_to_string(log).unwrap_or_default().trim()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for EndOnError {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end_child(child);
        }
    }
}

/// A tap on a bridge of a namespace; deleted when dropped.
struct Tap {
    netns: String,
    name: String,
}

impl Tap {
    fn make(netns: &str, bridge: &str, name: &str) -> Result<Self> {
        let ip = |args: &[&str]| disks::run(Command::new("ip").args(["-n", netns]).args(args));
        // One left over from a run that was killed.
        let _ = ip(&["link", "delete", name]);
        ip(&["tuntap", "add", "dev", name, "mode", "tap"])?;
        let tap = Tap {
            netns: netns.to_owned(),
            name: name.to_owned(),
        };
        ip(&["link", "set", name, "master", bridge, "up"])?;
        Ok(tap)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["-n", &self.netns, "link", "delete", &self.name])
            .output();
    }
}
