//! Every answer that a creation can lose, and what a rebirth costs in calls.

use std::{collections::BTreeMap, time::Duration};

use lab_ec2::Fault;
use skykeep_cloud::Cloud;
use skykeep_core::Progress;

use crate::stage::*;

/// Every action by which a castle comes to be.
const MAKING: [&str; 17] = [
    "CreateVpc",
    "ModifyVpcAttribute",
    "CreateInternetGateway",
    "AttachInternetGateway",
    "CreateRoute",
    "CreateSubnet",
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "AllocateAddress",
    "CreateTargetGroup",
    "ModifyTargetGroupAttributes",
    "CreateLoadBalancer",
    "ModifyLoadBalancerAttributes",
    "CreateListener",
    "RunInstances",
    "RegisterTargets",
    "DescribeInstances",
];

/// Kind and number of everything.
fn counts(things: &[skykeep_cloud::Thing]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for thing in things {
        *counts.entry(thing.kind.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_gets_through_when_the_answer_of_every_making_is_lost_once_after_it_was_carried_out() {
    let stage = stage().await;
    let faults = stage.double.faults();
    faults.stale_reads(Duration::from_secs(2));
    for action in MAKING {
        faults.next(action, 1, Fault::LostReply);
    }
    let cloud = stage.cloud(SECRET);
    stage.build(&cloud).await.unwrap();
    assert_eq!(faults.left(), 0, "every action was made and lost");
    let things = cloud.inventory().await.unwrap();
    let expected = [
        ("elastic-address", 3),
        ("instance", 5),
        ("internet-gateway", 1),
        ("load-balancer", 1),
        ("network-interface", 5),
        ("security-group", 2),
        ("subnet", 3),
        ("target-group", 2),
        ("volume", 5),
        ("vpc", 1),
    ];
    assert_eq!(counts(&things), BTreeMap::from(expected), "{things:?}");
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_laptop_that_died_before_the_answer_left_behind_is_found_by_the_next_one() {
    let stage = stage().await;
    stage.double.faults().stale_reads(Duration::from_secs(2));
    // These have no client token: only a search can find what was made.
    for action in ["CreateVpc", "CreateInternetGateway", "AllocateAddress"] {
        stage
            .double
            .faults()
            .next(action, 1, Fault::Slow(Duration::from_secs(60)));
        let made = || stage.double.calls().iter().filter(|c| c.action == action).count();
        let before = made();
        let cloud = stage.cloud(SECRET).resuming();
        let dies = async {
            while made() == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            done = stage.build(&cloud) => panic!("{action} was answered: {done:?}"),
            () = dies => {}
        }
    }
    let cloud = stage.cloud(SECRET).resuming();
    stage.build(&cloud).await.unwrap();
    let things = cloud.inventory().await.unwrap();
    let counts = counts(&things);
    let single = ["vpc", "internet-gateway", "elastic-address", "load-balancer"].map(|kind| counts[kind]);
    assert_eq!(single, [1, 1, 3, 1], "{things:?}");
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}

/// The number of calls is a promise: AWS throttles an account, and each call is a round trip on bad Wi-Fi.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebirth_of_five_nodes_costs_so_many_calls() {
    let stage = stage().await;
    let cloud = stage.cloud(SECRET);
    let progress = Progress::silent();
    cloud.preflight(&progress).await.unwrap();
    let preflight = stage.double.calls().len();
    stage.build(&cloud).await.unwrap();
    let calls = stage.double.calls();
    cloud.destroy(soon(), &progress).await.unwrap();
    let destroy = stage.double.calls().len() - calls.len();
    let mut by_action: BTreeMap<String, usize> = BTreeMap::new();
    for call in calls.iter().skip(preflight) {
        *by_action.entry(call.action.clone()).or_default() += 1;
    }
    // How often a wait looks depends on the machine; everything else does not.
    let waits = ["DescribeInstances", "DescribeLoadBalancers", "DescribeTargetHealth"];
    let (mut fixed, mut polls) = (0, 0);
    for (action, times) in &by_action {
        println!("{times:4} {action}");
        *(if waits.contains(&action.as_str()) {
            &mut polls
        } else {
            &mut fixed
        }) += times;
    }
    println!("preflight {preflight}, build {fixed} and {polls} of waits, destroy {destroy}");
    assert!(preflight <= 20, "{preflight}");
    assert!(fixed <= 65, "{fixed}: {by_action:?}");
}
