//! Zones without machines, and control planes that are lost, at engine level: the product's own steps against the laboratory's AWS.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lab_cuts::{
    story::{graph, run_through},
    world::{Owner, World, castle},
};
use skykeep_core::{Event, Progress};
use skykeep_rebirth::{
    Estate,
    journal::{Entries, Journal},
};

fn owner() -> Owner {
    Owner::new(&lab_world::Credentials::laboratory()).unwrap()
}

/// Where each machine stands: zone and address, by the node's name.
fn places(world: &World) -> BTreeMap<String, String> {
    let instances = world.double.instances();
    let memory = world.backend.memory();
    let place = |(id, _, _, tags): (String, _, _, BTreeMap<String, String>)| {
        let machine = &memory.instances[&id];
        let name = tags["Name"].rsplit('-').next().unwrap().to_owned();
        (name, format!("{} {}", machine.az, machine.private_ip))
    };
    instances.into_iter().map(place).collect()
}

/// A machine loses its power; the cloud has seen it when this returns.
async fn end(world: &World, id: &str) {
    world.backend.memory().instances.remove(id).unwrap();
    let is_stopped = || {
        world
            .double
            .instances()
            .iter()
            .any(|(one, _, state, _)| one == id && *state == "stopped")
    };
    tokio::time::timeout(Duration::from_secs(20), async {
        while !is_stopped() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}

async fn journal(estate: &Estate) -> Journal {
    let lease = skykeep_rebirth::lease::peek(&*estate.s3, &estate.castle.name)
        .await
        .unwrap();
    let generation = lease.unwrap().record.generation;
    Journal::open(
        estate.s3.clone(),
        &estate.castle.name,
        &generation,
        estate.journal_key(),
    )
    .await
    .unwrap()
}

async fn entries(estate: &Estate) -> Entries {
    journal(estate).await.entries().await
}

/// Runs to its end, well or not: why it failed, and what was told meanwhile.
async fn run(world: &Arc<World>, owner: &Owner) -> (Option<String>, Vec<String>) {
    let estate = world.estate_of(owner, castle().unwrap()).await.unwrap();
    let (progress, mut events) = Progress::channel("room");
    let report = skykeep_rebirth::run(graph(world, &estate).unwrap(), estate, progress).await;
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Note { text, .. } = event {
            told.push(text);
        }
    }
    let failure = report.failure().map(|(step, error)| format!("{step}\n{error}"));
    (failure, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_machine_in_its_zone_goes_to_another_and_stays_there() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    world.double.faults().full("eu-central-1b", "*");
    let (failure, told) = run(&world, &owner).await;
    assert_eq!(failure, None);
    let now = places(&world);
    let expected = [
        ("cp1", "eu-central-1a 10.42.0.10"),
        ("cp2", "eu-central-1a 10.42.0.101"),
        ("cp3", "eu-central-1c 10.42.32.10"),
        ("w1", "eu-central-1a 10.42.0.20"),
        ("w2", "eu-central-1c 10.42.32.121"),
    ];
    assert_eq!(now, expected.map(|(name, at)| (name.to_owned(), at.to_owned())).into());
    let said = told.iter().find(|text| text.contains("node cp2 goes to eu-central-1a"));
    insta::assert_snapshot!(said.unwrap());

    // etcd's first members were named with the old address: the moved one joins.
    let estate = world.estate(&owner).await.unwrap();
    let kept = entries(&estate).await;
    assert_eq!(kept.anew, BTreeMap::from([("cp2".to_owned(), true)]));
    assert_eq!(kept.moved.len(), 2);

    // There is room again: the next run moves nobody back.
    world.double.faults().clear();
    run_through(&world, &owner).await.unwrap();
    assert_eq!(places(&world), now);
    skykeep_rebirth::destroy(estate, Progress::silent()).await.unwrap();
    assert_eq!(world.double.inventory(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn control_planes_never_all_stand_in_one_zone_unless_the_owner_names_only_one() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    world.double.faults().full("eu-central-1b", "*");
    world.double.faults().full("eu-central-1c", "*");
    let (failure, _) = run(&world, &owner).await;
    let failure = failure.unwrap();
    assert!(failure.contains("There is no machine for node cp"), "{failure}");
    let planes = places(&world).into_keys().filter(|name| name.starts_with("cp")).count();
    assert_eq!(planes, 2);
    // What stands is adopted once there is room.
    world.double.faults().clear();
    run_through(&world, &owner).await.unwrap();
    assert_eq!(places(&world).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_is_gone_when_a_run_goes_on_joins_the_others() {
    let (owner, world) = (owner(), World::new().await.unwrap());
    run_through(&world, &owner).await.unwrap();
    let estate = world.estate(&owner).await.unwrap();
    // The step that writes this is scripted here.
    journal(&estate)
        .await
        .update(|entries| entries.formed = true)
        .await
        .unwrap();
    let before = entries(&estate).await;
    assert_eq!((before.machines.len(), before.anew.len()), (5, 0));
    end(&world, &before.machines["cp2"]).await;
    run_through(&world, &owner).await.unwrap();
    let after = entries(&estate).await;
    assert_eq!(after.anew, BTreeMap::from([("cp2".to_owned(), true)]));
    assert_ne!(after.machines["cp2"], before.machines["cp2"]);
    assert!(after.attempts["cp2"].number > before.attempts["cp2"].number);
    assert_eq!(after.attempts["cp1"], before.attempts["cp1"]);

    // Two at once are more than etcd can lose: nothing is made, nothing is ended.
    end(&world, &after.machines["cp1"]).await;
    end(&world, &after.machines["cp3"]).await;
    let (failure, _) = run(&world, &owner).await;
    insta::assert_snapshot!(failure.unwrap());
    assert_eq!(entries(&estate).await.machines, after.machines);
}
