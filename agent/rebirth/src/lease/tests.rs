//! The lease against a store that loses replies, answers late, conflicts, and goes away; laptops that sleep, crash and return.
//! Everything runs under a virtual clock.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture, future::poll_fn};
use skykeep_aws::{AwsError, Condition, Object, Put};
use skykeep_core::{Deadline, Progress, Trouble};
use tokio::time::{Instant, sleep};

use super::*;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Good,
    /// Carried out; the reply never comes.
    LostReply,
    /// Not carried out; no reply.
    LostRequest,
    /// 409, not carried out.
    Conflict,
    /// 404 to a conditional write, not carried out.
    Missing,
    /// 412 although the condition holds: a relay repeated the write and shows the second answer.
    Repeated,
    /// Carried out late.
    Late(u64),
    /// Carried out at once, answered late.
    LateReply(u64),
}

/// Content, entity tag, when it was written.
type Stored = (Vec<u8>, u64, Instant);

/// One bucket with a script. What is not scripted is good.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Stored>>,
    etags: AtomicU64,
    script: Mutex<Vec<Fate>>,
    dice: Mutex<Option<Dice>>,
    ageless: bool,
}

/// A small generator of pseudo-random numbers (xorshift64*), so that a seed gives the same world everywhere.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

impl Bucket {
    fn fate(&self) -> Fate {
        if let Some(fate) = self.script.lock().unwrap().pop() {
            return fate;
        }
        let mut dice = self.dice.lock().unwrap();
        let Some(dice) = dice.as_mut() else { return Fate::Good };
        match dice.roll(40) {
            0 => Fate::LostReply,
            1 => Fate::LostRequest,
            2 => Fate::Conflict,
            3 => Fate::Missing,
            4 => Fate::Repeated,
            5 => Fate::Late(dice.roll(30)),
            6 => Fate::LateReply(dice.roll(30)),
            _ => Fate::Good,
        }
    }

    fn read(&self, key: &str) -> Option<Object> {
        let objects = self.objects.lock().unwrap();
        objects.get(key).map(|(bytes, etag, written)| Object {
            bytes: bytes.clone().into(),
            etag: format!("\"{etag}\""),
            age: (!self.ageless).then(|| Duration::from_secs(written.elapsed().as_secs())),
        })
    }

    fn write(&self, key: &str, bytes: Vec<u8>, condition: &Owned) -> Put {
        let now = self.read(key);
        let fits = match condition {
            Owned::Always => true,
            Owned::Absent => now.is_none(),
            Owned::Is(etag) => now.is_some_and(|o| o.etag == *etag),
        };
        if !fits {
            return Put::PreconditionFailed;
        }
        let etag = self.etags.fetch_add(1, Ordering::SeqCst);
        self.objects
            .lock()
            .unwrap()
            .insert(key.to_owned(), (bytes, etag, Instant::now()));
        Put::Done {
            etag: format!("\"{etag}\""),
        }
    }

    fn record(&self) -> Record {
        serde_json::from_slice(&self.read("rossi/lease.json").unwrap().bytes).unwrap()
    }
}

#[derive(Clone)]
enum Owned {
    Always,
    Absent,
    Is(String),
}

impl From<Condition<'_>> for Owned {
    fn from(condition: Condition<'_>) -> Self {
        match condition {
            Condition::Always => Owned::Always,
            Condition::Absent => Owned::Absent,
            Condition::Is(etag) => Owned::Is(etag.to_owned()),
        }
    }
}

fn nothing() -> AwsError {
    AwsError::NoAnswer {
        action: "PutObject".into(),
        host: "the bucket".into(),
        why: "the connection broke".into(),
    }
}

/// One laptop: its clock, and whether it sleeps.
struct Laptop {
    bucket: Arc<Bucket>,
    boot: Instant,
    asleep_until: Mutex<Instant>,
}

impl Laptop {
    fn new(bucket: &Arc<Bucket>) -> Arc<Self> {
        Arc::new(Laptop {
            bucket: bucket.clone(),
            boot: Instant::now(),
            asleep_until: Mutex::new(Instant::now()),
        })
    }

    fn asleep(&self) -> bool {
        *self.asleep_until.lock().unwrap() > Instant::now()
    }

    async fn awake(&self) {
        let until = *self.asleep_until.lock().unwrap();
        tokio::time::sleep_until(until).await;
    }

    fn sleep_for(&self, time: Duration) {
        *self.asleep_until.lock().unwrap() = Instant::now() + time;
    }

    /// Runs only while the laptop is awake.
    async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut tick = tokio::time::interval(seconds(1));
        poll_fn(|cx| {
            while tick.poll_tick(cx).is_ready() {}
            if self.asleep() {
                Poll::Pending
            } else {
                work.as_mut().poll(cx)
            }
        })
        .await
    }

    fn taker<'a>(self: &Arc<Self>, run: &'a str, claim: Claim) -> Taker<'a> {
        Taker {
            store: self.clone(),
            clock: self.clone(),
            castle: "rossi",
            run,
            from: format!("from the laptop of {run}"),
            claim,
        }
    }

    async fn take(self: &Arc<Self>, run: &str, claim: Claim, seconds: u64) -> Result<(Lease, bool), Trouble> {
        let deadline = Deadline::after(Duration::from_secs(seconds));
        self.taker(run, claim).take(deadline, &Progress::silent()).await
    }
}

impl Clock for Laptop {
    fn now(&self) -> Duration {
        self.boot.elapsed() + Duration::from_secs(77)
    }
}

impl Store for Laptop {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Object>, AwsError>> {
        async move {
            self.awake().await;
            let result = match self.bucket.fate() {
                Fate::LostReply | Fate::LostRequest => Err(nothing()),
                Fate::Late(seconds) => {
                    sleep(Duration::from_secs(seconds)).await;
                    Ok(self.bucket.read(key))
                }
                Fate::LateReply(seconds) => {
                    let read = self.bucket.read(key);
                    sleep(Duration::from_secs(seconds)).await;
                    Ok(read)
                }
                _ => Ok(self.bucket.read(key)),
            };
            self.awake().await;
            result
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        condition: Condition<'a>,
    ) -> BoxFuture<'a, Result<Put, AwsError>> {
        let condition = Owned::from(condition);
        async move {
            self.awake().await;
            let conditional = !matches!(condition, Owned::Always);
            let result = match self.bucket.fate() {
                Fate::LostReply => {
                    let _ = self.bucket.write(key, bytes, &condition);
                    Err(nothing())
                }
                Fate::LostRequest => Err(nothing()),
                Fate::Conflict if conditional => Ok(Put::Conflict),
                Fate::Missing if conditional => Ok(Put::NotFound),
                Fate::Repeated => {
                    let _ = self.bucket.write(key, bytes.clone(), &condition);
                    Ok(self.bucket.write(key, bytes, &condition))
                }
                Fate::Late(seconds) => {
                    // It lands even when nobody waits for its answer any more.
                    let (bucket, key) = (self.bucket.clone(), key.to_owned());
                    let landed = tokio::spawn(async move {
                        sleep(Duration::from_secs(seconds)).await;
                        bucket.write(&key, bytes, &condition)
                    });
                    Ok(landed.await.unwrap())
                }
                Fate::LateReply(seconds) => {
                    let put = self.bucket.write(key, bytes, &condition);
                    sleep(Duration::from_secs(seconds)).await;
                    Ok(put)
                }
                _ => Ok(self.bucket.write(key, bytes, &condition)),
            };
            self.awake().await;
            result
        }
        .boxed()
    }
}

fn paused<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn of_two_laptops_started_at_once_one_wins_and_the_other_says_who_and_since_when() {
    paused(async {
        let bucket = Arc::new(Bucket::default());
        let (one, two) = (Laptop::new(&bucket), Laptop::new(&bucket));
        let (a, b) = tokio::join!(one.take("one", Claim::Free, 200), two.take("two", Claim::Free, 200));
        let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
        let (lease, new) = won.unwrap();
        assert!(new);
        let why = lost.err().unwrap().explained();
        let holder = bucket.record().holder;
        assert!(
            why.why.contains(&format!("run {holder} from the laptop of {holder}")),
            "{why}"
        );
        assert!(
            why.why.contains("since 20") && why.remedy.contains("--take-over"),
            "{why}"
        );
        drop(lease);
    });
}

#[test]
fn a_lease_whose_replies_are_lost_is_settled_by_reading_what_stands_there() {
    for fate in [
        Fate::LostReply,
        Fate::LostRequest,
        Fate::Conflict,
        Fate::Missing,
        Fate::Repeated,
        Fate::Late(20),
        Fate::LateReply(20),
    ] {
        paused(async {
            let bucket = Arc::new(Bucket::default());
            let laptop = Laptop::new(&bucket);
            // The first write: read, then put.
            *bucket.script.lock().unwrap() = vec![fate, Fate::Good];
            let (lease, new) = laptop.take("one", Claim::Free, 200).await.unwrap();
            assert!(new, "{fate:?}");
            assert_eq!(bucket.record().generation, lease.generation(), "{fate:?}");
            // A renewal.
            *bucket.script.lock().unwrap() = vec![fate];
            let before = bucket.record().nonce;
            lease.renew(Some(Phase::Alive)).await.unwrap();
            let now = bucket.record();
            assert!(now.nonce != before && now.state == Phase::Alive, "{fate:?}");
            assert!(lease.valid_for() > seconds(20), "{fate:?} {:?}", lease.valid_for());
            // And it goes on by itself.
            sleep(seconds(300)).await;
            assert!(lease.valid_for() > seconds(20), "{fate:?}");
        });
    }
}

#[test]
fn a_laptop_that_comes_after_a_power_cut_waits_until_the_first_one_is_surely_gone_and_goes_on() {
    for ageless in [false, true] {
        paused(async {
            let bucket = Arc::new(Bucket {
                ageless,
                ..Bucket::default()
            });
            let (lease, _) = Laptop::new(&bucket).take("one", Claim::Free, 10).await.unwrap();
            let generation = lease.generation();
            sleep(seconds(100)).await;
            drop(lease);
            let cut = Instant::now();
            let (lease, new) = Laptop::new(&bucket).take("two", Claim::Free, 200).await.unwrap();
            assert_eq!((lease.generation(), new), (generation, false));
            assert!(cut.elapsed() > SILENT - TERM / 3 - seconds(2), "{:?}", cut.elapsed());
            assert!(cut.elapsed() < SILENT + seconds(5), "{:?}", cut.elapsed());
        });
    }
}

#[test]
fn a_lease_that_was_given_back_is_free_at_once() {
    paused(async {
        let bucket = Arc::new(Bucket::default());
        let (lease, _) = Laptop::new(&bucket).take("one", Claim::Free, 10).await.unwrap();
        lease.release(None).await.unwrap();
        let began = Instant::now();
        let (next, new) = Laptop::new(&bucket).take("two", Claim::Free, 10).await.unwrap();
        assert!(!new && began.elapsed() < seconds(1));
        assert_eq!(next.generation(), lease.generation());
        assert!(lease.renew(None).await.is_err());
    });
}

#[test]
fn a_person_may_take_over_and_the_new_holder_waits_until_the_old_one_has_surely_stopped() {
    paused(async {
        let bucket = Arc::new(Bucket::default());
        let (old, _) = Laptop::new(&bucket).take("one", Claim::Free, 10).await.unwrap();
        let began = Instant::now();
        let told = async {
            let trouble = old.lost().await;
            (began.elapsed(), trouble.explained().why)
        };
        let two = Laptop::new(&bucket);
        let (new, (stopped, why)) = tokio::join!(two.take("two", Claim::Any, 200), told);
        assert!(why.contains("run two from the laptop of two"), "{why}");
        assert!(stopped <= TERM / 3 + seconds(1), "{stopped:?}");
        assert!(began.elapsed() >= SILENT && new.unwrap().0.valid_for() > seconds(30));
        assert!(old.valid_for().is_zero());
    });
}

#[test]
fn while_the_laptop_sleeps_nothing_runs_and_what_was_lost_meanwhile_is_known_before_anything_runs() {
    paused(async {
        let bucket = Arc::new(Bucket::default());
        let laptop = Laptop::new(&bucket);
        let (lease, _) = laptop.take("one", Claim::Free, 10).await.unwrap();
        let polled = AtomicU64::new(0);
        let work = async {
            loop {
                polled.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(50)).await;
            }
        };
        let held = laptop.run(lease.hold::<()>(work));
        let story = async {
            sleep(seconds(30)).await;
            laptop.sleep_for(seconds(600));
            let (other, _) = Laptop::new(&bucket).take("two", Claim::Free, 300).await.unwrap();
            let before = polled.load(Ordering::SeqCst);
            sleep(seconds(400)).await;
            drop(other);
            before
        };
        let (lost, before) = tokio::join!(held, story);
        assert!(lost.unwrap_err().explained().why.contains("run two"));
        assert_eq!(
            polled.load(Ordering::SeqCst),
            before,
            "something ran after the lease was another's"
        );
    });
}

#[test]
fn a_store_out_of_reach_holds_the_work_still_and_it_goes_on_when_the_store_is_back() {
    paused(async {
        let bucket = Arc::new(Bucket::default());
        let laptop = Laptop::new(&bucket);
        let (lease, _) = laptop.take("one", Claim::Free, 10).await.unwrap();
        let began = Instant::now();
        // A write and a look each, every three seconds or so: about five minutes without an answer.
        *bucket.script.lock().unwrap() = vec![Fate::LostRequest; 160];
        let polled = Mutex::new(Vec::new());
        let work = async {
            while began.elapsed() < seconds(600) {
                polled.lock().unwrap().push(began.elapsed());
                sleep(seconds(1)).await;
            }
        };
        lease.hold(work).await.unwrap();
        let polled = polled.into_inner().unwrap();
        let gap = polled.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        assert!(gap > seconds(100) && polled.last().unwrap() > &seconds(590), "{gap:?}");
        let last_before = polled.windows(2).find(|w| w[1] - w[0] == gap).unwrap()[0];
        assert!(last_before <= TERM + seconds(1), "{last_before:?}");
    });
}

#[test]
fn a_write_that_takes_too_long_is_cut_off_while_the_lease_still_outlasts_it() {
    paused(async {
        let bucket = Arc::new(Bucket::default());
        let laptop = Laptop::new(&bucket);
        let (lease, _) = laptop.take("one", Claim::Free, 10).await.unwrap();
        let began = Instant::now();
        let stuck = lease.write("moving the DNS records", std::future::pending::<Result<(), Trouble>>());
        let error = stuck.await.unwrap_err().explained();
        assert!(
            error.what.contains("moving the DNS records") && error.what.contains("not known"),
            "{error}"
        );
        assert!(began.elapsed() <= WRITE + seconds(1));
    });
}

#[test]
fn a_lease_object_that_was_deleted_stops_its_holder() {
    paused(async {
        let bucket = Arc::new(Bucket::default());
        let (lease, _) = Laptop::new(&bucket).take("one", Claim::Free, 10).await.unwrap();
        bucket.objects.lock().unwrap().clear();
        let why = lease.lost().await.explained().why;
        assert!(why.contains("deleted"), "{why}");
    });
}

/// A write at a supplier that checks no lease: from when it was sent until it has landed, and by which life of which laptop.
type Landed = (Duration, Duration, String);

/// One life of a laptop: it takes the lease, writes now and then, may sleep, and ends by crash, by losing the lease, or well.
async fn life(laptop: Arc<Laptop>, name: String, mut dice: Dice, zero: Instant, log: Arc<Mutex<Vec<Landed>>>) {
    let claim = if dice.roll(6) == 0 { Claim::Any } else { Claim::Free };
    let crash_after = seconds(dice.roll(500));
    let writes = dice.roll(12);
    let work = async {
        let Ok((lease, _)) = laptop.take(&name, claim, 400).await else {
            return;
        };
        let _ = lease
            .hold(async {
                for _ in 0..writes {
                    sleep(seconds(dice.roll(40))).await;
                    if dice.roll(8) == 0 {
                        laptop.sleep_for(seconds(dice.roll(400)));
                        sleep(Duration::from_millis(1)).await;
                    }
                    let takes = seconds(dice.roll(LONGEST_REQUEST.as_secs()));
                    let send = async {
                        let now = zero.elapsed();
                        log.lock().unwrap().push((now, now + takes, name.clone()));
                        sleep(takes).await;
                        Ok(())
                    };
                    let _ = lease.write("a write", send).await;
                }
                if dice.roll(2) == 0 {
                    let _ = lease.release(None).await;
                }
            })
            .await;
    };
    let _ = tokio::time::timeout(crash_after, laptop.run(work)).await;
}

/// Three laptops for an hour in one world; returns what they wrote.
fn world(seed: u64) -> Vec<Landed> {
    paused(async move {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let bucket = Arc::new(Bucket {
            dice: Mutex::new(Some(Dice(seed | 0x5000_0001))),
            ageless: seed.is_multiple_of(3),
            ..Bucket::default()
        });
        let log = Arc::new(Mutex::new(Vec::new()));
        let zero = Instant::now();
        let mut laptops = tokio::task::JoinSet::new();
        for l in 0..3 {
            let (bucket, log, mut dice) = (bucket.clone(), log.clone(), Dice(dice.roll(u64::MAX >> 1) | 1));
            laptops.spawn(async move {
                let mut lives = 0;
                while zero.elapsed() < seconds(3600) {
                    sleep(seconds(dice.roll(60))).await;
                    lives += 1;
                    let own = Dice(dice.roll(u64::MAX >> 1) | 1);
                    life(Laptop::new(&bucket), format!("l{l}-{lives}"), own, zero, log.clone()).await;
                }
            });
        }
        laptops.join_all().await;
        let mut log = Arc::try_unwrap(log).unwrap().into_inner().unwrap();
        log.sort();
        log
    })
}

#[test]
fn whatever_happens_there_are_never_two_writers() {
    let (mut writes, mut changes) = (0, 0);
    for seed in 1..=100 {
        let log = world(seed);
        let mut last: Option<&Landed> = None;
        for entry in &log {
            if let Some(before) = last.filter(|l| l.2 != entry.2) {
                assert!(
                    before.1 <= entry.0,
                    "seed {seed}: {before:?} had not landed when {entry:?} was sent"
                );
                changes += 1;
            }
            if last.is_none_or(|l| l.1 <= entry.1 || l.2 != entry.2) {
                last = Some(entry);
            }
        }
        writes += log.len();
    }
    // The worlds are lively enough to mean something.
    assert!(
        writes > 1000 && changes > 200,
        "{writes} writes, {changes} changes of holder"
    );
}
