//! The owner's part of the example castle, made with the product's own commands, as an owner would.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{lab::Lab, places::Places};

/// The rehearsal's passphrase.
pub const PASSPHRASE: &str = "seven lanterns over the quiet harbour";

/// Makes castle.yaml, castle.lock, vault.skv and ca.pem in a folder of this run.
pub fn make(lab: &Lab, places: &Places) -> Result<PathBuf> {
    let folder = places.work.join("owner");
    std::fs::create_dir_all(&folder)?;
    let yaml = std::fs::read_to_string(places.tree.join("tests/castle/castle.yaml"))?;
    let rule = "- {url: \"https://blog.rossi.example/\"}";
    ensure!(
        yaml.contains(rule),
        "tests/castle/castle.yaml has no health rule as expected"
    );
    let with_hash = format!(
        "- {{url: \"https://blog.rossi.example/\", sha256: \"{}\"}}",
        lab.world.backup().index_sha256
    );
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

    let template = folder.join("lock-template.json");
    std::fs::write(&template, template_of(places)?.to_string())?;
    let lock = folder.join("castle.lock");
    let ca = folder.join("ca.pem");
    skykeep(
        places,
        &[
            "lock",
            "--from",
            path(&template)?,
            "--to",
            path(&lock)?,
            "--ca",
            path(&ca)?,
        ],
        "",
    )?;
    std::fs::remove_file(&template)?;
    Ok(folder)
}

/// What is to be pinned: names and addresses only; hashes and digests are `skykeep lock`'s to find.
fn template_of(places: &Places) -> Result<Value> {
    let read = |name: &str| -> Result<Value> {
        let file = places.cache.join("registry").join(name);
        Ok(serde_json::from_slice(
            &std::fs::read(&file).with_context(|| file.display().to_string())?,
        )?)
    };
    let artifacts = read("artifacts.json")?;
    let artifacts: Vec<Value> = artifacts
        .as_object()
        .context("artifacts.json")?
        .values()
        .map(|a| {
            json!({"name": a["name"], "url": a["url"], "sha256": "", "size": 0,
                "dest": a["dest"], "mode": a["mode"], "unpack": a["unpack"]})
        })
        .collect();
    let images = read("images.json")?;
    let images: Vec<Value> = images
        .as_object()
        .context("images.json")?
        .keys()
        .map(|name| json!({"name": name, "digest": ""}))
        .collect();
    Ok(json!({"version": 1, "kubernetes": "v1.36.3", "artifacts": artifacts, "images": images}))
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
    let mut child = Command::new("ip")
        .args(["netns", "exec", "sk-host"])
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
