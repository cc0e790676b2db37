//! `skykeep lint`: what in a Flux repository would fail, lose data or lose time on the day.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use skykeep_core::{Deadline, Explained, Trouble, castle::Castle};
use skykeep_gitops::{Contract, Finding, Report, Repository, Severity, lint_with};

use super::Owner;
use crate::console::lines::Output;

const FETCH: Duration = Duration::from_secs(150);

#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing that must be mended, 1 an error or a risk was found (or the lint could not be \
done: then standard error says why), 2 the command line was wrong. Warnings alone give 0.\n\nWith --castle alone the \
repository is fetched (the branch's head, or `gitops.revision`), so the passphrase is asked for; then \
the claims that the last living castle had are judged too."
)]
pub struct LintArgs {
    /// Working tree of a Flux repository
    #[arg(value_name = "FOLDER", required_unless_present = "castle")]
    folder: Option<PathBuf>,
    /// Folder of the owner's part: judge the repository against castle.yaml as well
    #[arg(long, value_name = "FOLDER")]
    castle: Option<PathBuf>,
    /// How findings are written
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

pub async fn run(args: LintArgs) -> Result<ExitCode, Trouble> {
    let text = args
        .castle
        .as_ref()
        .map(|folder| read(&folder.join("castle.yaml")))
        .transpose()?;
    let castle = text.as_deref().map(Castle::parse).transpose()?;
    let mut lost = Vec::new();
    let repository = match (&args.folder, &args.castle) {
        (Some(folder), _) => Repository::from_folder(folder)?,
        (None, Some(folder)) => {
            let owner = Owner {
                from: None,
                ca: None,
                castle: folder.clone(),
                output: args.output,
            };
            let (repository, findings) = fetched(&owner).await?;
            lost = findings;
            repository
        }
        (None, None) => Repository::default(),
    };
    let contract = castle.as_ref().zip(text.as_deref());
    let mut report = lint_with(&repository, contract.map(|(castle, text)| Contract { castle, text }));
    report.findings.extend(lost);
    report.findings.sort();
    match args.output {
        Output::Json => println!(
            "{}",
            serde_json::json!({"v": 1, "commit": repository.commit, "lint": report})
        ),
        Output::Text => show(&report, contract.is_some()),
    }
    let bad = report.findings.iter().any(|f| f.severity != Severity::Warning);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(path: &std::path::Path) -> Result<String, Explained> {
    std::fs::read_to_string(path).map_err(|e| Explained {
        what: format!("{} can't be read", path.display()),
        why: e.to_string(),
        remedy: "Give the folder that holds castle.yaml.".into(),
    })
}

/// The repository as its owner can still mend it: the branch's head, or the castle file's revision.
/// Also what the last living castle had and castle.yaml does not name.
async fn fetched(owner: &Owner) -> Result<(Repository, Vec<Finding>), Trouble> {
    let estate = super::castle::open(owner).await?;
    let gitops = &estate.castle.gitops;
    let token = estate.secrets.get(&gitops.token)?;
    let named = gitops.revision.as_deref();
    let fetched = skykeep_gitops::fetch(gitops, named, token, &estate.trust, Deadline::after(FETCH));
    let repository = fetched.await?.repository;
    let lost = match skykeep_rebirth::pulse::last_claims(&estate).await? {
        Some((who, claims)) => skykeep_gitops::living(&estate.castle, &who, &claims),
        None => Vec::new(),
    };
    Ok((repository, lost))
}

fn show(report: &Report, with_castle: bool) {
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Risk => "risk",
            Severity::Warning => "warning",
        };
        println!(
            "{severity}: {}\n  what: {}\n  do:   {}",
            finding.place(),
            finding.what,
            finding.remedy
        );
    }
    let count = |severity| report.findings.iter().filter(|f| f.severity == severity).count();
    println!(
        "{} objects under {}: {} errors, {} risks, {} warnings, {} claims.",
        report.objects,
        report.roots.join(", "),
        count(Severity::Error),
        count(Severity::Risk),
        count(Severity::Warning),
        report.claims.len(),
    );
    if !with_castle && !report.claims.is_empty() {
        println!("Who restores these claims was not judged: `--castle FOLDER` does.");
    }
}
