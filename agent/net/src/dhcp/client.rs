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

    /// Says it once and waits for an answer of one of these kinds.
    async fn exchange(
        &self,
        say: &Say<'_>,
        to: Ipv4Addr,
        xid: u32,
        seconds: u16,
        wait: Duration,
        wanted: &[Kind],
    ) -> io::Result<Option<(Kind, Option<Lease>)>> {
        self.socket
            .send_to(&encode(say, xid, self.mac, seconds), SocketAddrV4::new(to, SERVER_PORT))
            .await?;
        let until = Instant::now() + wait;
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

/// Asks until somebody gives a lease. The error says what was met last.
pub(crate) async fn ask(socket: &Socket, deadline: Deadline) -> Result<Lease, String> {
    let began = Instant::now();
    // RFC 2131 begins at four seconds; a laptop's owner has less patience, and servers do not mind.
    let mut pause = Duration::from_secs(1);
    let mut last = "no answer at all".to_owned();
    // One number for all tries: a server that first looks whether the address is free may answer the first question after the second.
    let mut xid = None;
    while !deadline.passed() {
        let seconds = u16::try_from(began.elapsed().as_secs()).unwrap_or(u16::MAX);
        let wait = pause.min(deadline.remaining());
        match round(socket, &mut xid, seconds, wait).await {
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

async fn round(socket: &Socket, number: &mut Option<u32>, seconds: u16, wait: Duration) -> io::Result<Round> {
    let xid = match *number {
        Some(xid) => xid,
        None => *number.insert(new_xid()?),
    };
    let all = Ipv4Addr::BROADCAST;
    let offer = socket
        .exchange(&Say::Discover, all, xid, seconds, wait, &[Kind::Offer])
        .await?;
    let Some((_, Some(offer))) = offer else {
        return Ok(Round::Silence);
    };
    for _ in 0..2 {
        let wanted = &[Kind::Ack, Kind::Nak];
        match socket
            .exchange(&Say::Take(&offer), all, xid, seconds, Duration::from_secs(2), wanted)
            .await?
        {
            Some((Kind::Ack, Some(lease))) => return Ok(Round::Lease(lease)),
            Some(_) => return Ok(Round::Refused),
            None => {}
        }
    }
    Ok(Round::NoAck)
}

/// Asks for more time. `Ok(None)`: no answer. An error: the server wants the address back, or the socket broke.
pub(crate) async fn renew(socket: &Socket, lease: &Lease, to: Ipv4Addr) -> io::Result<Option<Lease>> {
    let xid = new_xid()?;
    let wanted = &[Kind::Ack, Kind::Nak];
    match socket
        .exchange(&Say::Keep(lease), to, xid, 0, Duration::from_secs(5), wanted)
        .await?
    {
        Some((Kind::Ack, Some(renewed))) if renewed.address == lease.address => Ok(Some(renewed)),
        Some(_) => Err(io::Error::other("the DHCP server takes this machine's address back")),
        None => Ok(None),
    }
}
