//! Against the laboratory's Cloudflare and its real name server:
//! `SKYKEEP_WORLD=<work-dir> ip netns exec sk-host <this test> --ignored`. The zone is left as it was.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use skykeep_core::{Deadline, Progress, Secret, http::Trust};
use skykeep_dns::{Cloudflare, Expected, Undo, lower_ttl, plan, verify};

const ZONE: &str = "rossi.example";

fn world() -> PathBuf {
    std::env::var_os("SKYKEEP_WORLD")
        .expect("SKYKEEP_WORLD names the running world's work-dir")
        .into()
}

fn cloudflare(token: Option<&str>) -> Cloudflare {
    let credentials: serde_json::Value =
        serde_json::from_slice(&std::fs::read(world().join("credentials.json")).unwrap()).unwrap();
    let pem = std::fs::read(world().join("ca.pem")).unwrap();
    let http = Trust::with_extra_pem(&pem)
        .unwrap()
        .http(Duration::from_secs(10))
        .unwrap();
    let token = token.unwrap_or(credentials["cloudflare_token"].as_str().unwrap());
    Cloudflare::new(http, &Secret::from_string(token.to_owned()))
}

#[tokio::test]
#[ignore = "needs the laboratory's world"]
async fn a_name_moves_and_comes_back_as_the_world_sees_it() {
    let zone = cloudflare(None).connect(ZONE).await.unwrap();
    let names = [format!("move-test.{ZONE}")];
    let before = zone.records().await.unwrap();
    let old = plan(ZONE, &before, &names, &["192.0.2.77".parse().unwrap()]).unwrap();
    zone.apply(&old).await.unwrap();
    let start = zone.records().await.unwrap();
    let undo = Undo::of(&start, &names);
    zone.apply(&lower_ttl(&start, &names)).await.unwrap();
    let addresses: Vec<Ipv4Addr> = ["203.0.113.201", "203.0.113.202", "203.0.113.203"]
        .map(|a| a.parse().unwrap())
        .into();
    let change = plan(ZONE, &zone.records().await.unwrap(), &names, &addresses).unwrap();
    assert!(!change.already_done());
    zone.apply(&change).await.unwrap();
    assert!(
        plan(ZONE, &zone.records().await.unwrap(), &names, &addresses)
            .unwrap()
            .already_done()
    );
    let resolvers: [IpAddr; 2] = ["203.0.113.53".parse().unwrap(), "1.1.1.1".parse().unwrap()];
    let expected = Expected {
        zone: ZONE,
        names: &names,
        addresses: &addresses,
    };
    verify(
        &expected,
        &resolvers,
        Deadline::after(Duration::from_secs(60)),
        &Progress::silent(),
    )
    .await
    .unwrap();
    let wrong = Expected {
        zone: ZONE,
        names: &names,
        addresses: &addresses[..1],
    };
    let error = verify(
        &wrong,
        &resolvers,
        Deadline::after(Duration::from_secs(3)),
        &Progress::silent(),
    )
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("203.0.113.203"),
        "says what was seen instead: {error}"
    );
    zone.apply(&undo.plan(&zone.records().await.unwrap())).await.unwrap();
    assert!(undo.plan(&zone.records().await.unwrap()).already_done());
    let empty = Undo {
        names: names.to_vec(),
        records: vec![],
    };
    zone.apply(&empty.plan(&zone.records().await.unwrap())).await.unwrap();
    let key = |r: &skykeep_dns::Record| (r.name.clone(), r.kind.clone(), r.content.clone(), r.ttl);
    let after = zone.records().await.unwrap();
    let sorted = |records: &[skykeep_dns::Record]| {
        let mut keys: Vec<_> = records.iter().filter(|r| r.name != names[0]).map(key).collect();
        keys.sort();
        keys
    };
    assert_eq!(sorted(&before), sorted(&after), "nothing else moved");
}

#[tokio::test]
#[ignore = "needs the laboratory's world"]
async fn a_wrong_token_and_a_foreign_zone_are_told_apart() {
    let error = cloudflare(Some("0123456789012345678901234567890123456789"))
        .connect(ZONE)
        .await
        .err()
        .unwrap();
    assert!(matches!(error, skykeep_dns::DnsError::Token(_)), "{error}");
    let error = cloudflare(None).connect("example.org").await.err().unwrap();
    assert!(matches!(error, skykeep_dns::DnsError::NoZone(_)), "{error}");
}
