//! Registries and artifact servers that answer 429 for a whole rebirth: the castle comes from its owner's copies or mirrors.

use std::path::Path;

use anyhow::{Context, Result};
use lab_world::faults::{Fault, Rule};

use crate::{
    host::{self, castle, last},
    lab::Lab,
    owner::{self, PASSPHRASE, skykeep_any},
    places::Places,
    rehearse::page,
    shapes,
    trials::in_three_parts,
    verdicts::Verdicts,
};

/// What helps the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Help {
    /// The bucket that `skykeep lock --mirror` filled; images and downloads are refused.
    Copies,
    /// A pull-through mirror with a login; images are refused. (The laboratory's one registry answers under this name too.)
    Mirror,
}

const COPIES: &str = "mirror:
  bucket: rossi-backups
  region: eu-central-1
  accessKeyId: infisical:AWS_ACCESS_KEY_ID
  secretAccessKey: infisical:AWS_SECRET_ACCESS_KEY
";
const IMAGES: [&str; 3] = ["registry.k8s.io", "ghcr.io", "registry-1.docker.io"];
const DOWNLOADS: [&str; 3] = ["dl.k8s.io", "release-assets.githubusercontent.com", "quay.io"];

fn mirrors() -> String {
    let one = |host: &str| {
        format!(
            "  - {{host: {host}, mirror: \"https://quay.io\", username: infisical:AWS_ACCESS_KEY_ID, password: infisical:GITHUB_TOKEN}}\n"
        )
    };
    let all: String = ["registry.k8s.io", "ghcr.io", "docker.io"].map(one).concat();
    format!("registries:\n{all}")
}

fn refuse(lab: &Lab, hosts: &[&str]) {
    for host in hosts {
        lab.world.faults().order(Rule {
            host: (*host).into(),
            method: String::new(),
            path: String::new(),
            after: 0,
            times: usize::MAX,
            fault: Fault::Status {
                code: 429,
                body: "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"You have reached your pull rate limit.\"}]}".into(),
                retry_after: Some(3600),
            },
        });
    }
}

fn add(folder: &Path, text: &str) -> Result<()> {
    let file = folder.join("castle.yaml");
    let yaml = std::fs::read_to_string(&file)?;
    Ok(std::fs::write(&file, format!("{yaml}{text}"))?)
}

/// All of it.
pub async fn run(lab: &Lab, places: &Places, help: Help) -> Result<bool> {
    let mut verdicts = Verdicts::new();
    let folder = tokio::task::block_in_place(|| owner::make(lab, places, owner::Supplier::Aws))?;
    refuse(lab, &IMAGES);
    let (code, _, err) = castle(places, &folder, &["apply", "--accept-host"])?;
    let made = lab.inventory().len();
    verdicts.must(
        code == Some(1)
            && in_three_parts(&err)
            && err.contains("429")
            && err.contains("skykeep lock --mirror")
            && made == 0,
        "without help a registry that refuses is met before anything is made, and the error says what would help",
        format!("{made} things; {}", last("", &err)),
    );
    lab.world.faults().clear();
    match help {
        Help::Copies => {
            add(&folder, COPIES)?;
            let path = folder.to_str().context("path")?;
            let args = ["lock", "--mirror", "--castle", path];
            for again in [false, true] {
                let input = format!("{PASSPHRASE}\n");
                let (code, out, err) = tokio::task::block_in_place(|| skykeep_any(places, &args, &input))?;
                let none = out.contains("; 0 were written now");
                verdicts.must(
                    code == Some(0) && none == again,
                    if again {
                        "a second filling writes nothing"
                    } else {
                        "the mirror is filled"
                    },
                    last(&out, &err),
                );
            }
            refuse(lab, &IMAGES);
            refuse(lab, &DOWNLOADS);
        }
        Help::Mirror => {
            add(&folder, &mirrors())?;
            refuse(lab, &IMAGES);
        }
    }
    let (code, out, err) = castle(places, &folder, &["apply", "--accept-host"])?;
    verdicts.must(
        code == Some(0),
        "with it the whole rebirth comes to a living castle, every answer of theirs being 429",
        last(&out, &err),
    );
    for line in out
        .lines()
        .filter(|line| line.contains("mirror") || line.contains("can't be had"))
    {
        println!("           {line}");
    }
    if code != Some(0) {
        println!("{out}\n{err}");
    }
    page(lab, &mut verdicts).await;
    shapes::look(lab, &mut verdicts).await?;
    if help == Help::Copies {
        let console = |id: &str| lab.machines.console(id);
        let told: Vec<String> = lab.instances().iter().map(|m| console(&m.id)).collect();
        let took = told
            .iter()
            .filter(|text| text.contains("images come from the mirror"))
            .count();
        verdicts.must(
            took == 5,
            "every machine says what it took from the mirror",
            format!("{took} of 5"),
        );
        let signed = told.iter().filter(|text| text.contains("X-Amz-Signature")).count();
        verdicts.must(signed == 0, "no console shows a signed address", signed);
    }
    host::after(lab, places, &folder, &mut verdicts).await?;
    Ok(verdicts.end())
}
