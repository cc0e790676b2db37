//! Lease and journal against a real store. Run by `tests/cuts/seaweed`, which starts SeaweedFS.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use skykeep_aws::{Credentials, S3};
use skykeep_core::{Deadline, Generation, Progress, Secret};
use skykeep_rebirth::{
    journal::Journal,
    lease::{BootClock, Claim, Taker, peek},
};

fn store() -> Arc<S3> {
    let env = |name: &str| std::env::var(name).unwrap();
    let tls = skykeep_core::http::Trust::public().tls().unwrap();
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .build()
        .unwrap();
    let keys = Arc::new(Credentials::new(env("S3_KEY"), Secret::from_string(env("S3_SECRET"))));
    let url = env("S3_URL").parse().unwrap();
    Arc::new(S3::new(http, keys, "eu-central-1", Some(url), "cuts").unwrap())
}

fn taker(run: &str) -> Taker<'_> {
    Taker {
        store: store(),
        clock: Arc::new(BootClock),
        castle: "rossi",
        run,
        from: format!("from the laptop of {run}"),
        claim: Claim::Free,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SeaweedFS: run tests/cuts/seaweed"]
async fn of_eight_laptops_one_wins_and_all_write_into_one_journal() {
    let runs: Vec<String> = (0..8).map(|i| format!("run{i}")).collect();
    let until = || Deadline::after(Duration::from_secs(150));
    let all = runs
        .iter()
        .map(|run| async { taker(run).take(until(), &Progress::silent()).await });
    let (won, lost): (Vec<_>, Vec<_>) = join_all(all).await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    let (lease, new) = won.into_iter().next().unwrap().unwrap();
    assert!(new);
    let found = peek(&*store(), "rossi").await.unwrap().unwrap();
    for error in lost {
        let why = error.err().unwrap().explained().why;
        assert!(
            why.contains(&format!("run {} from the laptop of", found.record.holder)),
            "{why}"
        );
    }
    // It was renewed while the others looked: its age counts from then.
    let age = found.age.expect("SeaweedFS tells Date and Last-Modified");
    assert!(age < Duration::from_secs(25), "{age:?}");
    lease.release(None).await.unwrap();
    let began = std::time::Instant::now();
    let (next, new) = taker("next").take(until(), &Progress::silent()).await.unwrap();
    assert!(!new && next.generation() == lease.generation() && began.elapsed() < Duration::from_secs(5));

    let generation = Generation::new(1, 2);
    let journals = runs.iter().take(4).map(|run| async move {
        let key = Secret::new(vec![7; 32]);
        let journal = Journal::open(store(), "rossi", &generation, key).await.unwrap();
        journal
            .update(|entries| entries.run(run).map(|r| r.began = 1))
            .await
            .unwrap();
    });
    join_all(journals).await;
    let journal = Journal::open(store(), "rossi", &generation, Secret::new(vec![7; 32]))
        .await
        .unwrap();
    assert_eq!(journal.entries().await.runs.len(), 4);
    let size = store()
        .head(&format!("rossi/journal/{generation}"))
        .await
        .unwrap()
        .unwrap()
        .size;
    assert_eq!(size, 4096 + 12 + 16);
}
