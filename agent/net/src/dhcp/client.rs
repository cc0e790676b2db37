//! Asking for a lease, and for more time on it.

use super::message::{Kind, Lease, Say, decode, encode};
use crate::card::Card;
use skykeep_core::Deadline;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// A UDP socket on one card.
pub(crate) struct Socket {
    socket: UdpSocket,
    mac: [u8; 6],
}

impl Socket {
    pub(crate) fn on(card: &Card) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        // Only this card's packets, and packets only through this card, even without an address or a route.
        socket.bind_device(Some(card.name.as_bytes()))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT).into())?;
        Ok(Socket {
            socket: UdpSocket::from_std(socket.into())?,
            mac: card.mac,
        })
    }

    async fn say(&self, say: &Say<'_>, to: Ipv4Addr, xid: u32, seconds: u16) -> io::Result<()> {
        let bytes = encode(say, xid, self.mac, seconds);
        self.socket
            .send_to(&bytes, SocketAddrV4::new(to, SERVER_PORT))
            .await
            .map(|_| ())
    }

    /// The next answer of one of these kinds; None when it is too late for one.
    async fn hear(&self, xid: u32, until: Instant, wanted: &[Kind]) -> io::Result<Option<(Kind, Option<Lease>)>> {
        let mut buffer = [0; 2048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(received) = timeout(left, self.socket.recv(&mut buffer)).await else {
                return Ok(None);
            };
            let answer = buffer.get(..received?).and_then(|bytes| decode(bytes, xid, self.mac));
            if let Some(answer) = answer.filter(|(kind, _)| wanted.contains(kind)) {
                return Ok(Some(answer));
            }
        }
    }
}

fn new_xid() -> io::Result<u32> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(u32::from_be_bytes(bytes))
}

/// A better offer is waited for this long, when the first one leads nowhere.
const BETTER: Duration = Duration::from_secs(1);

/// Asks until somebody gives a lease; `wished` is the address that was ours before. The error says what was met last.
pub(crate) async fn ask(socket: &Socket, wished: Option<Ipv4Addr>, deadline: Deadline) -> Result<Lease, String> {
    let began = Instant::now();
    // RFC 2131 begins at four seconds; a laptop's owner has less patience, and servers do not mind.
    let mut pause = Duration::from_secs(1);
    let mut last = "no answer at all".to_owned();
    // One number for all tries: a server that first looks whether the address is free may answer the first question after the second.
    let xid = new_xid().map_err(|e| e.to_string())?;
    let mut failed = Vec::new();
    while !deadline.passed() {
        let seconds = u16::try_from(began.elapsed().as_secs()).unwrap_or(u16::MAX);
        let wait = pause.min(deadline.remaining());
        match round(socket, wished, (xid, seconds), wait, &mut failed).await {
            Ok(Round::Lease(lease)) => return Ok(lease),
            Ok(Round::Silence) => {}
            Ok(Round::Refused) => last = "the server took its offer back".into(),
            Ok(Round::NoAck) => last = "a server made an offer and then fell silent".into(),
            Err(e) => {
                last = e.to_string();
                tokio::time::sleep(wait).await;
            }
        }
        pause = (pause * 2).min(Duration::from_secs(4));
    }
    Err(last)
}

enum Round {
    Lease(Lease),
    Silence,
    Refused,
    NoAck,
}

/// One question, one offer taken. `failed`: servers whose offers came to nothing, taken only when nobody else makes one.
async fn round(
    socket: &Socket,
    wished: Option<Ipv4Addr>,
    (xid, seconds): (u32, u16),
    wait: Duration,
    failed: &mut Vec<Ipv4Addr>,
) -> io::Result<Round> {
    let all = Ipv4Addr::BROADCAST;
    socket.say(&Say::Discover(wished), all, xid, seconds).await?;
    let mut until = Instant::now() + wait;
    let mut best: Option<Lease> = None;
    while let Some((_, Some(offer))) = socket.hear(xid, until, &[Kind::Offer]).await? {
        let rank = |lease: &Lease| (lease.leads_out(), !failed.contains(&lease.server));
        let good = rank(&offer) == (true, true);
        if best.as_ref().is_none_or(|best| rank(&offer) > rank(best)) {
            best = Some(offer);
        }
        if good {
            break;
        }
        until = until.min(Instant::now() + BETTER);
    }
    let Some(offer) = best else {
        return Ok(Round::Silence);
    };
    for _ in 0..2 {
        socket.say(&Say::Take(&offer), all, xid, seconds).await?;
        let until = Instant::now() + Duration::from_secs(2);
        match socket.hear(xid, until, &[Kind::Ack, Kind::Nak]).await? {
            Some((Kind::Ack, Some(lease))) => return Ok(Round::Lease(lease)),
            Some(_) => {
                failed.push(offer.server);
                return Ok(Round::Refused);
            }
            None => {}
        }
    }
    failed.push(offer.server);
    Ok(Round::NoAck)
}

/// What came of asking for more time.
pub(crate) enum Renewal {
    /// Granted.
    More(Lease),
    /// The server wants the address back, or forgot whose it is.
    Refused,
    /// No answer.
    Silence,
}

/// Asks once for more time.
pub(crate) async fn renew(socket: &Socket, lease: &Lease, to: Ipv4Addr) -> io::Result<Renewal> {
    let xid = new_xid()?;
    socket.say(&Say::Keep(lease), to, xid, 0).await?;
    let until = Instant::now() + Duration::from_secs(5);
    Ok(match socket.hear(xid, until, &[Kind::Ack, Kind::Nak]).await? {
        Some((Kind::Ack, Some(renewed))) if renewed.address == lease.address => Renewal::More(renewed),
        Some(_) => Renewal::Refused,
        None => Renewal::Silence,
    })
}
