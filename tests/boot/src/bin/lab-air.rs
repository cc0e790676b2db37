//! A person at the keyboard of a laptop without a cable: chooses Wi-Fi networks of a real access point, mistypes passwords, and sees the access point go and come
//! back. It types as soon as a question stands there. `tests/boot/wifi` makes what it boots.

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use lab_laptop::{Config, Firmware, Laptop};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No wait is longer: scans and WPA3's arithmetic are slow in an emulator.
const LIMIT: Duration = Duration::from_secs(240);
const PASSPHRASE: &str = "seven quiet herons crossed the frozen harbour";

/// Wi-Fi, end to end.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Makes an owner's part with a vault that opens, and says where
    Owner {
        /// The source tree (example castle)
        #[arg(long)]
        tree: PathBuf,
        /// The program, as the owner uses it
        #[arg(long)]
        skykeep: PathBuf,
        /// Where
        #[arg(long)]
        work: PathBuf,
    },
    /// Boots, and types
    Run {
        /// The kernel
        #[arg(long)]
        kernel: PathBuf,
        /// Owner's part, image and air
        #[arg(long)]
        initrd: PathBuf,
        /// What the kernel is told
        #[arg(long)]
        cmdline: String,
        /// The laptop's folder
        #[arg(long)]
        work: PathBuf,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().what {
        What::Owner { tree, skykeep, work } => println!("{}", owner(&tree, &skykeep, &work)?.display()),
        What::Run {
            kernel,
            initrd,
            cmdline,
            work,
        } => run(&kernel, &initrd, &cmdline, work)?,
    }
    Ok(())
}

fn owner(tree: &Path, skykeep: &Path, work: &Path) -> Result<PathBuf> {
    let folder = work.join("owner");
    fs::create_dir_all(&folder)?;
    fs::copy(tree.join("tests/castle/castle.yaml"), folder.join("castle.yaml"))?;
    let lock = r#"{"version": 1, "kubernetes": "v1.36.3", "artifacts": [], "images": []}"#;
    fs::write(folder.join("castle.lock"), lock)?;
    let mut child = Command::new(skykeep)
        .args(["vault", "init"])
        .arg(folder.join("vault.skv"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().context("its standard input")?;
    input.write_all(format!("{PASSPHRASE}\n").as_bytes())?;
    drop(input);
    ensure!(child.wait()?.success(), "the vault was not made");
    Ok(folder)
}

/// The access point's serial line.
struct Point {
    line: UnixStream,
    heard: String,
}

impl Point {
    fn wait_for(&mut self, text: &str) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut buffer = [0; 1024];
        loop {
            if let Some(at) = self.heard.find(text) {
                self.heard.drain(..at + text.len());
                return Ok(());
            }
            match self.line.read(&mut buffer) {
                Ok(0) => bail!("the access point is gone; it said: {}", self.heard),
                Ok(n) => self
                    .heard
                    .push_str(&String::from_utf8_lossy(buffer.get(..n).unwrap_or_default())),
                Err(_) if Instant::now() < deadline => {}
                Err(e) => {
                    return Err(e).context(format!("waiting for {text:?}; the access point said: {}", self.heard));
                }
            }
        }
    }

    fn order(&mut self, word: &str) -> Result<()> {
        self.line.write_all(format!("{word}\n").as_bytes())?;
        self.wait_for(&format!("point: {word}"))
    }
}

fn run(kernel: &Path, initrd: &Path, cmdline: &str, work: PathBuf) -> Result<()> {
    fs::create_dir_all(&work)?;
    let socket = work.join("point.sock");
    let mut config = Config::new(PathBuf::new(), work);
    config.stick = None;
    config.firmware = Firmware::Bios;
    config.memory_mib = 1024;
    config.cpus = 1;
    config.more = [
        "-kernel",
        &kernel.display().to_string(),
        "-initrd",
        &initrd.display().to_string(),
        "-append",
        cmdline,
        "-chardev",
        &format!("socket,id=point,path={},server=on,wait=off", socket.display()),
        "-serial",
        "chardev:point",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut laptop = Laptop::start(config)?;
    let line = UnixStream::connect(&socket)?;
    line.set_read_timeout(Some(Duration::from_secs(1)))?;
    let heard = String::new();
    let mut point = Point { line, heard };
    point.wait_for("point: ready")?;
    point.order("on")?;
    said(&laptop, "an access point with three networks is on the air");

    // Before the passphrase, because there is no cable.
    let letter = pick(&mut laptop, "Hotel Bellevue", "WPA2")?;
    laptop.type_key(letter)?;
    wrong_then_right(
        &mut laptop,
        "Hotel Bellevue",
        "good evening sunshine",
        "good morning sunshine",
    )?;
    laptop.wait_for("has 10.7.0.", LIMIT)?;
    said(
        &laptop,
        "WPA2: a wrong password was said as such, the right one let in, DHCP gave an address",
    );

    point.order("off")?;
    laptop.wait_for("the Wi-Fi connection is lost", LIMIT)?;
    point.order("on")?;
    laptop.wait_for("the Wi-Fi connection is back", LIMIT)?;
    said(
        &laptop,
        "the access point went away and came back: both were said, and the laptop is in again",
    );

    // The castle's hosts are not behind this access point: the page that says so leads to other networks.
    laptop.type_line(PASSPHRASE)?;
    laptop.wait_for("[w] choose a Wi-Fi network", LIMIT)?;
    laptop.type_key('w')?;
    let letter = pick(&mut laptop, "Cafe Central", "WPA3")?;
    laptop.type_key(letter)?;
    wrong_then_right(
        &mut laptop,
        "Cafe Central",
        "espresso, much sugar",
        "espresso, no sugar",
    )?;
    laptop.wait_for("has 10.7.1.", LIMIT)?;
    said(&laptop, "WPA3: the same");

    laptop.wait_for("[w] choose a Wi-Fi network", LIMIT)?;
    laptop.type_key('w')?;
    laptop.wait_for("[h] a hidden network", LIMIT)?;
    laptop.type_key('h')?;
    laptop.wait_for("Name of the network: ", LIMIT)?;
    laptop.type_line("back office")?;
    laptop.wait_for("Password of back office", LIMIT)?;
    laptop.type_line("not for the guests")?;
    laptop.wait_for("back office let this machine in", LIMIT)?;
    laptop.wait_for("has 10.7.2.", LIMIT)?;
    said(&laptop, "a hidden network was joined by its name");
    laptop.finish()?.untouched_after_handover()
}

fn said(laptop: &Laptop, what: &str) {
    println!("[{:6.1} s] shown: {what}", laptop.elapsed().as_secs_f64());
}

/// The letter of a network on the list; scans again when a beacon was missed.
fn pick(laptop: &mut Laptop, network: &str, security: &str) -> Result<char> {
    for _ in 0..5 {
        laptop.wait_for("Wi-Fi networks here", LIMIT)?;
        let list = laptop.wait_for("[h] a hidden network", LIMIT)?;
        ensure!(
            !list.contains("back office"),
            "a hidden network is on the list:\n{list}"
        );
        let mut lines = list.lines();
        if let Some(line) = lines.find(|line| line.contains(network)) {
            ensure!(line.contains(security) && line.contains("dBm"), "{line}");
            return line.trim().chars().nth(1).context("a letter");
        }
        laptop.type_key('s')?;
    }
    bail!("{network} was never on the list")
}

fn wrong_then_right(laptop: &mut Laptop, network: &str, wrong: &str, right: &str) -> Result<()> {
    let question = format!("Password of {network}");
    laptop.wait_for(&question, LIMIT)?;
    laptop.type_line(wrong)?;
    laptop.wait_for(&format!("The password of the Wi-Fi network {network} is wrong"), LIMIT)?;
    laptop.wait_for(&question, LIMIT)?;
    laptop.type_line(right)?;
    laptop.wait_for(&format!("{network} let this machine in"), LIMIT)?;
    ensure!(!laptop.console_text().contains(right), "the password is on the screen");
    Ok(())
}
