//! Build, adopt, replace, destroy.

use lab_hetzner::Fault;
use skykeep_cloud::{Cloud, CloudError};
use skykeep_core::{Deadline, Explain, Generation, Progress};

use crate::stage::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_castle_is_built_once_adopted_and_destroyed_to_nothing() {
    let stage = stage().await;
    let cloud = stage.cloud();
    let progress = Progress::silent();
    let seen = cloud.preflight(&progress).await.unwrap();
    assert_eq!((seen.vcpus_needed, seen.image.as_str()), (20, "debian-12 (114690387)"));
    assert_eq!(
        stage.double.inventory(),
        Vec::<String>::new(),
        "preflight creates nothing"
    );

    let entry = stage.build(&cloud).await.unwrap();
    assert_eq!(entry.addresses.len(), 1);
    let once = cloud.inventory().await.unwrap();
    assert_eq!(once.iter().filter(|t| t.is_machine()).count(), 5, "{once:?}");
    assert_eq!(counts(&once), WHOLE);
    {
        let memory = stage.backend.memory();
        let mut machines: Vec<_> = memory
            .instances
            .values()
            .map(|i| (i.hostname.clone(), i.private_ip.to_string()))
            .collect();
        machines.sort();
        let generation = Generation::new(1_790_000_000_000, 7).to_string().to_ascii_lowercase();
        let planned = [
            ("cp1", "0.10"),
            ("cp2", "16.10"),
            ("cp3", "32.10"),
            ("w1", "0.20"),
            ("w2", "16.20"),
        ];
        let planned = planned.map(|(name, ip)| (format!("rossi-{generation}-{name}"), format!("10.42.{ip}")));
        assert_eq!(machines, planned);
        // The world reaches nothing of a node; whoever builds reaches the API; the private network is open.
        let cp1 = "10.42.0.10".parse::<std::net::Ipv4Addr>().unwrap();
        let all = memory.firewall.values().flatten().filter(|r| r.private_ip == cp1);
        let mut sources: Vec<_> = all
            .flat_map(|r| &r.ingress)
            .map(|r| (r.from_port, format!("{:?}", r.source)))
            .collect();
        sources.sort();
        assert_eq!(
            sources,
            [(-1, "[10.42.0.0/16]".to_owned()), (6443, "[203.0.113.7/32]".to_owned())]
        );
    }

    // Another laptop, which knows nothing but castle and generation.
    let again = stage.build(&stage.cloud().resuming()).await.unwrap();
    assert_eq!((again, stage.done("POST servers")), (entry, 5));
    assert_eq!(cloud.inventory().await.unwrap(), once);

    cloud.destroy(soon(), &progress).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
    cloud.destroy(soon(), &progress).await.unwrap();
    assert_eq!(stage.double.events(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_laptop_is_let_in_and_the_one_before_it_is_not_any_more() {
    let stage = stage().await;
    let progress = Progress::silent();
    for source in ["203.0.113.7/32", "198.51.100.9/32"] {
        let network = stage
            .cloud()
            .network(&[source.parse().unwrap()], &PORTS, &progress)
            .await
            .unwrap();
        stage
            .cloud()
            .node(&network, &stage.plan()[0], b"#!", 1, &progress)
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let rules = format!("{:?}", stage.backend.memory().firewall);
        assert!(rules.contains(source), "{rules}");
    }
    let rules = format!("{:?}", stage.backend.memory().firewall);
    assert!(!rules.contains("203.0.113.7"), "{rules}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_made_for_another_attempt_and_never_started_is_made_anew() {
    let stage = stage().await;
    let (cloud, progress) = (stage.cloud(), Progress::silent());
    let network = cloud.network(&[], &PORTS, &progress).await.unwrap();
    let node = &stage.plan()[0];
    // The run dies while the server, made and still off, is told to join the network.
    stage
        .double
        .faults()
        .next("POST servers/attach_to_network", 99, Fault::LostRequest);
    let first = cloud.node(&network, node, b"one", 1, &progress);
    let first = tokio::time::timeout(std::time::Duration::from_secs(2), first).await;
    assert!(first.is_err() && stage.done("POST servers") == 1, "{first:?}");
    stage.double.faults().clear();
    let second = cloud.node(&network, node, b"two", 2, &progress).await.unwrap();
    cloud.nodes_running(&[second], soon(), &progress).await.unwrap();
    let memory = stage.backend.memory();
    let data: Vec<_> = memory.instances.values().map(|i| i.user_data.clone()).collect();
    assert_eq!((data, stage.done("POST servers")), (vec![b"two".to_vec()], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_died_is_said_ended_and_replaced_at_the_same_address() {
    let stage = stage().await;
    let (cloud, progress) = (stage.cloud(), Progress::silent());
    let network = cloud.network(&[], &PORTS, &progress).await.unwrap();
    let node = &stage.plan()[3];
    let first = cloud.node(&network, node, b"one", 1, &progress).await.unwrap();
    cloud
        .nodes_running(std::slice::from_ref(&first), soon(), &progress)
        .await
        .unwrap();
    cloud.end_node(&first, soon(), &progress).await.unwrap();
    let gone = cloud
        .nodes_running(std::slice::from_ref(&first), soon(), &progress)
        .await
        .unwrap_err();
    assert!(
        matches!(gone, CloudError::NodeDied { .. }) && gone.uses_attempt_up(),
        "{gone:?}"
    );
    let second = cloud.node(&network, node, b"two", 2, &progress).await.unwrap();
    assert!(second.id != first.id && second.private_ip == first.private_ip);
    assert_eq!(cloud.console(&second, 10).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_takes_its_own_generation_and_says_what_is_left_and_what_it_costs() {
    let mut config = lab_hetzner::Config::default();
    config.limits.servers = 10;
    let stage = stage_with(config).await;
    let (old, new) = (stage.cloud_of(TOKEN, 7), stage.cloud_of(TOKEN, 8));
    let progress = Progress::silent();
    stage.build(&old).await.unwrap();
    stage.build(&new).await.unwrap();
    let generation = |random| Generation::new(1_790_000_000_000, random);
    assert_eq!(new.generations().await.unwrap(), [generation(7), generation(8)]);
    let stands = new.inventory().await.unwrap();

    stage.double.faults().next("DELETE servers", 60, Fault::Conflict);
    let error = old
        .destroy(Deadline::after(std::time::Duration::from_secs(6)), &progress)
        .await
        .unwrap_err();
    stage.double.faults().clear();
    assert!(error.why().contains("EUR an hour"), "{}", error.why());
    old.destroy(soon(), &progress).await.unwrap();
    assert_eq!(
        new.inventory().await.unwrap(),
        stands,
        "the new generation is untouched"
    );
    assert_eq!(new.generations().await.unwrap(), [generation(8)]);
    new.destroy(soon(), &progress).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}
