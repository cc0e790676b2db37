//! A second opinion on the shape of requests and answers: moto's EC2 and ELB. Ignored by default; run `agent/cloud/tests/moto.sh`.
//! moto is lenient where AWS is strict, so what counts here is that each answer is understood.
// The whole file is a test; clippy knows it only of functions marked as such.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{sync::Arc, time::Duration};

use skykeep_aws::Credentials;
use skykeep_cloud::{AwsCloud, Cloud, plan_nodes};
use skykeep_core::{
    Deadline, Generation, Progress, Secret, Tags,
    castle::{self, Aws, Castle, EntryPort},
    http::Trust,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs moto_server: tests/moto.sh"]
async fn a_castle_is_built_and_destroyed_at_moto() {
    let example = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
    let castle::Cloud::Aws(aws) = example.cloud else {
        panic!("the example is at AWS")
    };
    let aws = Aws {
        image: std::env::var("MOTO_IMAGE").unwrap(),
        ..aws
    };
    let tls = Trust::public().tls().unwrap();
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .build()
        .unwrap();
    let credentials = Arc::new(Credentials::new(
        "AKIATESTTESTTESTTEST",
        Secret::from_string("secret".into()),
    ));
    let tags = Tags {
        castle: "rossi".into(),
        generation: Generation::new(1_790_000_000_000, 7),
    };
    let relay = std::env::var("MOTO_URL").unwrap().parse().unwrap();
    let cloud = AwsCloud::new(http, credentials, &aws, tags, Some(relay));
    let ports = [EntryPort {
        port: 443,
        node_port: 30443,
    }];
    let (progress, soon) = (Progress::silent(), || Deadline::after(Duration::from_secs(30)));

    let network = cloud
        .network(&["203.0.113.7/32".parse().unwrap()], &ports, &progress)
        .await
        .unwrap();
    assert_eq!(
        cloud
            .network(&["203.0.113.8/32".parse().unwrap()], &ports, &progress)
            .await
            .unwrap(),
        network
    );
    let entry = cloud.entry(&network, &ports, &progress).await.unwrap();
    assert_eq!(entry.addresses.len(), 3);
    let mut nodes = Vec::new();
    for node in plan_nodes(&castle::Cloud::Aws(aws)) {
        let instance = cloud.node(&network, &node, b"#!/bin/sh\n", 1, &progress).await.unwrap();
        assert_eq!(instance.private_ip, node.private_ip);
        nodes.push(instance);
    }
    let nodes = cloud.nodes_running(&nodes, soon(), &progress).await.unwrap();
    cloud.register(&entry, &nodes).await.unwrap();
    cloud.entry_ready(&entry, soon(), &progress).await.unwrap();
    cloud.targets_healthy(&entry, soon(), &progress).await.unwrap();
    assert_eq!(
        cloud
            .inventory()
            .await
            .unwrap()
            .iter()
            .filter(|t| t.kind == "instance")
            .count(),
        5
    );
    cloud.destroy(soon(), &progress).await.unwrap();
    assert_eq!(cloud.inventory().await.unwrap(), []);
}
