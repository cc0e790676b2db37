//! Addresses that a person typed, for a network without a DHCP server. Pure.

use crate::dhcp::Lease;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What such a network's owner writes down for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// This machine's address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The way out, of the same kind.
    pub router: IpAddr,
    /// Name servers of either kind, one at least.
    pub dns: Vec<IpAddr>,
}

impl Fixed {
    /// As if a DHCP server had given them, for ever. None for IPv6.
    pub(crate) fn lease(&self) -> Option<Lease> {
        let (IpAddr::V4(address), IpAddr::V4(router)) = (self.address, self.router) else {
            return None;
        };
        Some(Lease {
            address,
            prefix: self.prefix,
            router: Some(router),
            dns: self.four(),
            server: router,
            time: None,
            asks: [None, None],
            portal: None,
        })
    }

    /// The IPv4 name servers.
    pub(crate) fn four(&self) -> Vec<Ipv4Addr> {
        let four = |server: &IpAddr| {
            if let IpAddr::V4(four) = server {
                Some(*four)
            } else {
                None
            }
        };
        self.dns.iter().filter_map(four).collect()
    }

    /// The IPv6 name servers.
    pub(crate) fn six(&self) -> Vec<Ipv6Addr> {
        let six = |server: &IpAddr| if let IpAddr::V6(six) = server { Some(*six) } else { None };
        self.dns.iter().filter_map(six).collect()
    }
}

fn usable(word: &str) -> Result<IpAddr, String> {
    let parsed: IpAddr = word.parse().map_err(|_| format!("{word} is no IP address."))?;
    let broadcast = parsed == IpAddr::V4(Ipv4Addr::BROADCAST);
    if parsed.is_unspecified() || parsed.is_loopback() || parsed.is_multicast() || broadcast {
        return Err(format!("{word} can't be the address of a machine."));
    }
    Ok(parsed)
}

/// Whether the router can be reached at all. An IPv6 router mostly goes by its address on the wire.
fn together(address: IpAddr, prefix: u8, router: IpAddr) -> bool {
    match (address, router) {
        (IpAddr::V4(own), IpAddr::V4(router)) => {
            let mask = u32::MAX << (32 - u32::from(prefix));
            u32::from(router) & mask == u32::from(own) & mask
        }
        (IpAddr::V6(own), IpAddr::V6(router)) => {
            let mask = u128::MAX << (128 - u32::from(prefix));
            router.is_unicast_link_local() || u128::from(router) & mask == u128::from(own) & mask
        }
        _ => false,
    }
}

/// Understands `ADDRESS/PREFIX ROUTER [NAMESERVER...]`, IPv4 or IPv6. The router is the name server when none is typed. The error is a sentence for the person.
pub fn typed_addresses(text: &str) -> Result<Fixed, String> {
    let mut words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
    let own = words.next().ok_or("Nothing was typed.")?;
    let (address, prefix) = own
        .split_once('/')
        .ok_or(format!("{own} has no /PREFIX, such as /24."))?;
    let address = usable(address)?;
    let longest = if address.is_ipv4() { 31 } else { 127 };
    let prefix: u8 = prefix
        .parse()
        .ok()
        .filter(|p| (1..=longest).contains(p))
        .ok_or(format!("/{prefix} is not 1 to {longest}."))?;
    let router = usable(words.next().ok_or("The router's address is missing.")?)?;
    if router == address {
        return Err(format!("{router} is this machine and the router at once."));
    }
    if !together(address, prefix, router) {
        return Err(format!(
            "The router {router} is not in the network of {address}/{prefix}."
        ));
    }
    let mut dns = words.map(usable).collect::<Result<Vec<_>, _>>()?;
    if dns.is_empty() {
        dns.push(router);
    }
    Ok(Fixed {
        address,
        prefix,
        router,
        dns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_network_owner_writes_down_is_understood() {
        let fixed = typed_addresses(" 192.168.1.50/24  192.168.1.1, 9.9.9.9 1.1.1.1").expect("addresses");
        assert_eq!(
            (fixed.address, fixed.prefix),
            (Ipv4Addr::new(192, 168, 1, 50).into(), 24)
        );
        assert_eq!(fixed.four(), [Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(1, 1, 1, 1)]);
        let short = typed_addresses("10.0.0.2/8 10.0.0.1").expect("addresses");
        assert_eq!(short.dns, [short.router], "the router is asked for names");
        let six = typed_addresses("2001:db8::50/64 fe80::1 9.9.9.9 2001:db8::53").expect("addresses");
        assert!(six.lease().is_none());
        assert_eq!((six.four().len(), six.six().len()), (1, 1));
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, says) in [
            ("", "Nothing"),
            ("192.168.1.50 192.168.1.1", "no /PREFIX"),
            ("192.168.1.50/33 192.168.1.1", "not 1 to 31"),
            ("192.168.1.500/24 192.168.1.1", "no IP address"),
            ("192.168.1.50/24", "router's address is missing"),
            ("192.168.1.50/24 192.168.2.1", "not in the network"),
            ("192.168.1.50/24 192.168.1.50", "at once"),
            ("127.0.0.1/8 127.0.0.2", "can't be"),
            ("2001:db8::50/128 fe80::1", "not 1 to 127"),
            ("2001:db8::50/64 2001:db8:1::1", "not in the network"),
            ("2001:db8::50/64 192.168.1.1", "not in the network"),
            ("192.168.1.50/24 192.168.1.1 dns", "no IP address"),
        ] {
            let error = typed_addresses(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
