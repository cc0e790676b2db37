//! Who asks, and at what time.

use std::time::Duration;

use lab_ec2::{Config, Credential};
use skykeep_aws::Credentials;
use skykeep_cloud::Cloud;
use skykeep_core::{Explain, Progress, Secret};

use crate::stage::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/castle";

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_hours_off_is_corrected_by_awss_answer() {
    let stage = stage_with(Config {
        clock_ahead: Duration::from_secs(5 * 3600),
        ..Config::default()
    })
    .await;
    let cloud = stage.cloud(SECRET);
    cloud.preflight(&Progress::silent()).await.unwrap();
    let clock = |code: &str| matches!(code, "SignatureDoesNotMatch" | "RequestExpired" | "AuthFailure");
    let refused = stage.double.calls().iter().filter(|c| clock(&c.result)).count();
    assert_eq!(refused, 1, "one refusal teaches the clock for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_needs_its_token_and_an_ended_one_says_so() {
    let mut credential = Credential::user("123456789012", "guest", KEY, SECRET);
    credential.session_token = Some("token".into());
    let mut stage = stage_with(Config {
        credentials: vec![credential.clone()],
        ..Config::default()
    })
    .await;
    let secret = |text: &str| Secret::from_string(text.to_owned());
    stage.aws.session_token = Some(skykeep_core::castle::SecretRef::Vault("aws/token".into()));
    let cloud = stage.cloud_as(Credentials::temporary(KEY, secret(SECRET), secret("token")));
    let seen = cloud.preflight(&Progress::silent()).await.unwrap();
    assert!(
        seen.warnings.iter().any(|w| w.contains("temporary keys")),
        "{:?}",
        seen.warnings
    );
    assert!(stage.cloud(SECRET).preflight(&Progress::silent()).await.is_err());

    credential.expires = Some("2023-11-14T22:13:20Z".parse().unwrap());
    let stage = stage_with(Config {
        credentials: vec![credential],
        ..Config::default()
    })
    .await;
    let cloud = stage.cloud_as(Credentials::temporary(KEY, secret(SECRET), secret("token")));
    let error = cloud.preflight(&Progress::silent()).await.unwrap_err();
    assert!(
        error.why().contains("temporary credentials have ended"),
        "{}",
        error.why()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_and_assumed_again_when_it_ends_in_the_middle() {
    let mut stage = stage_with(Config {
        roles: vec![ROLE.into()],
        session_life: Duration::from_secs(2),
        ..Config::default()
    })
    .await;
    stage.aws.assume_role = Some(ROLE.into());
    let cloud = stage.cloud(SECRET);
    let seen = cloud.preflight(&Progress::silent()).await.unwrap();
    assert_eq!(
        seen.identity,
        "arn:aws:sts::123456789012:assumed-role/castle/skykeep-rossi"
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    cloud.inventory().await.unwrap();
    stage.build(&cloud).await.unwrap();
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
    let assumed = stage.double.calls().iter().filter(|c| c.action == "AssumeRole").count();
    assert!((2..30).contains(&assumed), "{assumed}");

    stage.aws.assume_role = Some(format!("{ROLE}-other"));
    let error = stage.cloud(SECRET).preflight(&Progress::silent()).await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDenied"));
}
