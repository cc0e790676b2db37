//! Stateless DHCPv6 (RFC 8415, 18.2.6): name servers from a server, for networks whose routers announce none.

use crate::card::Card;
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;
/// All servers and relays on this wire.
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const REQUEST: u8 = 11;
const REPLY: u8 = 7;
const WANTED: u16 = 6;
const NAME_SERVERS: u16 = 23;

/// Asks twice. No answer is an empty list. No identifier of this machine is sent.
pub(super) async fn name_servers(card: &Card) -> io::Result<Vec<Ipv6Addr>> {
    let socket = socket2::Socket::new(
        socket2::Domain::IPV6,
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    socket.set_only_v6(true)?;
    socket.bind_device(Some(card.name.as_bytes()))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, CLIENT_PORT, 0, 0).into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let mut number = [0; 3];
    getrandom::fill(&mut number).map_err(|e| io::Error::other(e.to_string()))?;
    let mut buffer = [0; 2048];
    for _ in 0..2 {
        let to = SocketAddrV6::new(SERVERS, SERVER_PORT, 0, card.index);
        socket.send_to(&request(number), to).await?;
        let answered = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                if let Some(servers) = buffer.get(..length).and_then(|bytes| answer(bytes, number)) {
                    return Ok::<_, io::Error>(servers);
                }
            }
        };
        if let Ok(servers) = timeout(Duration::from_secs(1), answered).await {
            return servers;
        }
    }
    Ok(Vec::new())
}

fn request(number: [u8; 3]) -> Vec<u8> {
    const ELAPSED: u16 = 8;
    let mut bytes = vec![REQUEST];
    bytes.extend(number);
    for word in [WANTED, 2, NAME_SERVERS, ELAPSED, 2, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes
}

/// The name servers of an answer to this question.
fn answer(bytes: &[u8], number: [u8; 3]) -> Option<Vec<Ipv6Addr>> {
    let (head, mut rest) = bytes.split_at_checked(4)?;
    if head.first() != Some(&REPLY) || head.get(1..) != Some(&number) {
        return None;
    }
    let mut servers = Vec::new();
    while let Some((head, tail)) = rest.split_at_checked(4) {
        let word = |at: usize| head.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
        let (value, tail) = tail.split_at_checked(usize::from(word(2)?))?;
        if word(0)? == NAME_SERVERS {
            let sixteens = value
                .chunks_exact(16)
                .filter_map(|bytes| <[u8; 16]>::try_from(bytes).ok());
            servers.extend(
                sixteens
                    .map(Ipv6Addr::from)
                    .filter(|server| !server.is_unspecified() && !server.is_multicast()),
            );
        }
        rest = tail;
    }
    Some(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_a_strangers_or_broken_one_is_not() {
        let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
        let mut bytes = vec![REPLY, 1, 2, 3, 0, 2, 0, 1, 9, 0, 23, 0, 16];
        bytes.extend(server.octets());
        assert_eq!(answer(&bytes, [1, 2, 3]), Some(vec![server]));
        assert_eq!(answer(&bytes, [1, 2, 4]), None);
        for length in 0..bytes.len() {
            assert_ne!(answer(&bytes[..length], [1, 2, 3]), Some(vec![server]));
        }
    }
}
