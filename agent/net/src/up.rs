//! Bringing the network up.

use crate::card::{self, Card};
use crate::dhcp::{self, Lease, Socket};
use crate::error::NetError;
use crate::fixed::Fixed;
use crate::kernel::Kernel;
use crate::{lease, resolv};
use skykeep_core::{Deadline, Progress};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;

/// How patient to be, and where the name servers are written.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long to wait for a card to show up (USB adapters are slow).
    pub card: Duration,
    /// How long to wait for a signal on any cable.
    pub cable: Duration,
    /// How long to wait for an address once there is a signal.
    pub address: Duration,
    /// Where the name servers go.
    pub resolv_conf: PathBuf,
    /// Only this card counts: a Wi-Fi card that was let in. Else every wired card, phones that share their connection over USB among them.
    pub only: Option<String>,
    /// A wired card (by name) takes another device's hardware address.
    pub mac: Option<(String, [u8; 6])>,
    /// Addresses that a person typed, for a network that gives none.
    pub fixed: Option<Fixed>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            card: Duration::from_secs(15),
            cable: Duration::from_secs(20),
            address: Duration::from_secs(30),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            only: None,
            mac: None,
            fixed: None,
        }
    }
}

/// A network that works. The lease is kept as long as this lives.
#[derive(Debug)]
pub struct Link {
    /// The card's name.
    pub card: String,
    /// Our address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The way out.
    pub router: Ipv4Addr,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// The interface of a captive portal, when the network announces one (RFC 8910).
    pub portal: Option<String>,
    keeper: tokio::task::JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// From nothing to an address, a route and name servers: the first card whose network gives them.
pub async fn up(options: &Options, progress: &Progress) -> Result<Link, NetError> {
    let kernel = Kernel::connect()?;
    let sys = Path::new("/sys/class/net");
    let (card, lease) = first_lease(&kernel, sys, options, progress).await?;
    let lacks = |lacks: &'static str| NetError::NoRoute {
        card: card.name.clone(),
        lacks,
    };
    let router = lease.router.ok_or_else(|| lacks("router"))?;
    if lease.dns.is_empty() {
        return Err(lacks("name server"));
    }
    kernel.clear(card.index).await?;
    kernel.add_address(card.index, lease.address, lease.prefix).await?;
    kernel.default_route(card.index, router).await?;
    resolv::write(&options.resolv_conf, &lease.dns)?;
    progress.note(format!(
        "{} has {}/{}, router {router}",
        card.name, lease.address, lease.prefix
    ));
    Ok(Link {
        card: card.name.clone(),
        address: lease.address,
        prefix: lease.prefix,
        router,
        dns: lease.dns.clone(),
        portal: lease.portal.clone(),
        keeper: tokio::spawn(lease::keep(card, lease, progress.clone())),
    })
}

fn candidates(sys: &Path, options: &Options) -> Vec<Card> {
    match &options.only {
        Some(name) => card::wireless(sys)
            .into_iter()
            .filter(|card| card.name == *name)
            .collect(),
        None => card::wired(sys),
    }
}

/// The wired cards that have a signal now: a cable, or a phone that shares its connection over USB.
pub fn signals() -> Vec<String> {
    let cards = card::wired(Path::new("/sys/class/net")).into_iter();
    cards.filter(|card| card.carrier).map(|card| card.name).collect()
}

/// Switches every card on, and asks at each one that has a signal, all at once; cards and cables may come later.
async fn first_lease(
    kernel: &Kernel,
    sys: &Path,
    options: &Options,
    progress: &Progress,
) -> Result<(Card, Lease), NetError> {
    let began = Deadline::after(options.card);
    let mut cable = None;
    let mut switched_on = BTreeSet::new();
    let mut asking: JoinSet<(Card, Result<Lease, String>)> = JoinSet::new();
    let mut asked: Vec<String> = Vec::new();
    loop {
        let cards = candidates(sys, options);
        for card in &cards {
            if switched_on.insert(card.index) {
                if let Some((_, mac)) = options
                    .mac
                    .as_ref()
                    .filter(|(name, mac)| *name == card.name && *mac != card.mac)
                {
                    kernel.set_mac(card, *mac).await?;
                }
                kernel.link_up(card.index, &card.name).await?;
                progress.note(format!("network card {}", card.name));
            }
            // What was read before the card was switched on may be old.
            let settled = !options
                .mac
                .as_ref()
                .is_some_and(|(name, mac)| *name == card.name && *mac != card.mac);
            if card.carrier && settled && !asked.contains(&card.name) {
                asked.push(card.name.clone());
                if let Some(fixed) = &options.fixed {
                    return Ok((card.clone(), fixed.lease()));
                }
                progress.note(format!("signal at {}, asking for an address", card.name));
                let (card, deadline) = (card.clone(), Deadline::after(options.address));
                asking.spawn(async move {
                    let result = match Socket::on(&card) {
                        Ok(socket) => dhcp::ask(&socket, deadline).await,
                        Err(e) => Err(e.to_string()),
                    };
                    (card, result)
                });
            }
        }
        if cards.is_empty() {
            if began.passed() {
                return Err(NetError::NoCard);
            }
        } else if asked.is_empty() {
            let deadline = *cable.get_or_insert_with(|| Deadline::after(options.cable));
            if deadline.passed() {
                return Err(NetError::NoCable {
                    cards: cards.into_iter().map(|card| card.name).collect(),
                });
            }
        }
        tokio::select! {
            Some(done) = asking.join_next(), if !asking.is_empty() => match done {
                Ok((card, Ok(lease))) => return Ok((card, lease)),
                Ok((_, Err(last))) if asking.is_empty() => {
                    return Err(NetError::NoAddress { cards: asked, seconds: options.address.as_secs(), last });
                }
                Ok(_) | Err(_) => {}
            },
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
}
