//! Whether there is room: capacity, quotas, images; and that what is made is made safely.

use std::collections::BTreeSet;

use lab_ec2::{Config, Credential, Fault, Quotas};
use skykeep_cloud::{Cloud, CloudError};
use skykeep_core::{Explain, Progress};

use crate::stage::*;

#[tokio::test(flavor = "multi_thread")]
async fn when_a_type_is_used_up_in_a_zone_the_next_one_is_taken_there_and_nowhere_else() {
    let mut stage = stage().await;
    let more = ["m6i.large", "t3a.large"].map(String::from);
    stage.aws.control_planes.alternatives = more.to_vec();
    stage.aws.workers.alternatives = more.to_vec();
    let faults = stage.double.faults();
    faults.full("eu-central-1b", "t3.large");
    faults.full("eu-central-1b", "m6i.large");
    faults.next("RunInstances", 1, Fault::LostReply);
    let cloud = stage.cloud(SECRET);
    stage.build(&cloud).await.unwrap();
    let kinds: BTreeSet<(String, String)> = {
        let memory = stage.backend.memory();
        memory
            .instances
            .values()
            .map(|i| (i.az.clone(), i.instance_type.clone()))
            .collect()
    };
    let expected = [("a", "t3.large"), ("b", "t3a.large"), ("c", "t3.large")];
    let expected = expected.map(|(zone, kind)| (format!("eu-central-1{zone}"), kind.to_owned()));
    assert_eq!(kinds, BTreeSet::from(expected));

    // A resumed run, at a moment when there are machines again, makes no twin of another type.
    faults.clear();
    stage.build(&stage.cloud(SECRET).resuming()).await.unwrap();
    assert_eq!(count(&cloud.inventory().await.unwrap(), "instance"), 5);
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_spot_machines_where_there_are_any_and_others_where_there_are_none() {
    let mut stage = stage().await;
    stage.aws.workers.spot = true;
    stage.aws.workers.alternatives = vec!["m6i.large".into()];
    stage.double.faults().full("eu-central-1b", "spot");
    let cloud = stage.cloud(SECRET);
    stage.build(&cloud).await.unwrap();
    let mut asked: Vec<String> = Vec::new();
    for call in stage.double.calls().iter().filter(|c| c.action == "RunInstances") {
        let of = |name: &str| call.params.get(name).cloned().unwrap_or_default();
        let market = of("InstanceMarketOptions.MarketType");
        // EC2 does not let spot machines be stopped.
        assert_eq!(market == "spot", of("InstanceInitiatedShutdownBehavior").is_empty());
        let node = call.params.values().find_map(|v| v.strip_prefix("node-")).unwrap();
        asked.push(format!("{node} {} {market}: {}", of("InstanceType"), call.result).replace(" :", ":"));
    }
    assert_eq!(
        asked,
        [
            "cp1 t3.large: ok",
            "cp2 t3.large: ok",
            "cp3 t3.large: ok",
            "w1 t3.large spot: ok",
            "w2 t3.large spot: InsufficientInstanceCapacity",
            "w2 m6i.large spot: InsufficientInstanceCapacity",
            "w2 t3.large: ok",
        ]
    );
    // A resumed run adopts what stands, of whatever market.
    stage.double.faults().clear();
    stage.build(&stage.cloud(SECRET).resuming()).await.unwrap();
    assert_eq!(count(&cloud.inventory().await.unwrap(), "instance"), 5);
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_without_any_machine_is_said_at_once_and_leaves_the_rest_to_be_adopted() {
    let stage = stage().await;
    stage.double.faults().full("eu-central-1c", "*");
    let cloud = stage.cloud(SECRET);
    let error = stage.build(&cloud).await.unwrap_err();
    assert!(matches!(error, CloudError::NoCapacity { .. }), "{error:?}");
    let text = format!("{}. {}. {}", error.what(), error.why(), error.remedy());
    assert!(
        text.contains("cp3") && text.contains("eu-central-1c") && text.contains("InsufficientInstanceCapacity"),
        "{text}"
    );
    let asked = stage
        .double
        .calls()
        .iter()
        .filter(|c| c.result == "InsufficientInstanceCapacity")
        .count();
    assert_eq!(asked, 1, "an answer that lasts is not asked for again and again");
    stage.double.faults().clear();
    stage.build(&cloud).await.unwrap();
    assert_eq!(count(&cloud.inventory().await.unwrap(), "instance"), 5);
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_quota_that_is_too_small_is_named_before_anything_is_created() {
    let enough = || Config::default().quotas;
    let small = [
        (Quotas { vcpus: 8, ..enough() }, "On-Demand Standard"),
        (
            Quotas {
                addresses: 2,
                ..enough()
            },
            "Elastic IPs",
        ),
        (Quotas { vpcs: 0, ..enough() }, "VPCs per Region"),
    ];
    for (quotas, name) in small {
        let stage = stage_with(Config {
            quotas,
            ..Config::default()
        })
        .await;
        let error = stage.cloud(SECRET).preflight(&Progress::silent()).await.unwrap_err();
        assert!(error.what().contains(name), "{}", error.what());
        assert!(error.remedy().contains("Service Quotas"), "{}", error.remedy());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_castle_holds_already_does_not_count_against_it_and_blind_keys_are_warned() {
    let mut credential = Credential::user("123456789012", "castle", KEY, SECRET);
    let stage = stage_with(Config {
        quotas: Quotas {
            addresses: 3,
            vpcs: 1,
            vcpus: 10,
        },
        credentials: vec![credential.clone()],
        ..Config::default()
    })
    .await;
    let cloud = stage.cloud(SECRET);
    stage.build(&cloud).await.unwrap();
    let seen = cloud.preflight(&Progress::silent()).await.unwrap();
    assert_eq!(
        (seen.addresses_left, seen.networks_left, seen.vcpus_left),
        (Some(0), Some(0), Some(0))
    );
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();

    credential.denied = vec!["GetServiceQuota".into()];
    let stage = stage_with(Config {
        credentials: vec![credential],
        ..Config::default()
    })
    .await;
    let seen = stage.cloud(SECRET).preflight(&Progress::silent()).await.unwrap();
    assert_eq!(seen.vcpus_left, None);
    assert!(
        seen.warnings.iter().any(|w| w.contains("Service Quotas")),
        "{:?}",
        seen.warnings
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_may_be_named_by_an_ssm_parameter() {
    let mut stage = stage().await;
    stage.aws.image = "ssm:/aws/service/debian/release/12/latest/amd64".into();
    let cloud = stage.cloud(SECRET);
    assert_eq!(
        cloud.preflight(&Progress::silent()).await.unwrap().image,
        "debian-12-amd64-20251112-2294"
    );
    let progress = Progress::silent();
    let network = cloud.network(&[], &PORTS, &progress).await.unwrap();
    cloud
        .node(&network, &stage.plan()[0], b"a", 1, &progress)
        .await
        .unwrap();
    let asked = stage
        .double
        .calls()
        .iter()
        .filter(|c| c.action == "GetParameter")
        .count();
    assert_eq!(asked, 1);
    cloud.destroy(soon(), &progress).await.unwrap();

    stage.aws.image = "ssm:/no/such".into();
    let error = stage.cloud(SECRET).preflight(&progress).await.unwrap_err();
    assert_eq!(error.code(), Some("ParameterNotFound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_launch_has_tokens_for_its_metadata_one_hop_and_an_encrypted_disk() {
    let stage = stage().await;
    let cloud = stage.cloud(SECRET);
    stage.build(&cloud).await.unwrap();
    let launches: Vec<_> = stage
        .double
        .calls()
        .into_iter()
        .filter(|c| c.action == "RunInstances" && c.result == "ok")
        .collect();
    assert_eq!(launches.len(), 5);
    for launch in launches {
        let of = |name: &str| launch.params.get(name).map(String::as_str);
        assert_eq!(of("MetadataOptions.HttpTokens"), Some("required"));
        assert_eq!(of("MetadataOptions.HttpPutResponseHopLimit"), Some("1"));
        assert_eq!(of("BlockDeviceMapping.1.Ebs.Encrypted"), Some("true"));
        assert_eq!(of("KeyName"), None, "no SSH key");
    }
    assert!(
        stage
            .backend
            .memory()
            .instances
            .values()
            .all(|i| i.imds_tokens_required && i.imds_hop_limit == 1)
    );
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
}
