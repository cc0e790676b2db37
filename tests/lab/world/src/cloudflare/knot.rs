//! The real authoritative name server behind the double: Knot DNS, changed by its own control tool, one transaction per call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::ZONE;
use super::records::{Record, old_castle};
use crate::children::Children;
use crate::ns;

/// The zone's name servers, as the parent zone would say.
pub const NAME_SERVERS: [&str; 2] = ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"];
/// What Cloudflare publishes for "automatic".
const AUTOMATIC_TTL: u32 = 300;

/// A running knotd.
pub struct Knot {
    socket: PathBuf,
}

impl Knot {
    /// Starts knotd with the old castle's records.
    pub async fn start(children: &Children, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir.join("db"))?;
        let here = dir.display();
        let socket = dir.join("knot.sock");
        let config = format!(
            "server:\n    rundir: \"{here}\"\n    listen: {authority}@53\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
             database:\n    storage: \"{here}/db\"\n    journal-db-max-size: 32M\n    kasp-db-max-size: 8M\n    timer-db-max-size: 1M\n\
             control:\n    listen: \"{socket}\"\n\
             log:\n  - target: stderr\n    any: info\n\
             template:\n  - id: default\n    storage: \"{here}\"\n    zonefile-sync: -1\n    journal-content: changes\n    semantic-checks: off\n\
             zone:\n  - domain: {ZONE}\n",
            authority = ns::AUTHORITY,
            socket = socket.display(),
        );
        let path = dir.join("knot.conf");
        fs::write(&path, config)?;
        fs::write(dir.join(format!("{ZONE}.zone")), zone_file(&old_castle())?)?;
        children.start(
            "knotd",
            Path::new("/usr/sbin/knotd"),
            &["-c".to_owned(), path.display().to_string()],
            &[],
        )?;
        ns::wait_for_port("knotd", ns::at(ns::AUTHORITY, 53)?, Duration::from_secs(15)).await?;
        Ok(Self { socket })
    }

    /// Makes the zone say `new` where it said `old`. One transaction; when any part fails nothing changes.
    pub async fn publish(&self, old: &[Record], new: &[Record]) -> Result<()> {
        let (before, after) = (sets(old), sets(new));
        let changed: BTreeSet<_> = before
            .keys()
            .chain(after.keys())
            .filter(|key| before.get(*key) != after.get(*key))
            .cloned()
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.control(&["zone-begin", ZONE]).await?;
        if let Err(error) = self.change(&changed, &before, &after).await {
            let _ = self.control(&["zone-abort", ZONE]).await;
            return Err(error);
        }
        Ok(())
    }

    async fn change(&self, changed: &BTreeSet<(String, String)>, before: &Sets, after: &Sets) -> Result<()> {
        for key in changed {
            let owner = format!("{}.", key.0);
            if before.contains_key(key) {
                self.control(&["zone-unset", ZONE, &owner, &key.1]).await?;
            }
            let Some((ttl, datas)) = after.get(key) else { continue };
            for data in datas {
                self.control(&["zone-set", ZONE, &owner, &ttl.to_string(), &key.1, data])
                    .await?;
            }
        }
        self.control(&["zone-commit", ZONE]).await
    }

    async fn control(&self, args: &[&str]) -> Result<()> {
        let out = Command::new("knotc")
            .arg("-s")
            .arg(&self.socket)
            .args(["-t", "10"])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .await
            .context("running knotc")?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        if !out.status.success() || said.contains("error:") {
            bail!("knotc {}: {}", args.join(" "), said.trim());
        }
        Ok(())
    }
}

/// Of each name and type: the time to live and the data.
type Sets = BTreeMap<(String, String), (u32, BTreeSet<String>)>;

fn sets(records: &[Record]) -> Sets {
    let mut sets = Sets::new();
    for record in records {
        let ttl = if record.ttl == 1 { AUTOMATIC_TTL } else { record.ttl };
        let set = sets
            .entry((record.name.clone(), record.kind.clone()))
            .or_insert((ttl, BTreeSet::new()));
        set.0 = set.0.min(ttl);
        set.1.insert(data(record));
    }
    sets
}

fn data(record: &Record) -> String {
    match record.kind.as_str() {
        // Behind the edge a visitor sees the edge's address; here that is the front, which serves no such site.
        "A" if record.proxied => ns::FRONT.to_owned(),
        "CNAME" | "NS" => format!("{}.", record.content),
        "MX" => format!("{} {}.", record.priority.unwrap_or(10), record.content),
        "TXT" if !record.content.starts_with('"') => {
            format!("\"{}\"", record.content.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => record.content.clone(),
    }
}

fn zone_file(records: &[Record]) -> Result<String> {
    let mut text = format!(
        "{ZONE}. 3600 SOA {}. dns.cloudflare.com. 2377000000 10000 2400 604800 1800\n",
        NAME_SERVERS[0]
    );
    for server in NAME_SERVERS {
        writeln!(text, "{ZONE}. 86400 NS {server}.")?;
    }
    for ((name, kind), (ttl, datas)) in sets(records) {
        for data in datas {
            writeln!(text, "{name}. {ttl} {kind} {data}")?;
        }
    }
    Ok(text)
}
