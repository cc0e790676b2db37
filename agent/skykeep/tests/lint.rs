//! `skykeep lint` as it is typed: exit codes, and what a program reads.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    path::PathBuf,
    process::{Command, Output},
};

fn tree(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn lint(arguments: &[&std::ffi::OsStr]) -> Output {
    let skykeep = env!("CARGO_BIN_EXE_skykeep");
    Command::new(skykeep).arg("lint").args(arguments).output().unwrap()
}

#[test]
fn a_good_repository_gives_0_and_one_with_risks_1() {
    let good = lint(&[tree("agent/gitops/tests/fixtures/overlays").as_os_str()]);
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stdout));
    let bad = lint(&[tree("agent/gitops/tests/fixtures/layers").as_os_str()]);
    let text = String::from_utf8(bad.stdout).unwrap();
    assert_eq!(bad.status.code(), Some(1), "{text}");
    assert!(
        text.contains("risk: infrastructure/instances/database.yaml:8\n  what: "),
        "{text}"
    );
    assert!(text.contains("`--castle FOLDER` does"), "{text}");
    assert_eq!(lint(&[]).status.code(), Some(2));
    let gone = lint(&["/nowhere".as_ref()]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).starts_with("what:  /nowhere can't be read"));
}

#[test]
fn the_rehearsals_castle_and_its_repository_fit_as_a_program_reads_it() {
    let folder = tree("tests/castle/repo");
    // As the rehearsal's owner has it: with the treasures of every shape.
    let read = |name: &str| std::fs::read_to_string(tree("tests/castle").join(name)).unwrap();
    let whole = read("castle.yaml").replacen("\nentry:\n", &format!("\n{}entry:\n", read("shapes.yaml")), 1);
    let castle = tempfile::tempdir().unwrap();
    std::fs::write(castle.path().join("castle.yaml"), whole).unwrap();
    let out = lint(&[
        folder.as_os_str(),
        "--castle".as_ref(),
        castle.path().as_os_str(),
        "-o".as_ref(),
        "json".as_ref(),
    ]);
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    // Its one risk is there on purpose: the program that the rehearsal finds held.
    let findings = json["lint"]["findings"].as_array().unwrap();
    let seen: Vec<_> = findings.iter().map(|f| (&f["file"], &f["severity"])).collect();
    assert_eq!(seen, [(&"apps/ddns/ddns.yaml".into(), &"risk".into())], "{findings:?}");
    assert_eq!(out.status.code(), Some(1));
}
