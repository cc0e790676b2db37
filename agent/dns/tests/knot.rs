//! RFC 2136 against a real primary: Knot DNS from Debian, on loopback.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use skykeep_core::{Secret, Trouble};
use skykeep_dns::{DnsError, Record, Rfc2136, Undo, Zone, lower_ttl, plan, rfc2136::Algorithm};

const ZONE: &str = "rossi.example";
const BLOG: &str = "blog.rossi.example";
/// "a key of this test and of nothing", for nobody's zone.
const KEY: &str = "YSBrZXkgb2YgdGhpcyB0ZXN0IGFuZCBvZiBub3RoaW5n";

const RECORDS: &str = "\
$ORIGIN rossi.example.
@ 3600 SOA ns1 admin 1 3600 600 86400 60
@ 3600 NS ns1
ns1 3600 A 127.0.0.1
@ 3600 CAA 0 issue \"letsencrypt.org\"
@ 300 A 192.0.2.10
* 300 A 192.0.2.10
blog 300 A 192.0.2.10
blog 300 AAAA 2001:db8::10
wiki 300 CNAME blog
mail 3600 A 192.0.2.25
";

struct Knot {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Knot {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let here = folder.path().display();
        let conf = format!(
            "server:\n  rundir: \"{here}\"\n  listen: 127.0.0.1@{port}\n\
             database:\n  storage: \"{here}\"\n\
             key:\n  - id: skykeep\n    algorithm: hmac-sha256\n    secret: {KEY}\n\
             \x20 - id: reader\n    algorithm: hmac-sha256\n    secret: {KEY}\n\
             acl:\n  - id: all\n    key: skykeep\n    action: [transfer, update]\n\
             \x20 - id: read\n    key: reader\n    action: [transfer]\n\
             zone:\n  - domain: {ZONE}\n    storage: \"{here}\"\n    file: zone\n    acl: [all, read]\n    zonefile-sync: -1\n"
        );
        std::fs::write(folder.path().join("knot.conf"), conf).unwrap();
        std::fs::write(folder.path().join("zone"), RECORDS).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("knotd")
            .arg("-c")
            .arg(folder.path().join("knot.conf"))
            .stdout(log.try_clone().unwrap())
            .stderr(Stdio::from(log))
            .spawn()
            .expect("knotd (Debian: knot) must be there: tests/install-needs");
        let knot = Knot { child, port, folder };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "{}",
                log_of(knot.folder.path())
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        knot
    }

    fn client(&self, key: &str, secret: &str) -> Rfc2136 {
        let secret = Secret::from_string(secret.to_owned());
        Rfc2136::new("127.0.0.1", self.port, key, Algorithm::Sha256, &secret).unwrap()
    }

    async fn zone(&self) -> Box<dyn Zone> {
        self.client("skykeep", KEY).connect(ZONE).await.unwrap()
    }
}

fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

fn lines(records: &[Record]) -> Vec<String> {
    let mut lines: Vec<String> = records
        .iter()
        .filter(|r| r.kind != "NS")
        .map(|r| format!("{} {} {} {}", r.name, r.ttl, r.kind, r.content))
        .collect();
    lines.sort();
    lines
}

fn names() -> Vec<String> {
    [BLOG, ZONE, "*.rossi.example", "wiki.rossi.example"]
        .map(str::to_owned)
        .into()
}

#[tokio::test]
async fn names_move_in_one_update_and_come_back() {
    let knot = Knot::start();
    let zone = knot.zone().await;
    let before = zone.records().await.unwrap();
    let undo = Undo::of(&before, &names());
    zone.apply(&lower_ttl(&before, &names())).await.unwrap();
    let short = zone.records().await.unwrap();
    assert!(undo.changed_since(&short).is_empty());
    let addresses: [Ipv4Addr; 2] = ["203.0.113.1", "203.0.113.2"].map(|a| a.parse().unwrap());
    let change = plan(ZONE, &short, &names(), &addresses).unwrap();
    insta::assert_snapshot!(
        "what_is_shown",
        change
            .notes
            .iter()
            .chain(&change.lines(&short))
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    zone.apply(&change).await.unwrap();
    let after = zone.records().await.unwrap();
    insta::assert_snapshot!("what_stands_then", lines(&after).join("\n"));
    assert!(plan(ZONE, &after, &names(), &addresses).unwrap().already_done());
    zone.apply(&undo.plan(&after)).await.unwrap();
    assert_eq!(lines(&zone.records().await.unwrap()), lines(&before));
}

#[tokio::test]
async fn what_somebody_changed_meanwhile_makes_nothing_of_the_whole_update() {
    let knot = Knot::start();
    let (zone, somebody) = (knot.zone().await, knot.zone().await);
    let before = zone.records().await.unwrap();
    let change = plan(ZONE, &before, &names(), &["203.0.113.1".parse().unwrap()]).unwrap();
    // A DDNS program takes one of the names between our reading and our writing.
    let theirs = plan(ZONE, &before, &[BLOG.to_owned()], &["198.51.100.7".parse().unwrap()]).unwrap();
    somebody.apply(&theirs).await.unwrap();
    let between = zone.records().await.unwrap();
    let error = zone.apply(&change).await.unwrap_err();
    assert!(matches!(error, DnsError::ChangedMeanwhile(_)), "{error}");
    assert_eq!(
        lines(&zone.records().await.unwrap()),
        lines(&between),
        "none of the four names moved"
    );
    // Planned anew it goes through.
    let again = plan(ZONE, &between, &names(), &["203.0.113.1".parse().unwrap()]).unwrap();
    zone.apply(&again).await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_a_key_that_may_only_read_and_a_foreign_zone_write_nothing_and_say_what_to_do() {
    let knot = Knot::start();
    let wrong = "bm90IHRoZSBrZXkgb2YgdGhpcyB0ZXN0LCBub3QgYXQgYWxs";
    for (key, secret) in [("skykeep", wrong), ("unknown", KEY)] {
        let error = knot.client(key, secret).connect(ZONE).await.err().unwrap();
        assert!(matches!(error, DnsError::Key(_)), "{key}: {error}");
    }
    let reader = knot.client("reader", KEY).connect(ZONE).await.unwrap();
    let change = plan(
        ZONE,
        &reader.records().await.unwrap(),
        &names(),
        &["203.0.113.1".parse().unwrap()],
    )
    .unwrap();
    // Knot says the same to a key that it does not know and to one that may not do this.
    let error = reader.apply(&change).await.unwrap_err();
    assert!(matches!(error, DnsError::Key(_)), "{error}");
    insta::assert_snapshot!(
        "a_key_that_may_only_read",
        Trouble::from(error).to_string().replace(&knot.port.to_string(), "PORT")
    );
    let error = knot.client("skykeep", KEY).connect("example.org").await.err().unwrap();
    assert!(
        matches!(error, DnsError::NotPrimary { .. } | DnsError::Key(_)),
        "{error}"
    );
}
