//! The way out of the network this machine is in: straight, through a proxy, or through a translator to IPv4 (NAT64).

mod nat64;
mod proxy;

pub use nat64::{KNOWN_NAME, Nat64};
pub use proxy::Proxy;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// An address that does not answer gets a competitor after this long (RFC 8305): half of a network may be broken.
const HEAD_START: Duration = Duration::from_millis(250);

/// How connections leave this machine. By default straight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// Everything goes through this HTTP proxy by CONNECT: it sees names and ports, and TLS.
    pub proxy: Option<Proxy>,
    /// This network has no IPv4 of its own, and IPv4 addresses are reached under this prefix.
    pub nat64: Option<Nat64>,
}

impl Way {
    /// The address under which one is reached from here.
    pub fn address(&self, at: SocketAddr) -> SocketAddr {
        match (at, self.nat64) {
            (SocketAddr::V4(four), Some(nat64)) => SocketAddr::from((nat64.embed(*four.ip()), four.port())),
            _ => at,
        }
    }

    /// The addresses to dial for a host: its own, or the proxy's (which asks for the host's by itself).
    pub async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = match &self.proxy {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (host, port),
        };
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    /// A connection to a host behind one of these [`Way::addresses`].
    pub async fn connect(&self, addresses: Vec<SocketAddr>, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = addresses.into_iter().map(|at| self.address(at)).collect();
        let mut stream = race(addresses).await?;
        patient(&stream)?;
        if self.proxy.is_some() {
            proxy::tunnel(&mut stream, host, port).await?;
        }
        Ok(stream)
    }

    /// A connection to one address.
    pub async fn connect_to(&self, at: SocketAddr) -> io::Result<TcpStream> {
        let addresses = match &self.proxy {
            Some(proxy) => self.addresses(proxy.host(), proxy.port()).await?,
            None => vec![at],
        };
        self.connect(addresses, &at.ip().to_string(), at.port()).await
    }
}

/// No delay, and a peer that lost its power is noticed.
fn patient(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let alive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&alive)
}

/// IPv6 and IPv4 in turns, each with a head start.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let most = six.len().max(four.len());
    let mut waiting = (0..most)
        .flat_map(|n| [six.get(n).copied(), four.get(n).copied()])
        .flatten();
    let mut trying = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "this name has no address");
    loop {
        let next = waiting.next();
        if let Some(at) = next {
            trying.spawn(TcpStream::connect(at));
        } else if trying.is_empty() {
            return Err(last);
        }
        let head_start = async {
            match next {
                Some(_) => tokio::time::sleep(HEAD_START).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(done) = trying.join_next() => match done {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(e)) => last = e,
                Err(e) => last = io::Error::other(e),
            },
            () = head_start => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_address_that_answers_wins_and_none_is_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let good = listener.local_addr().expect("an address");
        // 192.0.2.0/24 is nobody's: it is silent or refused, as the machine has it.
        let bad: SocketAddr = ([192, 0, 2, 1], 9).into();
        let limit = Duration::from_secs(5);
        let stream = tokio::time::timeout(limit, race(vec![bad, good]))
            .await
            .expect("in time");
        assert_eq!(stream.expect("a connection").peer_addr().expect("a peer"), good);
        let none = race(Vec::new()).await.expect_err("nothing to dial");
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }
}
