//! Asking the routers of a wire to announce themselves, and following what they say.

use super::announced::{Announced, read};
use super::inform;
use super::state::{Standing, standing};
use crate::card::Card;
use crate::resolv::Servers;
use rtnetlink::MulticastGroup;
use rtnetlink::sys::{
    AsyncSocket, AsyncSocketExt, SocketAddr as NetlinkAddress, TokioSocket, protocols::NETLINK_ROUTE,
};
use skykeep_core::way::Nat64;
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Between two looks at what the kernel made of it.
const LOOK: Duration = Duration::from_millis(200);
/// Name servers, portal and translator's prefix are three options at least.
const REST: usize = 4;
/// With an address and a router, name servers are waited for this long before a DHCPv6 server is asked.
const NAMES: Duration = Duration::from_secs(1);

/// A network that works with IPv6 alone.
#[derive(Debug, Clone)]
pub(crate) struct Six {
    pub(crate) standing: Standing,
    names: Vec<(Ipv6Addr, Option<Instant>)>,
    pub(crate) portal: Option<String>,
    pub(crate) nat64: Option<Nat64>,
}

impl Six {
    /// Its name servers.
    pub(crate) fn dns(&self) -> Vec<Ipv6Addr> {
        servers(&self.names)
    }
}

fn servers(names: &[(Ipv6Addr, Option<Instant>)]) -> Vec<Ipv6Addr> {
    let mut servers: Vec<Ipv6Addr> = names.iter().map(|(server, _)| *server).collect();
    servers.sort_unstable();
    servers
}

/// What the routers of one wire told so far.
struct Watch {
    card: Card,
    news: TokioSocket,
    voice: socket2::Socket,
    names: Vec<(Ipv6Addr, Option<Instant>)>,
    portal: Option<String>,
    nat64: Option<Nat64>,
}

impl Watch {
    /// Listens to what the kernel hands on. Its own checks (source, hop limit, checksum) come before.
    fn on(card: &Card) -> io::Result<Self> {
        let mut news = TokioSocket::new(NETLINK_ROUTE)?;
        news.socket_mut().bind(&NetlinkAddress::new(0, 0))?;
        news.socket_mut().add_membership(MulticastGroup::NdUseropt as u32)?;
        let voice = socket2::Socket::new(
            socket2::Domain::IPV6,
            socket2::Type::RAW,
            Some(socket2::Protocol::ICMPV6),
        )?;
        voice.bind_device(Some(card.name.as_bytes()))?;
        voice.set_multicast_hops_v6(255)?;
        Ok(Watch {
            card: card.clone(),
            news,
            voice,
            names: Vec::new(),
            portal: None,
            nat64: None,
        })
    }

    /// "Routers, announce yourselves." The kernel asks too, but only when it switches a card on.
    fn solicit(&self) {
        const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
        const SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];
        // Not possible yet while the card has no address at all; it is said again.
        let _ = self
            .voice
            .send_to(&SOLICITATION, &SocketAddrV6::new(ROUTERS, 0, 0, self.card.index).into());
    }

    /// Hears for a while. Whether something changed.
    async fn hear(&mut self, patience: Duration) -> bool {
        let now = Instant::now();
        let before = self.names.len();
        self.names.retain(|(_, until)| until.is_none_or(|until| until > now));
        let mut changed = self.names.len() != before;
        let mut packet = Vec::with_capacity(4096);
        match timeout(patience, self.news.recv(&mut packet)).await {
            Ok(Ok(())) => {
                for announced in read(&packet, self.card.index) {
                    changed |= self.learn(announced);
                }
            }
            // Overrun by news: the next announcement says it again.
            Ok(Err(_)) => sleep(LOOK).await,
            Err(_) => {}
        }
        changed
    }

    fn learn(&mut self, announced: Announced) -> bool {
        match announced {
            Announced::Names(told, time) => {
                let before = servers(&self.names);
                self.names.retain(|(known, _)| !told.contains(known));
                let until = time.map(|time| Instant::now() + time);
                if time != Some(Duration::ZERO) {
                    self.names.extend(told.into_iter().map(|server| (server, until)));
                    self.names.truncate(8);
                }
                before != servers(&self.names)
            }
            Announced::Portal(portal) => {
                self.portal = Some(portal);
                false
            }
            Announced::Translator(nat64) => {
                self.nat64 = nat64;
                false
            }
        }
    }
}

/// Waits until this card has an address, a router and name servers, all by IPv6: for ever, when it never has.
pub(crate) async fn find(card: &Card) -> io::Result<Six> {
    let mut watch = Watch::on(card)?;
    let (mut next, mut pause) = (Instant::now(), Duration::from_secs(1));
    let mut nameless_since = None;
    loop {
        if next <= Instant::now() {
            watch.solicit();
            next = Instant::now() + pause;
            pause = (pause * 2).min(Duration::from_secs(8));
        }
        watch.hear(LOOK).await;
        let Some(standing) = standing(&card.name) else { continue };
        if watch.names.is_empty() {
            let since: Instant = *nameless_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= NAMES {
                let told = inform::name_servers(card).await.unwrap_or_default();
                watch.names.extend(told.into_iter().map(|server| (server, None)));
                nameless_since = None;
            }
        }
        if !watch.names.is_empty() {
            // The kernel hands each option of an announcement on by itself.
            for _ in 0..REST {
                watch.hear(LOOK / 4).await;
            }
            return Ok(Six {
                standing,
                names: watch.names,
                portal: watch.portal,
                nat64: watch.nat64,
            });
        }
    }
}

/// Keeps the list of name servers as the routers have it, beginning with what was found.
pub(crate) async fn keep(card: Card, found: Option<Six>, list: Arc<Servers>) {
    // Without IPv6 in the kernel there is nothing to follow.
    let Ok(mut watch) = Watch::on(&card) else { return };
    watch.names = found.map(|six| six.names).unwrap_or_default();
    watch.solicit();
    loop {
        if watch.hear(Duration::from_secs(5)).await {
            // What can't be written now is written with the next change.
            let _ = list.set_six(&card.name, servers(&watch.names));
        }
    }
}
