//! The old castle: alive, unknown, and awake again after the cutover.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use lab_cuts::{
    story::{graph, run_through},
    world::{OLD_CASTLE, Owner, World, castle, castle_text},
};
use skykeep_core::{
    Event, Progress,
    castle::{Castle, OldPulse},
};
use skykeep_rebirth::{
    Estate,
    pulse::{Record, Stance},
};
use tokio::{task::JoinHandle, time::timeout};

const PULSE: &str = "rossi/pulse/home";

fn owner() -> Owner {
    Owner::new(&lab_world::Credentials::laboratory()).unwrap()
}

/// Runs and says where it stopped and why; nothing when it came to its end.
async fn stopped(world: &Arc<World>, estate: Arc<Estate>) -> Option<String> {
    stopped_while_told(world, estate, Progress::silent()).await
}

async fn stopped_while_told(world: &Arc<World>, estate: Arc<Estate>, progress: Progress) -> Option<String> {
    let report = skykeep_rebirth::run(graph(world, &estate).unwrap(), estate, progress).await;
    report.failure().map(|(step, error)| format!("{step}\n{error}"))
}

async fn address(world: &World) -> String {
    let records = world.cloudflare.records().await;
    let mut of_blog = records.iter().filter(|r| r.name == "blog.rossi.example");
    of_blog.next().unwrap().content.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_never_leave_a_castle_that_answers_unless_somebody_says_that_it_is_dead() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    let port = world.address().port();
    let text = castle_text().unwrap();
    let rule = "https://blog.rossi.example/";
    assert!(text.contains(rule));
    let castle = Castle::parse(&text.replace(rule, &format!("https://blog.rossi.example:{port}/"))).unwrap();
    let estate = world.estate_of(&owner, castle.clone()).await.unwrap();
    let said = stopped(&world, estate).await.unwrap();
    insta::assert_snapshot!("the_old_castle_answers", said);
    assert_eq!(address(&world).await, OLD_CASTLE);

    let estate = world.estate_of(&owner, castle).await.unwrap();
    let doubt = skykeep_rebirth::doubt_about_the_old_castle(&estate).await.unwrap();
    assert!(doubt.unwrap().contains("status 200"), "the console would ask");
    assert!(estate.old_castle_is_dead("rosi").is_err(), "a slip is no confirmation");
    estate.old_castle_is_dead("rossi").unwrap();
    assert_eq!(stopped(&world, estate).await, None);
    assert_ne!(address(&world).await, OLD_CASTLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_castle_without_any_pulse_is_unknown_and_not_dead() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    world.bucket.take_away(PULSE);
    let said = stopped(&world, world.estate(&owner).await.unwrap()).await.unwrap();
    insta::assert_snapshot!("no_pulse_was_ever_seen", said);
    assert_eq!(address(&world).await, OLD_CASTLE);
    // Its owner says in the file that it never had the job: that nobody answers is enough.
    let mut castle = castle().unwrap();
    castle.old_castle.pulse = OldPulse::None;
    let estate = world.estate_of(&owner, castle).await.unwrap();
    assert_eq!(stopped(&world, estate).await, None);
    assert_ne!(address(&world).await, OLD_CASTLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_young_pulse_is_waited_for_and_one_that_comes_anew_stops_the_move() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    world.bucket.leave(PULSE, b"40 s ago", Duration::from_secs(40));
    let run = until_it_waits_at_the_fence(&world, &owner).await;
    // It beats once a minute: this one comes while the fence waits.
    world.bucket.leave(PULSE, b"a new one", Duration::ZERO);
    let said = run.await.unwrap().unwrap();
    assert!(
        said.starts_with("dns.fence") && said.contains("home gave a new pulse"),
        "{said}"
    );
    assert_eq!(address(&world).await, OLD_CASTLE);

    // Then it burns. The next laptop waits until it is surely silent, without asking anybody.
    world.bucket.leave(PULSE, b"its last", Duration::from_secs(30));
    let run = until_it_waits_at_the_fence(&world, &owner).await;
    world.bucket.pass(Duration::from_secs(91));
    assert_eq!(run.await.unwrap(), None);
    assert_ne!(address(&world).await, OLD_CASTLE);
}

/// A run that has looked at the old castle for the first time, and waits.
async fn until_it_waits_at_the_fence(world: &Arc<World>, owner: &Owner) -> JoinHandle<Option<String>> {
    let (progress, mut events) = Progress::channel("fence");
    let (world, estate) = (world.clone(), world.estate(owner).await.unwrap());
    let run = tokio::spawn(async move { stopped_while_told(&world, estate, progress).await });
    loop {
        let event = timeout(Duration::from_secs(60), events.recv()).await.unwrap().unwrap();
        if matches!(event, Event::Waiting { step, .. } if step == "dns.fence") {
            return run;
        }
    }
}

/// A DDNS program of the old castle: keeps one record of the name, with its own address, and removes the others.
async fn ddns_writes(estate: &Estate, own: &str) {
    let token = lab_world::Credentials::laboratory().cloudflare_token;
    let written = ddns_writes_with(estate, own, &token).await;
    assert!(written, "its token is good");
}

/// The same with a token of its own; says whether it could.
async fn ddns_writes_with(estate: &Estate, own: &str, token: &str) -> bool {
    let records = format!(
        "https://api.cloudflare.com/client/v4/zones/{}/dns_records",
        lab_world::CLOUDFLARE_ZONE
    );
    let found = estate
        .http
        .get(format!("{records}?name=blog.rossi.example&type=A"))
        .bearer_auth(token);
    let found = found.send().await.unwrap();
    if !found.status().is_success() {
        assert_eq!(found.status(), 403);
        return false;
    }
    let found: serde_json::Value = found.json().await.unwrap();
    let ids: Vec<&str> = found["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["id"].as_str().unwrap())
        .collect();
    for (i, id) in ids.iter().enumerate() {
        let one = format!("{records}/{id}");
        let request = match i {
            0 => estate.http.patch(one).json(&serde_json::json!({"content": own})),
            _ => estate.http.delete(one),
        };
        let answer = request.bearer_auth(token).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_castle_that_wakes_up_takes_the_name_for_a_minute_at_most_and_status_says_so() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    run_through(&world, &owner).await.unwrap();
    let (estate, folder) = (world.estate(&owner).await.unwrap(), tempfile::tempdir().unwrap());
    let pen = world.pen(&estate, folder.path()).unwrap();
    assert!(skykeep_rebirth::status(&estate).await.unwrap().changed.is_empty());

    // Half an hour of a real loop's work, a minute at a time: it writes what it believes every few seconds; once a minute, beside
    // it, the pulse job looks whether it must stop it.
    let (mut runs, mut writes) = (true, 0);
    for _minute in 0..30 {
        if runs {
            ddns_writes(&estate, OLD_CASTLE).await;
            writes += 1;
        }
        if writes == 1 && runs {
            let status = skykeep_rebirth::status(&estate).await.unwrap();
            insta::assert_snapshot!("the_name_was_taken_back", mask(&status.changed.join("\n")));
        }
        let stop = pen.must_stop().await.unwrap();
        runs &= stop.is_none();
        let stance = if runs { Stance::Holds } else { Stance::SteppedBack };
        let record = Record {
            v: 1,
            stance,
            testament: None,
        };
        pen.beat(&record).await.unwrap();
        world.bucket.pass(Duration::from_secs(60));
        if !runs && writes == 1 && address(&world).await == OLD_CASTLE {
            // What status told its owner to do.
            run_through(&world, &owner).await.unwrap();
        }
    }
    assert_eq!(writes, 1, "it was stopped by its own pulse job");
    assert_ne!(address(&world).await, OLD_CASTLE);
    assert!(skykeep_rebirth::status(&estate).await.unwrap().changed.is_empty());
    let last = pen.last().await.unwrap().unwrap();
    assert_eq!(
        last.stance,
        Stance::SteppedBack,
        "it lives, and says that it leaves the names alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_castle_that_nobody_reaches_can_write_no_name_until_an_undo_gives_its_keys_back() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    let keys = lab_world::Credentials::laboratory();
    let estate = world.estate(&owner).await.unwrap();
    let secret = skykeep_core::Secret::from_string(keys.keys_secret_access_key.clone());
    let credentials = skykeep_aws::Credentials::new(keys.keys_access_key_id.clone(), secret);
    let key = skykeep_aws::Iam::new(estate.http.clone(), Arc::new(credentials), "us-east-1");
    let on = || async { key.keys("old-castle").await.unwrap().iter().all(|k| k.is_active()) };
    assert!(on().await && ddns_writes_with(&estate, OLD_CASTLE, &keys.old_cloudflare_token).await);

    run_through(&world, &owner).await.unwrap();
    assert!(!on().await, "its access key is off");
    assert!(!ddns_writes_with(&estate, OLD_CASTLE, &keys.old_cloudflare_token).await);
    assert_ne!(address(&world).await, OLD_CASTLE);

    let estate = world.estate(&owner).await.unwrap();
    let way = skykeep_rebirth::way_back(&estate, None).await.unwrap();
    insta::assert_snapshot!(way.keys().join("\n"));
    skykeep_rebirth::go_back(&estate, &way).await.unwrap();
    assert!(on().await && ddns_writes_with(&estate, OLD_CASTLE, &keys.old_cloudflare_token).await);
    assert!(skykeep_rebirth::way_back(&estate, None).await.unwrap().already_done());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_reborn_castle_needs_is_refused_before_anything_is_made() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    let keys = lab_world::Credentials::laboratory();
    for (from, to) in [
        (&keys.old_access_key_id, keys.aws_access_key_id.as_str()),
        (&keys.old_cloudflare_token_id, "ed17574386854bf78a67040be0a770b0"),
    ] {
        let text = castle_text().unwrap();
        assert!(text.contains(from.as_str()));
        let castle = Castle::parse(&text.replace(from.as_str(), to)).unwrap();
        let estate = world.estate_of(&owner, castle).await.unwrap();
        let said = stopped(&world, estate).await.unwrap();
        assert!(
            said.starts_with("check.keys") && said.contains("keys of its own"),
            "{said}"
        );
        assert!(world.double.inventory().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_castle_that_was_destroyed_on_purpose_is_not_waited_for() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    run_through(&world, &owner).await.unwrap();
    let estate = world.estate(&owner).await.unwrap();
    let status = skykeep_rebirth::status(&estate).await.unwrap();
    let generation = status.lease.unwrap().generation;
    // Its job beat to the end.
    let beat = format!("rossi/pulse/{generation}");
    world.bucket.leave(&beat, b"young", Duration::ZERO);
    skykeep_rebirth::destroy(estate, Progress::silent()).await.unwrap();
    run_through(&world, &owner).await.unwrap();
}

/// Addresses of a cloud are not the same twice.
fn mask(text: &str) -> String {
    let lines = text.lines().map(|line| match line.rsplit_once(' ') {
        Some((words, OLD_CASTLE)) => format!("{words} {OLD_CASTLE}"),
        Some((words, _)) => format!("{words} <the entry>"),
        None => line.to_owned(),
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.join("\n")
}
