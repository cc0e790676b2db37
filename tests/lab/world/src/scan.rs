//! Looks for open ports, from the internet: the proof that a laptop opens none.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::StreamExt;
use tokio::net::{TcpStream, UdpSocket};

use crate::ns;

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct PortScan {
    /// Ports that accepted a connection.
    pub open_tcp: BTreeSet<u16>,
    /// How many ports answered with a reset.
    pub refused_tcp: usize,
    /// How many did not answer at all.
    pub silent_tcp: usize,
    /// UDP ports that answered with data.
    pub answering_udp: BTreeSet<u16>,
    /// How many UDP ports were refused (ICMP port unreachable).
    pub refused_udp: usize,
}

/// At a time; each costs one file descriptor.
const AT_ONCE: usize = 800;
const PATIENCE: Duration = Duration::from_millis(700);
/// UDP services that a careless system opens: DNS, DHCP, TFTP, NTP, NetBIOS, SNMP, LLMNR, mDNS, WireGuard.
const UDP: [u16; 10] = [53, 67, 68, 69, 123, 137, 161, 5355, 5353, 51820];

/// Scans `ports` of `address` from inside the internet, and a few UDP ports.
pub async fn scan(address: IpAddr, ports: RangeInclusive<u16>) -> Result<PortScan> {
    tokio::task::spawn_blocking(move || {
        ns::within(ns::INET, move || {
            // A runtime on this one thread: every socket it makes is made inside the namespace.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(look(address, ports)))
        })
    })
    .await
    .map_err(|error| anyhow!("the scan: {error}"))?
}

enum Seen {
    Open,
    Refused,
    Silent,
}

async fn look(address: IpAddr, ports: RangeInclusive<u16>) -> PortScan {
    let mut result = PortScan::default();
    let mut probes =
        futures::stream::iter(ports.map(|port| async move { (port, tcp(SocketAddr::new(address, port)).await) }))
            .buffer_unordered(AT_ONCE);
    while let Some((port, seen)) = probes.next().await {
        match seen {
            Seen::Open => drop(result.open_tcp.insert(port)),
            Seen::Refused => result.refused_tcp += 1,
            Seen::Silent => result.silent_tcp += 1,
        }
    }
    let probes = UDP.map(|port| async move { (port, udp(SocketAddr::new(address, port)).await) });
    for (port, seen) in futures::future::join_all(probes).await {
        match seen {
            Seen::Open => drop(result.answering_udp.insert(port)),
            Seen::Refused => result.refused_udp += 1,
            Seen::Silent => {}
        }
    }
    result
}

async fn tcp(address: SocketAddr) -> Seen {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Seen::Open,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Seen::Refused,
        Ok(Err(_)) | Err(_) => Seen::Silent,
    }
}

async fn udp(address: SocketAddr) -> Seen {
    // A DNS question for the root's name servers: not nonsense to a DNS server, and any bytes will do for the others.
    const QUESTION: [u8; 17] = [0x5a, 0x4b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let attempt = async {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).await?;
        socket.connect(address).await?;
        socket.send(&QUESTION).await?;
        let mut buffer = [0; 512];
        socket.recv(&mut buffer).await
    };
    match tokio::time::timeout(PATIENCE, attempt).await {
        Ok(Ok(_)) => Seen::Open,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Seen::Refused,
        Ok(Err(_)) | Err(_) => Seen::Silent,
    }
}
