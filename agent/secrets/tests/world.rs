//! Against the laboratory's Infisical: `SKYKEEP_WORLD=<work-dir> ip netns exec sk-host <this test> --ignored`.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{path::PathBuf, time::Duration};

use skykeep_core::{
    Secret,
    castle::{Castle, SecretRef},
    http::Trust,
};

fn world() -> PathBuf {
    std::env::var_os("SKYKEEP_WORLD")
        .expect("SKYKEEP_WORLD names the running world's work-dir")
        .into()
}

fn credentials() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(world().join("credentials.json")).unwrap()).unwrap()
}

fn http() -> reqwest::Client {
    let pem = std::fs::read(world().join("ca.pem")).unwrap();
    Trust::with_extra_pem(&pem)
        .unwrap()
        .http(Duration::from_secs(10))
        .unwrap()
}

#[tokio::test]
#[ignore = "needs the laboratory's world"]
async fn every_secret_of_the_example_castle_comes_from_the_laboratorys_infisical() {
    let castle = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
    let c = credentials();
    let vault = |path: &str| {
        let key = match path {
            "infisical/client-id" => "infisical_client_id",
            "infisical/client-secret" => "infisical_client_secret",
            _ => return None,
        };
        Some(Secret::from_string(c[key].as_str().unwrap().to_owned()))
    };
    let wanted = castle.secret_refs();
    let secrets = skykeep_secrets::resolve(&wanted, vault, castle.secrets.infisical.as_ref(), &http())
        .await
        .expect("resolves");
    let get = |name: &str| {
        secrets
            .get(&SecretRef::Infisical(name.into()))
            .unwrap()
            .expose_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(get("GITHUB_TOKEN"), c["github_token"]);
    assert_eq!(get("RESTIC_PASSWORD"), c["restic_password"]);
    assert!(get("BLOG_TLS_KEY").starts_with("-----BEGIN"));
    assert!(get("BLOG_TLS_CRT").ends_with("-----END CERTIFICATE-----\n"));
}

#[tokio::test]
#[ignore = "needs the laboratory's world"]
async fn a_wrong_folder_is_told_in_three_parts() {
    let mut castle = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
    castle.secrets.infisical.as_mut().unwrap().project_id = "00000000-0000-4000-8000-000000000000".into();
    let c = credentials();
    let vault = |path: &str| {
        let key = if path.ends_with("id") {
            "infisical_client_id"
        } else {
            "infisical_client_secret"
        };
        Some(Secret::from_string(c[key].as_str().unwrap().to_owned()))
    };
    let wanted = [SecretRef::Infisical("GITHUB_TOKEN".into())];
    let error = skykeep_secrets::resolve(&wanted, vault, castle.secrets.infisical.as_ref(), &http())
        .await
        .err()
        .unwrap();
    let text = skykeep_core::Trouble::from(error).to_string();
    assert!(text.contains("eu.infisical.com") && text.contains("project"), "{text}");
}
