//! Bringing the network up.

use crate::card::{self, Card};
use crate::disguise::{Disguise, tells};
use crate::error::NetError;
use crate::find::{Found, find};
use crate::fixed::Fixed;
use crate::kernel::Kernel;
use crate::lease::Holder;
use crate::resolv::Servers;
use crate::six::{self, Standing};
use skykeep_core::way::{Proxy, Way};
use skykeep_core::{Deadline, Progress};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Where Linux shows the network cards.
const CARDS: &str = "/sys/class/net";

/// How patient to be, where the cards are seen, and where the name servers are written.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long to wait for a card to show up (USB adapters are slow).
    pub card: Duration,
    /// How long to wait for a signal on any cable.
    pub cable: Duration,
    /// How long to wait for an address once there is a signal.
    pub address: Duration,
    /// Where the kernel shows its cards.
    pub cards: PathBuf,
    /// Where the name servers go.
    pub resolv_conf: PathBuf,
    /// Only this card counts: a Wi-Fi card that was let in. Else every wired card, phones that share their connection over USB among them.
    pub only: Option<String>,
    /// A wired card (by name) takes another device's hardware address.
    pub mac: Option<(String, [u8; 6])>,
    /// Wired cards hide their makers' addresses behind these.
    pub disguise: Option<Disguise>,
    /// Addresses that a person typed, for a network that gives none.
    pub fixed: Option<Fixed>,
    /// The tag of a VLAN that cables lead to.
    pub vlan: Option<u16>,
    /// A proxy, for a network on which the castle's hosts do not answer straight.
    pub proxy: Option<Proxy>,
}

impl Options {
    /// Another device's address, when a person chose one for this card.
    pub(crate) fn chosen_mac(&self, card: &Card) -> Option<[u8; 6]> {
        let chosen = self.mac.as_ref().filter(|(name, _)| *name == card.name);
        chosen.map(|(_, mac)| *mac)
    }

    /// The tag for this try: a Wi-Fi network has none.
    pub(crate) fn tag(&self) -> Option<u16> {
        self.vlan.filter(|_| self.only.is_none())
    }

    /// The address that hides this card's own, when it has a maker's. A Wi-Fi card was given one when it was switched on.
    pub(crate) fn hiding_mac(&self, card: &Card) -> Option<[u8; 6]> {
        let disguise = self.disguise.as_ref().filter(|_| self.only.is_none());
        disguise
            .filter(|_| tells(card.mac))
            .map(|disguise| disguise.mac(&card.name))
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            card: Duration::from_secs(15),
            cable: Duration::from_secs(20),
            address: Duration::from_secs(30),
            cards: PathBuf::from(CARDS),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            only: None,
            mac: None,
            disguise: None,
            fixed: None,
            vlan: None,
            proxy: None,
        }
    }
}

/// One half of a network: an address, and the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half {
    /// Our address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The way out.
    pub router: IpAddr,
}

impl From<Standing> for Half {
    fn from(six: Standing) -> Self {
        Half {
            address: six.address.into(),
            prefix: six.prefix,
            router: six.router.into(),
        }
    }
}

/// A network that works. Lease and name servers are kept up to date as long as this lives.
#[derive(Debug)]
pub struct Link {
    /// The card's name; behind a VLAN's tag it ends in that, as `eth0.30`.
    pub card: String,
    /// IPv4, when this network has it.
    pub four: Option<Half>,
    /// IPv6, when this network has it by now.
    pub six: Option<Half>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// The interface of a captive portal, when the network announces one (RFC 8910).
    pub portal: Option<String>,
    /// How connections leave this network.
    pub way: Way,
    cards: PathBuf,
    /// What the cable is in, by index and name.
    real: (u32, String),
    keepers: Vec<JoinHandle<()>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keepers.iter().for_each(JoinHandle::abort);
    }
}

/// So long a card may be without a signal before another one may take its place. A switch that restarts takes longer, but then nobody else is there either.
const SIGNAL: Duration = Duration::from_secs(15);

impl Link {
    /// Ends when the card has been gone or without a signal for a while. A wired one is then switched off, so that nothing leads there any more. Where only the
    /// network behind the cable is away, this goes on: connections are tried again by those who made them.
    pub async fn lost(&self) {
        let mut since = Deadline::after(SIGNAL);
        while !since.passed() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let signal = |card: &Card| card.name == self.real.1 && card.carrier;
            let mut all = card::wired(&self.cards).into_iter().chain(card::wireless(&self.cards));
            if all.any(|card| signal(&card)) {
                since = Deadline::after(SIGNAL);
            }
        }
        // A Wi-Fi card is left to the program that drives it: that goes on looking for its network.
        let (index, name) = &self.real;
        let mut all = card::wired(&self.cards).into_iter();
        if let (true, Ok(kernel)) = (all.any(|card| card.index == *index), Kernel::connect()) {
            // A card that is gone needs no switching off.
            let _ = kernel.link_down(*index, name).await;
        }
    }

    /// The name of the card that the cable is in.
    pub(crate) fn real(&self) -> &str {
        &self.real.1
    }
}

/// From nothing to an address, a route and name servers: the first card whose network gives them.
pub async fn up(options: &Options, progress: &Progress) -> Result<Link, NetError> {
    let kernel = Kernel::connect()?;
    let Found { card, four, six } = find(&kernel, options, progress).await?;
    let servers = Arc::new(Servers::at(options.resolv_conf.clone()));
    let mut lease = four;
    if let Some(fixed) = &options.fixed {
        servers.set_six(&card.name, fixed.six())?;
        lease = fixed.lease();
        if lease.is_none() {
            servers.set_four(fixed.four())?;
            take_six(&kernel, &card, fixed).await?;
        }
    } else if let Some(six) = &six {
        servers.set_six(&card.name, six.dns())?;
        progress.note(described(&card.name, &six.standing));
    }
    let portal = lease.as_ref().and_then(|lease| lease.portal.clone());
    let portal = portal.or_else(|| six.as_ref().and_then(|six| six.portal.clone()));
    let nat64 = six.as_ref().and_then(|six| six.nat64);
    let (name, real) = (card.name.clone(), card.real());
    let holder = Holder {
        card: card.clone(),
        kernel,
        servers: servers.clone(),
        progress: progress.clone(),
    };
    let mut keepers = Vec::new();
    let mut half = None;
    if let Some(lease) = &lease {
        let router = holder.take(lease, options.fixed.is_some()).await?;
        half = Some(Half {
            address: lease.address.into(),
            prefix: lease.prefix,
            router: router.into(),
        });
    }
    if options.fixed.is_none() {
        keepers.push(tokio::spawn(holder.keep(lease)));
        keepers.push(tokio::spawn(six::keep(card, six, servers.clone())));
    }
    Ok(Link {
        four: half,
        six: six::standing(&name).map(Half::from),
        card: name,
        dns: servers.now(),
        portal,
        way: Way {
            // Where IPv4 is there, nothing needs to be translated.
            nat64: nat64.filter(|_| half.is_none()),
            ..Way::default()
        },
        cards: options.cards.clone(),
        real,
        keepers,
    })
}

fn described(card: &str, six: &Standing) -> String {
    let Standing {
        address,
        prefix,
        router,
    } = six;
    format!("{card} has {address}/{prefix}, router {router}")
}

/// Typed IPv6: usable once the kernel knows that nobody else has the address.
async fn take_six(kernel: &Kernel, card: &Card, fixed: &Fixed) -> Result<(), NetError> {
    kernel.add_address(card.index, fixed.address, fixed.prefix).await?;
    kernel.default_route(card.index, fixed.router).await?;
    let deadline = Deadline::after(Duration::from_secs(5));
    while six::standing(&card.name).is_none_or(|six| IpAddr::V6(six.address) != fixed.address) {
        if deadline.passed() {
            return Err(NetError::Kernel {
                asked: format!("take the address {}", fixed.address),
                answer: "another machine on this network has it".into(),
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The cards that count.
pub(crate) fn candidates(options: &Options) -> Vec<Card> {
    match &options.only {
        Some(name) => card::wireless(&options.cards)
            .into_iter()
            .filter(|card| card.name == *name)
            .collect(),
        None => card::wired(&options.cards),
    }
}

/// The wired cards that have a signal now: a cable, or a phone that shares its connection over USB.
pub fn signals() -> Vec<String> {
    let cards = card::wired(Path::new(CARDS)).into_iter();
    cards.filter(|card| card.carrier).map(|card| card.name).collect()
}
