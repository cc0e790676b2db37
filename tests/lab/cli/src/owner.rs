//! The owner's part of the example castle, made with the product's own commands, as an owner would.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, anyhow, ensure};
use skykeep_rebirth::pulse::{Claim, Pen, Record, Stance, Testament};

use crate::{lab::Lab, places::Places};

/// A claim of the old castle that castle.yaml forgot.
pub const LOST_CLAIM: &str = "web/old-guestbook";

/// The rehearsal's passphrase.
pub const PASSPHRASE: &str = "seven lanterns over the quiet harbour";

/// Where the castle is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Supplier {
    /// As in the example.
    Aws,
    /// One word and its fields changed.
    Hetzner,
}

/// The example castle at this supplier.
fn castle_at(places: &Places, supplier: Supplier) -> Result<String> {
    let read = |name: &str| std::fs::read_to_string(places.tree.join("tests/castle").join(name));
    let yaml = read("castle.yaml")?;
    if supplier == Supplier::Aws {
        return Ok(yaml);
    }
    let cut = |text: &str| -> Option<(String, String)> {
        let (head, rest) = text.split_once("cloud:\n")?;
        let (_, tail) = rest.split_once("cluster:\n")?;
        Some((head.to_owned(), tail.to_owned()))
    };
    let (head, tail) = cut(&yaml).context("tests/castle/castle.yaml has no `cloud` before `cluster`")?;
    Ok(format!("{head}cloud:\n{}cluster:\n{tail}", read("hetzner.yaml")?))
}

/// Makes castle.yaml, castle.lock, vault.skv and ca.pem in a folder of this run.
pub fn make(lab: &Lab, places: &Places, supplier: Supplier) -> Result<PathBuf> {
    let folder = places.work.join("owner");
    std::fs::create_dir_all(&folder)?;
    let yaml = castle_at(places, supplier)?;
    let rule = "- {url: \"https://blog.rossi.example/\"}";
    ensure!(
        yaml.contains(rule),
        "tests/castle/castle.yaml has no health rule as expected"
    );
    let with_hash = format!(
        "- {{url: \"https://blog.rossi.example/\", sha256: \"{}\"}}",
        lab.world.backup().index_sha256
    );
    let more = std::fs::read_to_string(places.tree.join("tests/castle/shapes.yaml"))?;
    ensure!(
        yaml.contains("\nentry:\n"),
        "tests/castle/castle.yaml has no entry after its treasures"
    );
    let yaml = yaml.replacen("\nentry:\n", &format!("\n{more}entry:\n"), 1);
    std::fs::write(folder.join("castle.yaml"), yaml.replace(rule, &with_hash))?;
    std::fs::copy(lab.world.ca_pem(), folder.join("ca.pem"))?;

    let vault = folder.join("vault.skv");
    let keys = lab.world.credentials();
    skykeep(places, &["vault", "init", path(&vault)?], &format!("{PASSPHRASE}\n"))?;
    for (entry, value) in [
        ("infisical/client-id", &keys.infisical_client_id),
        ("infisical/client-secret", &keys.infisical_client_secret),
    ] {
        skykeep(
            places,
            &["vault", "put", path(&vault)?, entry],
            &format!("{PASSPHRASE}\n{value}\n"),
        )?;
    }

    skykeep(places, &["lock", "--castle", path(&folder)?], "")?;
    old_castle_beats(lab, places, &folder)?;
    Ok(folder)
}

/// The last pulse of the castle that burns next: given by the product's own job, with what the manifest for that castle says.
fn old_castle_beats(lab: &Lab, places: &Places, folder: &Path) -> Result<()> {
    let manifest = skykeep(
        places,
        &["pulse", "manifest", "--name", "home", "--castle", path(folder)?],
        &format!("{PASSPHRASE}\n"),
    )?;
    let old = places.work.join("old-castle");
    std::fs::create_dir_all(&old)?;
    for key in ["pulse.json", "ca.pem", "access-key-id", "secret-access-key", "seal"] {
        let value = manifest
            .lines()
            .find_map(|line| line.trim().strip_prefix(&format!("{key}: ")));
        let value: String = serde_json::from_str(value.with_context(|| format!("the pulse's manifest has no {key}"))?)?;
        std::fs::write(old.join(key), value)?;
    }
    let spec = old.join("pulse.json");
    if let Some(commit) = lab.world.castle_commit() {
        // Nobody's API stands any more that the job could ask: what it wrote while the castle was well is written here, by its own pen.
        let own = std::env::current_exe()?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", "sk-host"]).arg(own).arg("testament");
        let status = command.args([&spec, &old]).arg(commit).status()?;
        ensure!(status.success(), "the old castle's testament was not written");
    }
    skykeep(
        places,
        &["pulse", "run", "--once", "--spec", path(&spec)?, "--keys", path(&old)?],
        "",
    )?;
    Ok(())
}

/// Writes the pulse of a castle that was all green at a commit.
pub async fn testament(spec: &Path, keys: &Path, commit: &str) -> Result<()> {
    let testament = Testament {
        kubernetes: "v1.36.3".into(),
        green: Some(format!("main@sha1:{commit}")),
        claims: vec![Claim {
            name: LOST_CLAIM.into(),
            size: "1Gi".into(),
        }],
    };
    let record = Record {
        v: 1,
        stance: Stance::Holds,
        testament: Some(testament),
    };
    let pen = Pen::open(spec, keys).map_err(|e| anyhow!("{e}"))?;
    pen.beat(&record).await.map_err(|e| anyhow!("{e}"))
}

/// Runs the product in the host's place of the laboratory, with these lines on standard input.
pub fn skykeep(places: &Places, args: &[&str], input: &str) -> Result<String> {
    let (ok, out, err) = skykeep_any(places, args, input)?;
    ensure!(
        ok == Some(0),
        "skykeep {} ended with {ok:?}\n{out}\n{err}",
        args.join(" ")
    );
    Ok(out)
}

/// The same, whatever its end: exit code, output, errors.
pub fn skykeep_any(places: &Places, args: &[&str], input: &str) -> Result<(Option<i32>, String, String)> {
    skykeep_at(places, &["ip", "netns", "exec", "sk-host"], args, input)
}

/// The same in another place: `place` is the command that leads there. Ended after a quarter of an hour.
pub fn skykeep_at(
    places: &Places,
    place: &[&str],
    args: &[&str],
    input: &str,
) -> Result<(Option<i32>, String, String)> {
    let mut child = Command::new("timeout")
        .arg("900")
        .args(place)
        .arg(&places.skykeep)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    // A program that refuses early closes its end: that is for its exit code to tell.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let out = child.wait_with_output()?;
    Ok((
        out.status.code(),
        String::from_utf8_lossy(&out.stdout).into_owned(),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    ))
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}
