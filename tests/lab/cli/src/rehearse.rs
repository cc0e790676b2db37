//! The rehearsal: a borrowed laptop, a passphrase, a castle; then the proofs.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lab_laptop::{Config, Laptop, Network, Proofs};
use sha2::{Digest, Sha256};

use crate::{
    lab::Lab,
    memory::Watch,
    owner::{self, PASSPHRASE},
    places::Places,
    verdicts::Verdicts,
};

/// The site of the example castle.
pub const SITE: &str = "https://blog.rossi.example/";

/// The blog's file in tests/castle/repo.
pub const BLOG: &str = "apps/blog/blog.yaml";
/// How the blog is served.
const SERVED: &str = "[caddy, file-server, --root, /srv, --listen, \":8080\"]";

/// Boots the image and proves what it did.
pub async fn run(lab: &Lab, places: &Places, image: PathBuf) -> Result<bool> {
    let mut verdicts = Verdicts::new();
    verdicts.stage("the laboratory runs; the owner prepares a stick");
    let folder = tokio::task::block_in_place(|| owner::make(lab, places, owner::Supplier::Aws))?;
    let stick = tokio::task::block_in_place(|| stick(places, &image, &folder))?;
    let before = lab.inventory();
    verdicts.must(
        before.is_empty(),
        "the cloud is empty before",
        format!("{} things", before.len()),
    );
    let early = lab.world.visitor_get(SITE).await;
    verdicts.must(
        early.is_err(),
        "the old castle is dead: a visitor gets no page",
        early.err().map_or_else(|| "a page came".into(), |e| first_line(&e)),
    );

    let broken = lab
        .world
        .push(BLOG, |yaml| yaml.replace("caddy:2.10.2", "caddy:0-nowhere"))
        .await?;
    ensure!(Some(broken.as_str()) != lab.world.castle_commit(), "nothing was pushed");
    verdicts.stage(&format!(
        "the last commit before the fire, {}, broke the blog; a borrowed laptop is switched on",
        &broken[..12]
    ));
    let work = places.work.join("laptop");
    let (told, hear) = std::sync::mpsc::channel();
    let console = work.join("console.log");
    let watch = tokio::task::block_in_place(|| Watch::new(lab, &folder, places.work.join("memory.elf")))?;
    let laptop = tokio::task::spawn_blocking(move || drive(stick, work, &told, watch));
    let address = tokio::task::block_in_place(|| hear.recv_timeout(Duration::from_secs(300)));
    if let Ok(address) = address {
        let scan = lab.world.port_scan(address.parse()?, 1..=65535).await?;
        verdicts.must(
            scan.open_tcp.is_empty(),
            "no TCP port of the laptop is open while it works",
            format!(
                "65535 scanned: {} refused, {} silent",
                scan.refused_tcp, scan.silent_tcp
            ),
        );
    }
    // Somebody pushes in mid-rebirth, after Flux has been told which commit to follow: that page must never be seen.
    let pushed = until_console(&console, "restore.site", || laptop.is_finished()).await;
    if pushed {
        let commit = lab
            .world
            .push(BLOG, |yaml| {
                yaml.replace(SERVED, "[caddy, respond, --listen, \":8080\", pushed-meanwhile]")
            })
            .await?;
        ensure!(Some(commit.as_str()) != lab.world.castle_commit(), "nothing was pushed");
        verdicts.stage(&format!("somebody pushes {} to the castle's repository", &commit[..12]));
    }
    let driven = laptop.await?;
    let driven = match driven {
        Ok(driven) => driven,
        Err(e) => {
            println!("{}", tail(&console, 60));
            return Err(e);
        }
    };
    println!("{}", driven.report);
    let lifted = driven.lifted;
    verdicts.must(
        lifted > 0,
        "pods were held by their gates until the data was verified",
        format!("{lifted} pods were let go"),
    );
    verdicts.must(true, "a wrong passphrase was refused and asked again", "on the console");
    verdicts.must(
        true,
        "the laptop powered itself off",
        format!("{:.0} s after power-on", driven.proofs.lasted.as_secs_f64()),
    );
    println!(
        "figure: power-on to prompt {:.1} s, passphrase to living castle {:.1} s",
        driven.to_prompt.as_secs_f64(),
        driven.to_alive.as_secs_f64()
    );

    let pinned = lab.world.castle_commit().unwrap_or("no commit");
    let why = "the last commit at which castle home was all green";
    verdicts.must(
        driven.text.contains(why) && driven.text.contains(&format!("pinned to {pinned}")),
        "reborn from the commit at which the old castle was last all green, not from the branch's head, which broke the blog",
        format!("pinned to {}, the head was {}; the page below is the proof", &pinned[..12], &broken[..12]),
    );
    verdicts.must(
        pushed && driven.text.contains(&format!("pinned to {pinned}")),
        "what was pushed in mid-rebirth changes nothing: Flux stays at that commit",
        "the same page is the proof",
    );
    verdicts.must(
        driven
            .text
            .contains(&format!("had the claim {} while it lived", owner::LOST_CLAIM)),
        "a claim that the old castle had and castle.yaml forgot is told before anything is made",
        owner::LOST_CLAIM,
    );
    verdicts.must(
        driven.text.contains("patched: Deployment/web/ddns: it writes "),
        "a program of the repository that writes the castle's name itself was held back",
        "Deployment/web/ddns",
    );
    verdicts.must(
        driven.text.contains("the newest pulse, of castle home, is "),
        "before the names moved the old castle was found silent: its pulse is old and nobody answers at its address",
        "nobody was asked anything",
    );
    page(lab, &mut verdicts).await;
    driven.watch.judge(&mut verdicts);
    let touched = driven.proofs.untouched_after_handover();
    verdicts.must(
        touched.is_ok(),
        "0 bytes read from or written to the laptop's disks after the firmware handed over, and their pattern unchanged",
        touched.err().map_or_else(|| "QEMU's own counters, NVMe and SATA".into(), |e| e.to_string()),
    );
    let nodes = lab
        .cloud
        .instances()
        .into_iter()
        .filter(|i| format!("{:?}", i.2).to_lowercase().contains("running"))
        .count();
    verdicts.must(nodes == 5, "five machines run", nodes);

    crate::database::look(lab, &driven.text, &mut verdicts).await?;
    crate::inspect::look(lab, &mut verdicts).await?;
    crate::shapes::look(lab, &mut verdicts).await?;
    crate::host::after(lab, places, &folder, &mut verdicts).await?;
    Ok(verdicts.end())
}

/// A visitor who knows only the name gets the page that was backed up.
pub async fn page(lab: &Lab, verdicts: &mut Verdicts) {
    match lab.world.visitor_get(SITE).await {
        Ok(visit) => {
            let hash = hex::encode(Sha256::digest(&visit.body));
            verdicts.must(
                visit.status == 200 && hash == lab.world.backup().index_sha256,
                "a visitor who knows only the name gets the backed-up page, byte for byte, over HTTPS",
                format!("{} at {}, sha256 {}", visit.status, visit.address, &hash[..16]),
            );
        }
        Err(e) => verdicts.must(false, "a visitor who knows only the name gets the page", first_line(&e)),
    }
}

fn stick(places: &Places, image: &Path, owner: &Path) -> Result<PathBuf> {
    let personal = places.work.join("personal.cpio");
    let stick = places.work.join("stick.img");
    let run = |program: &str, args: &[&Path]| -> Result<()> {
        let status = Command::new(places.tree.join(program))
            .args(args)
            .env("SKYKEEP_CACHE", &places.cache)
            .status()?;
        ensure!(status.success(), "{program} failed");
        Ok(())
    };
    run("image/personal", &[owner, &personal])?;
    run("image/stick", &[image, &stick, &personal])?;
    Ok(stick)
}

struct Driven {
    /// The whole console.
    text: String,
    report: String,
    /// Pods whose gate was lifted when the data was back.
    lifted: u32,
    to_prompt: Duration,
    to_alive: Duration,
    proofs: Proofs,
    watch: Watch,
}

/// Sits at the laptop.
fn drive(stick: PathBuf, work: PathBuf, address: &std::sync::mpsc::Sender<String>, mut watch: Watch) -> Result<Driven> {
    let mut config = Config::new(stick, work);
    config.network = Network::tap("sk-inet", "br0", "sk-laptop0");
    let mut laptop = Laptop::start(config)?;
    let prompt = Duration::from_secs(240);
    laptop.wait_for("Passphrase: ", prompt)?;
    let to_prompt = laptop.elapsed();
    laptop.type_line("not the passphrase at all")?;
    laptop
        .wait_for("Passphrase: ", Duration::from_secs(120))
        .context("a wrong passphrase must be asked again")?;
    laptop.type_line(PASSPHRASE)?;
    let begin = Instant::now();
    laptop.wait_for("The vault is open", Duration::from_secs(120))?;
    let text = laptop.console_text();
    let mut own: Option<IpAddr> = None;
    if let Some(ip) = text
        .lines()
        .find_map(|l| l.split(" has ").nth(1)?.split('/').next().map(str::to_owned))
    {
        own = ip.parse().ok();
        // Nobody listening only means that the scan is not wanted.
        let _ = address.send(ip);
    }
    let limit = Duration::from_secs(1500);
    loop {
        let text = laptop.console_text();
        if text.contains("The castle is alive.") {
            break;
        }
        // Every credential is in use by then, and the data is on its way.
        if watch.middle.is_none() && text.contains("restore.site") {
            watch.look_in_the_middle(&mut laptop, own)?;
        }
        ensure!(!text.contains("The rebirth stopped at"), "the rebirth stopped");
        ensure!(begin.elapsed() < limit, "no living castle after {} s", limit.as_secs());
        ensure!(!text.contains("[r] start again"), "the agent ended badly");
        std::thread::sleep(Duration::from_millis(300));
    }
    let to_alive = begin.elapsed();
    laptop.wait_for_power_off(Duration::from_secs(120))?;
    watch.look_at_the_end(&mut laptop, own)?;
    let text = laptop.console_text();
    let report = text
        .find("   step ")
        .map_or_else(String::new, |at| text[at..].to_owned());
    let lifted = text.split("verified; the gate of ").skip(1);
    let lifted = lifted
        .filter_map(|rest| rest.split(' ').next()?.parse::<u32>().ok())
        .sum();
    Ok(Driven {
        text: text.clone(),
        lifted,
        report,
        to_prompt,
        to_alive,
        proofs: laptop.finish()?,
        watch,
    })
}

/// Waits until the console has said this; false when the laptop's part ended without it.
async fn until_console(console: &Path, word: &str, ended: impl Fn() -> bool) -> bool {
    while !ended() {
        // A serial line carries bytes, not always UTF-8.
        if std::fs::read(console).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(word)) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    false
}

fn tail(file: &Path, lines: usize) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The first line of an error.
pub fn first_line(e: &anyhow::Error) -> String {
    format!("{e:#}").lines().next().unwrap_or_default().to_owned()
}
