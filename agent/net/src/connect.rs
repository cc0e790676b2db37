//! From a card to a network on which the castle's hosts answer truthfully; or why not.

use crate::clock::{self, Change, Reading};
use crate::diagnosis::{Diagnosis, Facts};
use crate::error::NetError;
use crate::kernel::Kernel;
use crate::portal::{self, Verdict};
use crate::up::{self, Half, Link, Options};
use crate::{diagnosis, names};
use futures::future::{Either, select};
use skykeep_core::way::{KNOWN_NAME, Nat64, Way};
use skykeep_core::{Progress, http::Trust};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// What a network must lead to.
#[derive(Clone)]
pub struct Need {
    /// The castle's own hosts (`name` or `name:port`); they tell the time over TLS.
    pub hosts: Vec<String>,
    /// Who may vouch for them.
    pub trust: Trust,
    /// When the image was built: no true time is earlier.
    pub not_before: SystemTime,
}

/// How long the castle's hosts may take.
const HOSTS: Duration = Duration::from_secs(30);
/// So long they are waited for before a portal is looked for: on a good network they have answered by then, and nobody else is asked anything.
const SUSPICION: Duration = Duration::from_secs(6);

/// Between a straight question and the same one through the proxy: where both ways lead out the straight one is taken.
const HEAD_START: Duration = Duration::from_secs(3);
/// How long the prefix of a translator to IPv4 is looked for.
const PREFIX: Duration = Duration::from_secs(6);

/// Brings the network up and the clock right. On failure everything that was seen is looked at once more, for the person.
pub async fn connect(options: &Options, need: &Need, progress: &Progress) -> Result<(Link, Change), Box<Diagnosis>> {
    let (mut link, reading) = reach(options, need, progress).await?;
    match clock::set(&reading, progress) {
        Ok(change) => {
            if let Some(proxy) = &link.way.proxy {
                progress.note(format!("everything goes through the proxy {proxy}"));
            }
            Ok((link, change))
        }
        Err(error) => {
            link.way = Way::default();
            Err(Box::new(diagnose(options, &link, need, Failed::of(error)).await))
        }
    }
}

/// The same without setting the clock: the time as the castle's hosts told it.
pub async fn reach(options: &Options, need: &Need, progress: &Progress) -> Result<(Link, Reading), Box<Diagnosis>> {
    let mut link = match up::up(options, progress).await {
        Ok(link) => link,
        Err(error) => {
            return Err(Box::new(Diagnosis {
                facts: diagnosis::links(options),
                error,
            }));
        }
    };
    if link.four.is_none() {
        // Announced by the router, else found by the name servers.
        if link.way.nat64.is_none() {
            link.way.nat64 = translator().await;
        }
        if let Some(nat64) = link.way.nat64 {
            progress.note(format!(
                "this network has no IPv4; IPv4 hosts are reached under {nat64}"
            ));
        }
    }
    let suspicion = async {
        tokio::time::sleep(SUSPICION).await;
        match portal::look(link.portal.as_deref(), &need.trust).await {
            portal @ Verdict::Portal(_) => portal,
            // The hosts may just be slow.
            Verdict::Open | Verdict::Unknown => std::future::pending().await,
        }
    };
    let failed = tokio::select! {
        biased;
        outcome = ask(options, need, &link.way) => match outcome {
            Ok((reading, way)) => {
                link.way = way;
                return Ok((link, reading));
            }
            Err(failed) => failed,
        },
        portal = suspicion => Failed {
            portal: Some(portal),
            ..Failed::of(NetError::NoTime { answers: Vec::new(), reached: clock::Reached::Nothing })
        },
    };
    Err(Box::new(diagnose(options, &link, need, failed).await))
}

/// What is known when the hosts did not answer.
struct Failed {
    error: NetError,
    portal: Option<Verdict>,
    proxy: Option<(String, clock::Reached, Vec<String>)>,
}

impl Failed {
    fn of(error: NetError) -> Self {
        Failed {
            error,
            portal: None,
            proxy: None,
        }
    }
}

/// Asks the hosts straight, and a little later through the proxy when there is one. Whichever way leads there is the way from now on.
async fn ask(options: &Options, need: &Need, straight: &Way) -> Result<(Reading, Way), Failed> {
    let on = |way: Way| async move {
        let trust = need.trust.by(way.clone());
        let told = clock::measure(&need.hosts, &trust, need.not_before, HOSTS).await;
        told.map(|reading| (reading, way))
    };
    let Some(proxy) = &options.proxy else {
        return on(straight.clone()).await.map_err(Failed::of);
    };
    let by_proxy = async {
        tokio::time::sleep(HEAD_START).await;
        on(Way {
            proxy: Some(proxy.clone()),
            ..straight.clone()
        })
        .await
    };
    let outcomes = select(Box::pin(on(straight.clone())), Box::pin(by_proxy)).await;
    let (error, by_proxy) = match outcomes {
        Either::Left((Ok(reached), _)) | Either::Right((Ok(reached), _)) => return Ok(reached),
        Either::Left((Err(error), other)) => (error, other.await),
        Either::Right((Err(by_proxy), other)) => match other.await {
            Ok(reached) => return Ok(reached),
            Err(error) => (error, Err(by_proxy)),
        },
    };
    match by_proxy {
        Ok(reached) => Ok(reached),
        Err(NetError::NoTime { answers, reached }) => Err(Failed {
            proxy: Some((proxy.to_string(), reached, answers)),
            ..Failed::of(error)
        }),
        Err(other) => Err(Failed::of(other)),
    }
}

/// RFC 7050. None: this network does not translate, or does not say so.
async fn translator() -> Option<Nat64> {
    let asked = tokio::net::lookup_host((KNOWN_NAME, 443));
    let found = tokio::time::timeout(PREFIX, asked).await.ok()?.ok()?;
    let six = |at: std::net::SocketAddr| if let IpAddr::V6(six) = at.ip() { Some(six) } else { None };
    found.filter_map(six).find_map(Nat64::of_known_name)
}

async fn diagnose(options: &Options, link: &Link, need: &Need, failed: Failed) -> Diagnosis {
    let Failed { error, portal, proxy } = failed;
    let host = need
        .hosts
        .first()
        .map_or("example.com", |host| host.split(':').next().unwrap_or(host));
    let asked = async {
        match portal {
            Some(portal) => portal,
            None => portal::look(link.portal.as_deref(), &need.trust).await,
        }
    };
    let (names, portal) = tokio::join!(names::look(&link.dns, host), asked);
    let shown = |half: &Half| format!("{}/{} at {}", half.address, half.prefix, link.card);
    let (first, second) = match link.four {
        Some(four) => (Some(four), link.six),
        None => (link.six, None),
    };
    let router = match first {
        Some(half) => Some((half.router, answers(half.router).await)),
        None => None,
    };
    let facts = Facts {
        address: first.as_ref().map(shown),
        card: Some(link.real().to_owned()),
        six: second.or(link.six).as_ref().map(shown),
        router,
        names: Some(names),
        portal: Some(portal),
        proxy,
        reached: match &error {
            NetError::NoTime { reached, .. } => Some(*reached),
            _ => None,
        },
        ..diagnosis::links(options)
    };
    let error = facts.clearer_than(error);
    Diagnosis { facts, error }
}

/// What can't be told counts as an answer: then the steps after it decide.
async fn answers(router: IpAddr) -> bool {
    match Kernel::connect() {
        Ok(kernel) => kernel.answers(router).await.unwrap_or(true),
        Err(_) => true,
    }
}
