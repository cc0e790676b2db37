//! Bad input and servers that refuse: each must end in an error that says what, why and what to do, within its time, with nothing
//! made; and what a failing run did make, the next run must adopt.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lab_world::faults::{Fault, Rule};

use crate::{host, lab::Lab, owner, owner::PASSPHRASE, places::Places, rehearse::page, verdicts::Verdicts};

/// One thing that is wrong, and what the error must name.
struct Trial {
    name: &'static str,
    rule: Option<Rule>,
    /// Before the program's own name on the command line: where it runs.
    place: &'static [&'static str],
    input: String,
    says: &'static str,
    within: Duration,
}

const HOST: &[&str] = &["ip", "netns", "exec", "sk-host"];

fn always(host: &str, path: &str, fault: Fault) -> Option<Rule> {
    Some(Rule {
        host: host.into(),
        method: String::new(),
        path: path.into(),
        after: 0,
        times: usize::MAX,
        fault,
    })
}

fn status(code: u16, body: &str) -> Fault {
    Fault::Status {
        code,
        body: body.into(),
        retry_after: None,
    }
}

fn refusals() -> Vec<Trial> {
    let good = || format!("{PASSPHRASE}\n");
    let trial = |name, rule, says| Trial {
        name,
        rule,
        place: HOST,
        input: good(),
        says,
        within: Duration::from_secs(200),
    };
    let denied = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    vec![
        Trial {
            place: &["unshare", "--net"],
            ..trial("no network at all", None, "eu.infisical.com")
        },
        Trial {
            input: "not the passphrase\n".into(),
            ..trial("a wrong passphrase", None, "no slot of it opens with this passphrase")
        },
        trial(
            "Infisical refuses the login",
            always(
                "infisical",
                "/login",
                status(401, "{\"message\":\"Invalid credentials\"}"),
            ),
            "Infisical",
        ),
        trial(
            "Infisical is down",
            always("infisical", "", status(503, "down")),
            "Infisical",
        ),
        trial(
            "Infisical talks rubbish",
            always("infisical", "", status(200, "<html>")),
            "Infisical",
        ),
        trial("S3 refuses", always("s3.", "", status(403, denied)), "AccessDenied"),
        trial("S3 is down", always("s3.", "", status(503, "")), "S3"),
        trial(
            "Git refuses",
            always("github.com", "/rossi", status(403, "no")),
            "github.com",
        ),
        trial(
            "Git cuts every connection",
            always("github.com", "/rossi", Fault::Reset),
            "github.com",
        ),
        trial(
            "Cloudflare refuses",
            always(
                "cloudflare",
                "",
                status(
                    403,
                    "{\"success\":false,\"errors\":[{\"code\":9109,\"message\":\"Unauthorized\"}]}",
                ),
            ),
            "Cloudflare",
        ),
        trial(
            "AWS refuses",
            always(
                "ec2.",
                "",
                status(
                    403,
                    "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>",
                ),
            ),
            "UnauthorizedOperation",
        ),
    ]
}

/// All of it, in one laboratory.
pub async fn run(lab: &Lab, places: &Places) -> Result<bool> {
    let mut verdicts = Verdicts::new();
    let folder = tokio::task::block_in_place(|| owner::make(lab, places, owner::Supplier::Aws))?;
    let records = records(lab).await;
    for trial in refusals() {
        lab.world.faults().clear();
        if let Some(rule) = trial.rule.clone() {
            lab.world.faults().order(rule);
        }
        let begin = Instant::now();
        let program: Vec<&str> = trial.place.to_vec();
        let seen = tokio::task::block_in_place(|| owner::skykeep_at(places, &program, &apply(&folder)?, &trial.input))?;
        let took = begin.elapsed();
        let made = lab.inventory().len();
        let same = self::records(lab).await == records;
        verdicts.must(
            seen.0 == Some(1)
                && in_three_parts(&seen.2)
                && seen.2.contains(trial.says)
                && took < trial.within
                && made == 0
                && same,
            &format!("{}: a clear error, in time, nothing made", trial.name),
            format!("{:.0} s, {made} things; {}", took.as_secs_f64(), told(&seen.2)),
        );
    }
    lab.world.faults().clear();
    spoiled_files(lab, places, &folder, &mut verdicts)?;
    machines_that_fail(lab, places, &folder, &mut verdicts).await?;
    Ok(verdicts.end())
}

/// What Cloudflare holds.
async fn records(lab: &Lab) -> Vec<serde_json::Value> {
    let records = lab.world.cloudflare().records().await;
    records.iter().map(lab_world::cloudflare::Record::to_json).collect()
}

fn apply(folder: &Path) -> Result<Vec<&str>> {
    Ok(vec![
        "apply",
        "--accept-host",
        "--castle",
        folder.to_str().context("path")?,
    ])
}

/// The owner's own files, spoiled one at a time.
fn spoiled_files(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let spoil = |file: &str, says: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, verdicts: &mut Verdicts| -> Result<()> {
        let path = folder.join(file);
        let good = std::fs::read(&path)?;
        std::fs::write(&path, change(good.clone()))?;
        let seen = owner::skykeep_at(places, HOST, &apply(folder)?, &format!("{PASSPHRASE}\n"));
        std::fs::write(&path, good)?;
        let seen = seen?;
        verdicts.must(
            seen.0 == Some(1) && in_three_parts(&seen.2) && seen.2.contains(says) && lab.inventory().is_empty(),
            &format!("{file} spoiled: a clear error, nothing made"),
            told(&seen.2),
        );
        Ok(())
    };
    let text = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replacen(from, to, 1).into_bytes()
    };
    spoil("castle.yaml", "line", &text("treasures:", "treasure:"), verdicts)?;
    spoil(
        "castle.yaml",
        "10.42.0.0/33",
        &text("10.42.0.0/16", "10.42.0.0/33"),
        verdicts,
    )?;
    spoil(
        "castle.lock",
        "castle.lock",
        &text("\"version\": 1", "\"version\": 9"),
        verdicts,
    )?;
    let flip = |at: usize| {
        move |mut bytes: Vec<u8>| {
            let at = at % bytes.len();
            bytes[at] ^= 1;
            bytes
        }
    };
    spoil("vault.skv", "vault", &flip(4), verdicts)?;
    spoil("vault.skv", "vault", &flip(usize::MAX), verdicts)
}

/// A wrong hash, then an absent file, then all is well: the same machines must become the castle.
async fn machines_that_fail(lab: &Lab, places: &Places, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    let lock = folder.join("castle.lock");
    let good = std::fs::read_to_string(&lock)?;
    let mut wrong: serde_json::Value = serde_json::from_str(&good)?;
    let kubelet = wrong["artifacts"]
        .as_array_mut()
        .and_then(|all| all.iter_mut().find(|a| a["name"] == "kubelet"))
        .context("no kubelet in the lock")?;
    kubelet["sha256"] = "0".repeat(64).into();
    std::fs::write(&lock, wrong.to_string())?;
    let limit = Duration::from_secs(240);
    let fails = |what: &str, says: &[&str], verdicts: &mut Verdicts| -> Result<()> {
        let begin = Instant::now();
        let seen = owner::skykeep_at(places, HOST, &apply(folder)?, &format!("{PASSPHRASE}\n"))?;
        let took = begin.elapsed();
        let named = says.iter().all(|word| seen.2.contains(word));
        verdicts.must(
            seen.0 == Some(1) && in_three_parts(&seen.2) && named && took < limit,
            what,
            format!("{:.0} s; {}", took.as_secs_f64(), told(&seen.2)),
        );
        Ok(())
    };
    fails(
        "a file with another hash than castle.lock's: the machine's own words reach the person",
        &["Machine ", "kubelet is not what castle.lock pinned"],
        verdicts,
    )?;
    let mut first: Vec<String> = lab.instances().into_iter().map(|i| i.id).collect();
    std::fs::write(&lock, &good)?;
    let absent = always("dl.k8s.io", "/kubelet", status(404, "not here"));
    if let Some(rule) = absent {
        lab.world.faults().order(rule);
    }
    fails(
        "a file that is not there: the machine's own words reach the person",
        &["Machine ", "kubelet could not be downloaded", "404"],
        verdicts,
    )?;
    lab.world.faults().clear();
    let (code, out, err) = host::castle(places, folder, &["apply", "--accept-host"])?;
    verdicts.must(
        code == Some(0),
        "mended, the next run goes on to a living castle",
        host::last(&out, &err),
    );
    if code != Some(0) {
        println!("{out}\n{err}");
    }
    let mut now: Vec<String> = lab.instances().into_iter().map(|i| i.id).collect();
    first.sort();
    now.sort();
    verdicts.must(
        first == now && now.len() == 5,
        "with the very machines that had failed",
        format!("{} machines", now.len()),
    );
    page(lab, verdicts).await;
    Ok(())
}

/// Whether an error has the shape that every error has.
pub fn in_three_parts(err: &str) -> bool {
    ["what:  ", "why:   ", "do:    "].iter().all(|part| err.contains(part))
}

/// What happened, in one line.
fn told(err: &str) -> String {
    let part = |name: &str| {
        err.lines()
            .rev()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or("nothing")
            .trim()
            .chars()
            .take(300)
            .collect::<String>()
    };
    format!("{}: {}", part("what:"), part("why:"))
}
