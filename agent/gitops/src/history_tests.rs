//! Against the real git, which serves a repository from a folder.

use std::{path::Path, process::Command};

use skykeep_core::{Deadline, Secret, castle::Castle, http::Trust};

use crate::{Fetched, GitopsError, fetch};

struct Origin(tempfile::TempDir);

impl Origin {
    fn new() -> Self {
        let origin = Origin(tempfile::tempdir().unwrap());
        origin.git(&["init", "-q", "-b", "main", "."]);
        origin
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(args).current_dir(self.path());
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            let email = (format!("GIT_{who}_EMAIL"), "rossi@rossi.example");
            let date = (format!("GIT_{who}_DATE"), "2026-11-01T08:00:00Z");
            command.envs([(format!("GIT_{who}_NAME"), "Rossi"), email, date]);
        }
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// A commit with one file that says what the subject says.
    fn commit(&self, subject: &str) -> String {
        std::fs::write(self.path().join("file.yaml"), subject).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    async fn fetch(&self, wanted: Option<&str>) -> Result<Fetched, GitopsError> {
        let mut gitops = Castle::parse(include_str!("../../../tests/castle/castle.yaml"))
            .unwrap()
            .gitops;
        gitops.url = format!("file://{}", self.path().display()).parse().unwrap();
        let deadline = Deadline::after(std::time::Duration::from_secs(60));
        let token = Secret::from_string("none is asked for".into());
        fetch(&gitops, wanted, &token, &Trust::public(), deadline).await
    }
}

fn file(fetched: &Fetched) -> &str {
    std::str::from_utf8(&fetched.repository.files["file.yaml"]).unwrap()
}

#[tokio::test]
async fn a_commit_behind_the_head_is_read_and_the_distance_is_told() {
    let origin = Origin::new();
    origin.commit("the first");
    let green = origin.commit("all green");
    origin.commit("a new blog");
    let head = origin.commit("the blog is \u{1b}[31mbroken");

    let fetched = origin.fetch(Some(&green)).await.unwrap();
    assert_eq!(
        (file(&fetched), fetched.repository.commit.as_str()),
        ("all green", green.as_str())
    );
    insta::assert_snapshot!(fetched.distance.text());

    let fetched = origin.fetch(None).await.unwrap();
    assert_eq!(
        (fetched.repository.commit.as_str(), fetched.distance.further),
        (head.as_str(), 0)
    );
    insta::assert_snapshot!(fetched.distance.text());
}

#[tokio::test]
async fn what_lies_deeper_than_the_first_looks_is_found_in_the_whole_history() {
    let origin = Origin::new();
    let green = origin.commit("all green");
    for n in 0..310 {
        origin.git(&["commit", "-q", "--allow-empty", "-m", &format!("change {n}")]);
    }
    let fetched = origin.fetch(Some(&green)).await.unwrap();
    assert_eq!((file(&fetched), fetched.distance.further), ("all green", 310));
    assert!(fetched.distance.text().ends_with("and 305 more"));
}

#[tokio::test]
async fn a_commit_that_a_force_push_took_away_is_not_on_the_branch_though_the_server_still_has_it() {
    let origin = Origin::new();
    let first = origin.commit("the first");
    let gone = origin.commit("all green");
    origin.git(&["branch", "elsewhere"]);
    origin.git(&["reset", "-q", "--hard", &first]);
    origin.commit("history rewritten");
    for wanted in [gone.as_str(), "0123456789012345678901234567890123456789", "v1.0"] {
        let error = origin.fetch(Some(wanted)).await.unwrap_err();
        assert!(matches!(error, GitopsError::NotOnBranch { .. }), "{wanted}: {error}");
    }
}
