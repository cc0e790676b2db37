//! Every answer that can be lost, a run that dies in the middle, and what a rebirth costs in calls.

use std::time::Duration;

use lab_hetzner::Fault;
use skykeep_cloud::Cloud;
use skykeep_core::Progress;

use crate::stage::*;

/// Everything by which a castle comes to be.
const MAKING: [&str; 8] = [
    "POST networks",
    "POST firewalls",
    "POST placement_groups",
    "POST load_balancers",
    "POST servers",
    "POST servers/attach_to_network",
    "POST servers/poweron",
    "POST load_balancers/add_target",
];

#[tokio::test(flavor = "multi_thread")]
async fn one_run_gets_through_when_every_answer_is_lost_once_after_it_was_carried_out() {
    let stage = stage().await;
    let faults = stage.double.faults();
    for action in MAKING {
        faults.next(action, 1, Fault::LostReply);
    }
    let cloud = stage.cloud();
    stage.build(&cloud).await.unwrap();
    assert_eq!(faults.left(), 0, "everything was made and lost");
    assert_eq!(counts(&cloud.inventory().await.unwrap()), WHOLE);
    assert_eq!(stage.done("POST servers"), 5);
    cloud.destroy(soon(), &Progress::silent()).await.unwrap();
    assert_eq!(stage.double.inventory(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_passes_is_borne() {
    let stage = stage().await;
    let faults = stage.double.faults();
    for action in MAKING {
        faults.next(action, 1, Fault::RateLimit);
        faults.next(action, 1, Fault::Unavailable);
        faults.next(action, 1, Fault::Conflict);
    }
    faults.next("GET servers", 2, Fault::Internal);
    faults.next("GET actions", 2, Fault::RateLimit);
    let cloud = stage.cloud();
    stage.build(&cloud).await.unwrap();
    assert_eq!(faults.left(), 0);
    assert_eq!(counts(&cloud.inventory().await.unwrap()), WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_carried_out_when_the_laptop_died_the_next_one_goes_on_from_there() {
    futures::future::join_all(MAKING.map(dies_at)).await;
}

async fn dies_at(action: &str) {
    let stage = stage().await;
    stage
        .double
        .faults()
        .next(action, 1, Fault::Slow(Duration::from_secs(60)));
    let cloud = stage.cloud();
    let dies = async {
        while stage.double.faults().left() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    };
    tokio::select! {
        done = stage.build(&cloud) => panic!("{action} was answered: {done:?}"),
        () = dies => {}
    }
    drop(cloud);
    let cloud = stage.cloud().resuming();
    stage.build(&cloud).await.unwrap();
    assert_eq!(counts(&cloud.inventory().await.unwrap()), WHOLE, "{action}");
    for made in ["POST networks", "POST firewalls", "POST load_balancers"] {
        assert_eq!(stage.done(made), 1, "{action}: {made}");
    }
    assert_eq!(stage.done("POST servers"), 5, "{action}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebirth_of_five_nodes_costs_so_many_calls() {
    let stage = stage().await;
    let (cloud, progress) = (stage.cloud(), Progress::silent());
    cloud.preflight(&progress).await.unwrap();
    let preflight = stage.double.faults().calls().len();
    stage.build(&cloud).await.unwrap();
    let calls = stage.double.faults().calls();
    let looks = calls
        .iter()
        .skip(preflight)
        .filter(|c| c.action.starts_with("GET"))
        .count();
    let writes = calls.len() - preflight - looks;
    println!("preflight {preflight}, {writes} writes and {looks} looks");
    // Network, firewall, group, balancer; each node made, joined, switched on, put behind the balancer.
    assert!(preflight <= 6 && writes <= 4 + 4 * 5 + 10, "{preflight} {writes}");
    assert!(looks < 400, "{looks} of the 3600 an hour");
}
