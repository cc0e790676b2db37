//! Build, adopt, replace, destroy.

use std::time::Duration;

use lab_ec2::{Config, Credential, Delays, Fault};
use skykeep_aws::Credentials;
use skykeep_cloud::{Cloud, CloudError};
use skykeep_core::{Deadline, Explain, Progress, Secret};

use crate::stage::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_castle_is_built_once_adopted_twice_and_destroyed_to_nothing() {
    let stage = stage().await;
    let cloud = stage.cloud(SECRET);
    let preflight = cloud.preflight(&Progress::silent()).await.unwrap();
    assert_eq!(
        (preflight.account.as_str(), preflight.vcpus_needed),
        ("123456789012", 10)
    );
    assert_eq!(
        stage.double.inventory(),
        Vec::<String>::new(),
        "preflight must create nothing"
    );

    let entry = stage.build(&cloud).await.unwrap();
    assert_eq!(entry.addresses.len(), 3);
    let once = cloud.inventory().await.unwrap();
    assert_eq!(
        (count(&once, "instance"), count(&once, "vpc"), count(&once, "subnet")),
        (5, 1, 3)
    );
    {
        let memory = stage.backend.memory();
        let user_data: Vec<_> = memory.instances.values().map(|i| i.user_data.clone()).collect();
        assert!(user_data.contains(&b"#cloud-config\n# cp1\n".to_vec()));
        assert!(
            memory
                .instances
                .values()
                .all(|i| i.imds_tokens_required && i.imds_hop_limit == 1)
        );
        // The world reaches no node but through the entry; the laptop reaches the API.
        let cp1 = "10.42.0.10".parse::<std::net::Ipv4Addr>().unwrap();
        let rules: Vec<_> = memory
            .firewall
            .values()
            .flatten()
            .filter(|r| r.private_ip == cp1)
            .collect();
        let world = rules
            .iter()
            .flat_map(|r| &r.ingress)
            .flat_map(|r| &r.source)
            .any(|s| s.prefix_len() == 0);
        assert!(!rules.is_empty() && !world, "{rules:?}");
    }

    // Another laptop, which knows nothing but castle and generation.
    let again = stage.build(&stage.cloud(SECRET).resuming()).await.unwrap();
    assert_eq!(again, entry);
    assert_eq!(cloud.inventory().await.unwrap(), once);

    let progress = Progress::silent();
    cloud.destroy(soon(), &progress).await.unwrap();
    assert_eq!(cloud.inventory().await.unwrap(), []);
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
    cloud.destroy(soon(), &progress).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_generation_left_is_found_and_what_is_ended_is_forgotten() {
    let stage = stage().await;
    let secret = || Credentials::new(KEY, Secret::from_string(SECRET.to_owned()));
    let (old, new) = (stage.cloud_of(secret(), 1), stage.cloud_of(secret(), 2));
    let progress = Progress::silent();
    old.network(&[], &PORTS, &progress).await.unwrap();
    new.network(&[], &PORTS, &progress).await.unwrap();
    let generation = |random| skykeep_core::Generation::new(1_790_000_000_000, random);
    assert_eq!(new.generations().await.unwrap(), [generation(1), generation(2)]);
    old.destroy(soon(), &progress).await.unwrap();
    assert_eq!(new.generations().await.unwrap(), [generation(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_throttling_and_late_visibility_leave_no_twins() {
    let stage = stage().await;
    let faults = stage.double.faults();
    faults.stale_reads(Duration::from_millis(1500));
    for action in [
        "CreateVpc",
        "DescribeVpcs",
        "CreateSubnet",
        "AllocateAddress",
        "CreateTargetGroup",
        "DescribeInstances",
    ] {
        faults.next(action, 2, Fault::Throttle);
    }
    for action in [
        "CreateSubnet",
        "CreateSecurityGroup",
        "CreateLoadBalancer",
        "CreateListener",
        "RunInstances",
    ] {
        faults.next(action, 1, Fault::LostReply);
    }
    faults.next("ModifyVpcAttribute", 1, Fault::Unavailable);
    let cloud = stage.cloud(SECRET);
    stage.build(&cloud).await.unwrap();
    let things = cloud.inventory().await.unwrap();
    assert_eq!(
        (
            count(&things, "instance"),
            count(&things, "subnet"),
            count(&things, "security-group")
        ),
        (5, 3, 2)
    );
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_laptops_at_once_end_in_one_network_and_nothing_of_the_twin_outlives_the_castle() {
    let stage = stage().await;
    stage.double.faults().stale_reads(Duration::from_millis(2500));
    let (one, two) = (stage.cloud(SECRET), stage.cloud(SECRET));
    let progress = Progress::silent();
    let (a, b) = tokio::join!(one.network(&[], &PORTS, &progress), two.network(&[], &PORTS, &progress));
    let twins = [a.map(|n| n.vpc_id), b.map(|n| n.vpc_id)];
    let third = stage.cloud(SECRET).resuming();
    let network = third.network(&[], &PORTS, &progress).await.unwrap();
    for twin in twins.into_iter().flatten() {
        assert!(network.vpc_id <= twin, "the lowest stays");
    }
    assert_eq!(
        stage.cloud(SECRET).network(&[], &PORTS, &progress).await.unwrap(),
        network
    );
    let entry = third.entry(&network, &PORTS, &progress).await.unwrap();
    assert_eq!(entry.addresses.len(), 3);
    third.destroy(soon(), &progress).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_laptop_takes_the_first_ones_access_over() {
    let stage = stage().await;
    let cloud = stage.cloud(SECRET);
    let progress = Progress::silent();
    cloud
        .network(&["203.0.113.7/32".parse().unwrap()], &PORTS, &progress)
        .await
        .unwrap();
    let network = cloud
        .network(&["198.51.100.9/32".parse().unwrap()], &PORTS, &progress)
        .await
        .unwrap();
    let node = stage.plan().remove(0);
    let node = cloud.node(&network, &node, b"a", 1, &progress).await.unwrap();
    cloud.nodes_running(&[node], soon(), &progress).await.unwrap();
    let text = format!("{:?}", stage.backend.memory().firewall);
    assert!(
        text.contains("198.51.100.9/32") && !text.contains("203.0.113.7/32"),
        "{text}"
    );
    cloud.destroy(soon(), &progress).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_cut_short_is_carried_on() {
    let stage = stage().await;
    let cloud = stage.cloud(SECRET);
    stage.build(&cloud).await.unwrap();
    let progress = Progress::silent();
    for action in [
        "TerminateInstances",
        "ReleaseAddress",
        "DeleteSubnet",
        "DetachInternetGateway",
    ] {
        let early = Deadline::after(Duration::from_millis(1500));
        stage.double.faults().next(action, 1, Fault::Internal);
        let _ = cloud.destroy(early, &progress).await;
    }
    cloud.destroy(soon(), &progress).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_replaced_at_the_same_address() {
    let stage = stage().await;
    let cloud = stage.cloud(SECRET);
    let progress = Progress::silent();
    let network = cloud.network(&[], &PORTS, &progress).await.unwrap();
    let node = stage.plan().remove(0);
    stage.backend.memory().fail_launch = Some("Server.InternalError: the host broke".into());
    let first = cloud.node(&network, &node, b"a", 1, &progress).await.unwrap();
    let error = cloud
        .nodes_running(std::slice::from_ref(&first), soon(), &progress)
        .await
        .unwrap_err();
    assert!(matches!(error, CloudError::NodeDied { .. }), "{error:?}");
    // The same attempt is used up; the next one lives.
    assert!(matches!(
        cloud.node(&network, &node, b"a", 1, &progress).await,
        Err(CloudError::NodeDied { .. })
    ));
    let second = cloud.node(&network, &node, b"b", 2, &progress).await.unwrap();
    assert_ne!(first.id, second.id);
    let running = cloud.nodes_running(&[second], soon(), &progress).await.unwrap();
    assert_eq!(running[0].private_ip, node.private_ip);
    cloud.destroy(soon(), &progress).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_shows_before_anything_is_created() {
    let mut stage = stage().await;
    let why = |e: CloudError| e.why();
    let progress = Progress::silent();
    let error = stage.cloud("wrong").preflight(&progress).await.unwrap_err();
    assert!(why(error).contains("secret access key does not belong"));
    stage.aws.image = "ami-00000000000000000".into();
    let error = stage.cloud(SECRET).preflight(&progress).await.unwrap_err();
    assert!(error.remedy().contains("cloud.aws.image"), "{error:?}");
    stage.aws = castle();
    stage.aws.zones[2] = "eu-central-1z".into();
    let error = stage.cloud(SECRET).preflight(&progress).await.unwrap_err();
    assert!(error.what().contains("eu-central-1z"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_launch_is_found_out_beforehand() {
    let mut credential = Credential::user("123456789012", "castle", KEY, SECRET);
    credential.denied = vec!["RunInstances".into()];
    let delays = Delays {
        balancer_active: Duration::from_secs(1),
        ..Config::default().delays
    };
    let stage = stage_with(Config {
        credentials: vec![credential],
        delays,
        ..Config::default()
    })
    .await;
    let error = stage.cloud(SECRET).preflight(&Progress::silent()).await.unwrap_err();
    assert_eq!(error.code(), Some("UnauthorizedOperation"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_printed_is_read_while_it_lives_and_after_its_end() {
    let mut stage = stage().await;
    // Machines of the older kind do not show what they print now.
    stage.aws.workers.instance_type = "t2.large".into();
    let cloud = stage.cloud(SECRET);
    let progress = Progress::silent();
    let network = cloud.network(&[], &PORTS, &progress).await.unwrap();
    let mut nodes = Vec::new();
    for node in stage.plan().into_iter().filter(|n| n.name.ends_with('1')) {
        nodes.push(cloud.node(&network, &node, b"a", 1, &progress).await.unwrap());
    }
    let nodes = cloud.nodes_running(&nodes, soon(), &progress).await.unwrap();
    assert_eq!(cloud.console(&nodes[0], 9).await.unwrap(), Vec::<String>::new());
    for node in &nodes {
        let said = "[\u{1b}[32m OK \u{1b}[0m] booted\r\nskykeep:    3.1 s  fetching kubelet\r\n\
                    skykeep: kubelet: SHA-256 differs from the lock\r\n";
        stage.backend.memory().consoles.insert(node.id.clone(), said.into());
    }
    stage.double.faults().next("GetConsoleOutput", 2, Fault::Throttle);
    for node in &nodes {
        assert_eq!(
            cloud.console(node, 2).await.unwrap(),
            [
                "skykeep:    3.1 s  fetching kubelet",
                "skykeep: kubelet: SHA-256 differs from the lock"
            ]
        );
    }
    assert_eq!(cloud.console(&nodes[0], 9).await.unwrap()[0], "[ OK ] booted");
    cloud.destroy(soon(), &progress).await.unwrap();
    assert_eq!(cloud.console(&nodes[1], 1).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_castle_stands_and_falls_at_a_cloud_as_slow_as_aws_fifteen_times_faster() {
    let config = Config {
        delays: Delays::recorded().faster(15),
        ..Config::default()
    };
    let stage = stage_with(config).await;
    let cloud = stage.cloud(SECRET);
    stage.build(&cloud).await.unwrap();
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_takes_its_own_generation_and_says_what_is_left_and_what_it_costs() {
    let config = Config::default();
    let quotas = lab_ec2::Quotas {
        addresses: 10,
        ..config.quotas
    };
    let stage = stage_with(Config { quotas, ..config }).await;
    let key = || Credentials::new(KEY, Secret::from_string(SECRET.into()));
    let (old, new) = (stage.cloud_of(key(), 7), stage.cloud_of(key(), 8));
    let progress = Progress::silent();
    stage.build(&old).await.unwrap();
    stage.build(&new).await.unwrap();
    let stands = new.inventory().await.unwrap();
    assert_eq!(count(&stands, "instance"), 5);

    // AWS lets no address go for a while: the deadline comes first.
    stage.double.faults().next("DeleteLoadBalancer", 60, Fault::Throttle);
    let error = old
        .destroy(Deadline::after(Duration::from_secs(6)), &progress)
        .await
        .unwrap_err();
    stage.double.faults().clear();
    let why = error.why();
    assert!(why.contains("$ an hour"), "{why}");
    old.destroy(soon(), &progress).await.unwrap();
    assert_eq!(
        new.inventory().await.unwrap(),
        stands,
        "the new generation is untouched"
    );
    new.destroy(soon(), &progress).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}
