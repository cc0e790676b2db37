//! Which commit a castle is reborn from: the product's own steps, a real git, and what castles left in the bucket.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{path::Path, process::Command, sync::Arc};

use lab_cuts::world::{Owner, World, castle};
use skykeep_core::{Progress, castle::RebornFrom};
use skykeep_rebirth::{
    Estate,
    engine::{Graph, Report},
    pulse::{Record, Stance, Testament},
};

const PULSE: &str = "rossi/pulse/home";
const BLOG: &str = "apps/blog/blog.yaml";

fn git(at: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(at).args(args);
    for (key, value) in [
        ("NAME", "Rossi"),
        ("EMAIL", "rossi@rossi.example"),
        ("DATE", "2026-11-01T08:00:00Z"),
    ] {
        command.env(format!("GIT_AUTHOR_{key}"), value);
        command.env(format!("GIT_COMMITTER_{key}"), value);
    }
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// The example castle's repository as its owner has it, served from a folder.
struct Origin(tempfile::TempDir);

impl Origin {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../castle/repo/.");
        assert!(
            Command::new("cp")
                .arg("-r")
                .arg(source)
                .arg(folder.path())
                .status()
                .unwrap()
                .success()
        );
        let origin = Origin(folder);
        let sync = origin.0.path().join("clusters/rossi/flux-system/gotk-sync.yaml");
        let text = std::fs::read_to_string(&sync).unwrap();
        std::fs::write(
            &sync,
            text.replace("https://github.com/rossi/castle.git", &origin.url()),
        )
        .unwrap();
        git(origin.0.path(), &["init", "-q", "-b", "main", "."]);
        origin
    }

    fn url(&self) -> String {
        format!("file://{}", self.0.path().display())
    }

    fn commit(&self, subject: &str) -> String {
        let file = self.0.path().join(BLOG);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, format!("{text}# {subject}\n")).unwrap();
        git(self.0.path(), &["add", "-A"]);
        git(self.0.path(), &["commit", "-q", "-m", subject]);
        git(self.0.path(), &["rev-parse", "HEAD"])
    }
}

/// A laptop that was just switched on.
async fn laptop(world: &World, owner: &Owner, origin: &Origin, from: RebornFrom) -> Arc<Estate> {
    let mut castle = castle().unwrap();
    castle.gitops.url = origin.url().parse().unwrap();
    castle.gitops.from = from;
    world.estate_of(owner, castle).await.unwrap()
}

/// What the castle before said with its last pulse, by the product's own pen.
async fn last_said(world: &World, estate: &Estate, commit: &str) {
    let record = Record {
        v: 1,
        stance: Stance::Holds,
        testament: Some(Testament {
            green: Some(format!("main@sha1:{commit}")),
            ..Testament::default()
        }),
    };
    let folder = tempfile::tempdir().unwrap();
    let pen = world.pen(estate, folder.path()).unwrap();
    pen.beat(&record).await.unwrap();
}

/// Reads the repository, takes the lease, and keeps the choice, as the first steps of every rebirth do.
async fn begin(estate: &Arc<Estate>) -> Report {
    only(estate, &["check.git", "lease", "node.plans"]).await
}

async fn only(estate: &Arc<Estate>, wanted: &[&str]) -> Report {
    let mut steps = skykeep_rebirth::graph(&estate.castle).unwrap().into_steps();
    steps.retain(|step| wanted.contains(&step.id.as_str()));
    for step in &mut steps {
        step.needs.retain(|need| wanted.contains(&need.as_str()));
    }
    skykeep_rebirth::run(Graph::new(steps).unwrap(), estate.clone(), Progress::silent()).await
}

async fn commit_of(estate: &Arc<Estate>) -> String {
    let report = begin(estate).await;
    assert!(report.failure().is_none(), "{:?}", report.failure());
    let journal = estate.journal.get().unwrap().entries().await;
    let commit = estate.repository.get().unwrap().commit.clone();
    assert_eq!(journal.revision.unwrap().commit, commit);
    commit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebirth_takes_what_was_green_and_every_later_run_takes_the_same() {
    let owner = Owner::new(&lab_world::Credentials::laboratory()).unwrap();
    let (world, origin) = (World::new().await.unwrap(), Origin::new());
    let green = origin.commit("all green");
    let broken = origin.commit("broken");
    let first = laptop(&world, &owner, &origin, RebornFrom::Green).await;
    last_said(&world, &first, &green).await;
    assert_eq!(commit_of(&first).await, green);
    let distance = &first.revision.get().unwrap().distance;
    assert_eq!((distance.further, distance.head.id.as_str()), (1, broken.as_str()));

    // Another laptop goes on; meanwhile the pulse has gone, the branch has moved, and its castle file wants the head.
    world.bucket.take_away(PULSE);
    let newest = origin.commit("newest");
    let second = laptop(&world, &owner, &origin, RebornFrom::Head).await;
    assert_eq!(commit_of(&second).await, green);

    // A person says otherwise, and that is kept too.
    let third = laptop(&world, &owner, &origin, RebornFrom::Green).await;
    third.take_head();
    assert_eq!(commit_of(&third).await, newest);
    let fourth = laptop(&world, &owner, &origin, RebornFrom::Green).await;
    assert_eq!(commit_of(&fourth).await, newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_testament_it_is_the_head_and_of_a_rewritten_branch_a_person_chooses() {
    let owner = Owner::new(&lab_world::Credentials::laboratory()).unwrap();
    let (world, origin) = (World::new().await.unwrap(), Origin::new());
    let kept = origin.commit("the first");
    let gone = origin.commit("all green");
    // The old castle's pulse can't be opened: it says nothing.
    let estate = laptop(&world, &owner, &origin, RebornFrom::Green).await;
    assert!(only(&estate, &["check.git"]).await.failure().is_none());
    assert_eq!(estate.revision.get().unwrap().distance.at.id, gone);

    last_said(&world, &estate, &gone).await;
    git(origin.0.path(), &["reset", "-q", "--hard", &kept]);
    let rewritten = origin.commit("history rewritten");
    let estate = laptop(&world, &owner, &origin, RebornFrom::Green).await;
    let report = begin(&estate).await;
    let (step, error) = report.failure().unwrap();
    assert!(
        step == "check.git" && error.what.contains("no longer on the branch `main`"),
        "{step}: {error}"
    );
    assert!(error.remedy.contains("--head") && estate.lost_its_revision());
    assert!(estate.lease.get().is_err(), "nothing was begun");
    // On the same laptop, after the question.
    estate.take_head();
    assert_eq!(commit_of(&estate).await, rewritten);
}
