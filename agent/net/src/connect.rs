//! From a card to a network on which the castle's hosts answer truthfully; or why not.

use crate::clock::{self, Change};
use crate::diagnosis::{Diagnosis, Facts};
use crate::error::NetError;
use crate::kernel::Kernel;
use crate::portal::{self, Verdict};
use crate::up::{self, Half, Link, Options};
use crate::{diagnosis, names};
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

/// Brings the network up and the clock right. On failure everything that was seen is looked at once more, for the person.
pub async fn connect(options: &Options, need: &Need, progress: &Progress) -> Result<(Link, Change), Box<Diagnosis>> {
    let link = match up::up(options, progress).await {
        Ok(link) => link,
        Err(error) => {
            return Err(Box::new(Diagnosis {
                facts: diagnosis::links(options),
                error,
            }));
        }
    };
    let clock = clock::set_from(&need.hosts, &need.trust, need.not_before, HOSTS, progress);
    let suspicion = async {
        tokio::time::sleep(SUSPICION).await;
        match portal::look(link.portal.as_deref(), &need.trust).await {
            portal @ Verdict::Portal(_) => portal,
            // The hosts may just be slow.
            Verdict::Open | Verdict::Unknown => std::future::pending().await,
        }
    };
    let (error, portal) = tokio::select! {
        biased;
        outcome = clock => match outcome {
            Ok(change) => return Ok((link, change)),
            Err(error) => (error, None),
        },
        portal = suspicion => (NetError::NoTime { answers: Vec::new(), reached: clock::Reached::Nothing }, Some(portal)),
    };
    Err(Box::new(diagnose(options, &link, need, error, portal).await))
}

async fn diagnose(options: &Options, link: &Link, need: &Need, error: NetError, portal: Option<Verdict>) -> Diagnosis {
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
        card: Some(link.card.clone()),
        six: second.or(link.six).as_ref().map(shown),
        router,
        names: Some(names),
        portal: Some(portal),
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
