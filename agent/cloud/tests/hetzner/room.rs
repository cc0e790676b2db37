//! Whether there is room, and what a person is told when there is none.

use lab_hetzner::{Config, Fault};
use skykeep_cloud::{Cloud, CloudError};
use skykeep_core::{Explain, Progress};

use crate::stage::*;

fn text(error: &CloudError) -> String {
    format!("{}. {}. {}", error.what(), error.why(), error.remedy())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_type_is_used_up_at_a_location_the_next_one_is_taken_there_and_nowhere_else() {
    let mut stage = stage().await;
    for group in [&mut stage.hetzner.control_planes, &mut stage.hetzner.workers] {
        group.alternatives = vec!["cpx41".into(), "ccx13".into()];
    }
    stage.double.faults().full("nbg1", "cpx31");
    stage.double.faults().full("nbg1", "cpx41");
    let cloud = stage.cloud();
    let seen = cloud.preflight(&Progress::silent()).await.unwrap();
    assert!(
        seen.warnings
            .iter()
            .any(|w| w == "nbg1 has no cpx31 now: ccx13 is used there"),
        "{:?}",
        seen.warnings
    );
    stage.build(&cloud).await.unwrap();
    let mut kinds: Vec<_> = {
        let memory = stage.backend.memory();
        memory
            .instances
            .values()
            .map(|i| format!("{} {}", i.az, i.instance_type))
            .collect()
    };
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["fsn1 cpx31", "hel1 cpx31", "nbg1 ccx13"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_without_any_server_is_said_at_once_and_leaves_the_rest_to_be_adopted() {
    let stage = stage().await;
    stage.double.faults().full("hel1", "*");
    let cloud = stage.cloud();
    let error = stage.build(&cloud).await.unwrap_err();
    assert!(matches!(error, CloudError::NoCapacity { .. }), "{error:?}");
    insta::assert_snapshot!(text(&error));
    let asked = stage
        .double
        .faults()
        .calls()
        .iter()
        .filter(|c| c.result == "resource_unavailable")
        .count();
    assert_eq!(asked, 1, "an answer that lasts is not asked for again and again");
    insta::assert_snapshot!(text(&cloud.preflight(&Progress::silent()).await.unwrap_err()));
    stage.double.faults().clear();
    stage.build(&cloud).await.unwrap();
    assert_eq!(counts(&cloud.inventory().await.unwrap()), WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_met_is_said_with_what_to_do() {
    let mut config = Config::default();
    config.limits.servers = 4;
    let stage = stage_with(config).await;
    let error = stage.build(&stage.cloud()).await.unwrap_err();
    assert!(!error.is_transient());
    let words = text(&error);
    assert!(
        words.contains("resource_limit_exceeded") && words.contains("higher limit"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_wrong_or_may_only_read_are_found_before_anything_is_made() {
    let stage = stage().await;
    let mut texts = Vec::new();
    for token in ["wrong", READER, "", "two words"] {
        let error = stage
            .cloud_of(token, 7)
            .preflight(&Progress::silent())
            .await
            .unwrap_err();
        texts.push(text(&error));
    }
    insta::assert_snapshot!(texts.join("\n"));
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_castle_file_names_and_hetzner_does_not_have_is_named() {
    let mut texts = Vec::new();
    let spoilt: [fn(&mut skykeep_core::castle::Hetzner); 4] = [
        |h| h.locations = vec!["fsn1".into(), "ash".into()],
        |h| h.locations = vec!["lon1".into()],
        |h| h.workers.server_type = "cax21".into(),
        |h| h.load_balancer_type = "lb99".into(),
    ];
    for spoil in spoilt {
        let mut stage = stage().await;
        spoil(&mut stage.hetzner);
        texts.push(text(&stage.cloud().preflight(&Progress::silent()).await.unwrap_err()));
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_fails_is_an_error_and_the_next_start_makes_the_server_anew() {
    let stage = stage().await;
    stage.double.faults().next("POST servers", 1, Fault::Fails);
    let cloud = stage.cloud();
    let error = stage.build(&cloud).await.unwrap_err();
    assert!(text(&error).contains("create_server"), "{}", text(&error));
    stage.build(&cloud).await.unwrap();
    assert_eq!(counts(&cloud.inventory().await.unwrap()), WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_somebody_else_has_is_never_adopted() {
    let stage = stage().await;
    let (cloud, progress) = (stage.cloud(), Progress::silent());
    cloud.network(&[], &PORTS, &progress).await.unwrap();
    // The same name, but the labels are of nobody: somebody has taken them away.
    let http = reqwest::Client::builder().tls_backend_preconfigured(skykeep_core::http::Trust::public().tls().unwrap());
    let http = http.no_proxy().build().unwrap();
    let listed: serde_json::Value = {
        let url = stage.address("networks");
        let answer = http.get(url).bearer_auth(TOKEN).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    };
    let url = stage.address(&format!("networks/{}", listed["networks"][0]["id"]));
    http.put(url)
        .bearer_auth(TOKEN)
        .body(r#"{"labels": {}}"#)
        .send()
        .await
        .unwrap();
    let error = cloud.network(&[], &PORTS, &progress).await.unwrap_err();
    assert!(
        text(&error).contains("does not carry the castle's labels"),
        "{}",
        text(&error)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_that_hetzner_would_not_take_is_refused_before() {
    let stage = stage().await;
    let (cloud, progress) = (stage.cloud(), Progress::silent());
    let network = cloud.network(&[], &PORTS, &progress).await.unwrap();
    let long = "x".repeat(33_000);
    let error = cloud
        .node(&network, &stage.plan()[0], long.as_bytes(), 1, &progress)
        .await
        .unwrap_err();
    assert!(text(&error).contains("32 KiB"), "{}", text(&error));
    assert_eq!(stage.done("POST servers"), 0);
}

#[test]
fn what_a_castle_costs_here_is_servers_their_addresses_and_a_balancer() {
    let needs = skykeep_cloud::cost::needs(&skykeep_core::castle::Cloud::Hetzner(castle()));
    let wanted = [("cpx31", 5), ("load-balancer", 1), ("public-address", 5)];
    assert_eq!(needs, wanted.map(|(kind, n)| (kind.to_owned(), n)));
}
