//! Against the laboratory's GitHub (real `git http-backend`): `SKYKEEP_WORLD=<work-dir> ip netns exec sk-host <this test> --ignored`.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{path::PathBuf, time::Duration};

use skykeep_core::{Deadline, Secret, castle::Castle, http::Trust};
use skykeep_gitops::{GitopsError, fetch, lint};

fn world() -> PathBuf {
    std::env::var_os("SKYKEEP_WORLD")
        .expect("SKYKEEP_WORLD names the running world's work-dir")
        .into()
}

fn castle() -> Castle {
    Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap()
}

fn trust() -> Trust {
    Trust::with_extra_pem(&std::fs::read(world().join("ca.pem")).unwrap()).unwrap()
}

fn token() -> Secret {
    let file = std::fs::read(world().join("credentials.json")).unwrap();
    let credentials: serde_json::Value = serde_json::from_slice(&file).unwrap();
    Secret::from_string(credentials["github_token"].as_str().unwrap().to_owned())
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

#[tokio::test]
#[ignore = "needs the laboratory's world"]
async fn the_private_repository_is_fetched_and_fits_the_castle_file() {
    let castle = castle();
    let fetched = fetch(&castle.gitops, None, &token(), &trust(), soon())
        .await
        .expect("it is fetched");
    let repository = fetched.repository;
    assert_eq!(repository.commit.len(), 40);
    assert_eq!(lint(&repository, &castle), []);
    let again = fetch(&castle.gitops, Some(&repository.commit), &token(), &trust(), soon())
        .await
        .expect("a commit can be named")
        .repository;
    assert_eq!(again.commit, repository.commit);
    assert_eq!(again.files, repository.files);
}

#[tokio::test]
#[ignore = "needs the laboratory's world"]
async fn a_wrong_token_a_wrong_branch_and_a_wrong_ca_are_told_apart() {
    let mut gitops = castle().gitops;
    let wrong = Secret::from_string("ghp_wrong".into());
    let error = fetch(&gitops, None, &wrong, &trust(), soon())
        .await
        .expect_err("wrong token");
    assert!(matches!(error, GitopsError::Token { .. }), "{error}");
    let error = fetch(&gitops, None, &token(), &Trust::public(), soon())
        .await
        .expect_err("unknown CA");
    assert!(
        matches!(&error, GitopsError::Fetch { why, .. } if why.to_lowercase().contains("certificate")),
        "{error}"
    );
    gitops.branch = "nowhere".into();
    let error = fetch(&gitops, None, &token(), &trust(), soon())
        .await
        .expect_err("no such branch");
    assert!(matches!(error, GitopsError::NoRevision { .. }), "{error}");
    let absent = Some("0123456789012345678901234567890123456789");
    let error = fetch(&castle().gitops, absent, &token(), &trust(), soon())
        .await
        .expect_err("no such commit");
    assert!(matches!(error, GitopsError::NotOnBranch { .. }), "{error}");
}
