//! Addresses that a person typed, for a network without a DHCP server. Pure.

use crate::dhcp::Lease;
use std::net::Ipv4Addr;

/// What such a network's owner writes down for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// This machine's address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The way out.
    pub router: Ipv4Addr,
    /// Name servers, one at least.
    pub dns: Vec<Ipv4Addr>,
}

impl Fixed {
    /// As if a server had given them, for ever.
    pub(crate) fn lease(&self) -> Lease {
        Lease {
            address: self.address,
            prefix: self.prefix,
            router: Some(self.router),
            dns: self.dns.clone(),
            server: self.router,
            time: None,
            portal: None,
        }
    }
}

/// Understands `ADDRESS/PREFIX ROUTER [NAMESERVER...]`. The router is the name server when none is typed. The error is a sentence for the person.
pub fn typed_addresses(text: &str) -> Result<Fixed, String> {
    let mut words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
    let own = words.next().ok_or("Nothing was typed.")?;
    let (address, prefix) = own
        .split_once('/')
        .ok_or(format!("{own} has no /PREFIX, such as /24."))?;
    let usable = |word: &str| -> Result<Ipv4Addr, String> {
        let parsed: Ipv4Addr = word.parse().map_err(|_| format!("{word} is no IPv4 address."))?;
        let special = parsed.is_unspecified() || parsed.is_loopback() || parsed.is_multicast() || parsed.is_broadcast();
        if special {
            Err(format!("{word} can't be the address of a machine."))
        } else {
            Ok(parsed)
        }
    };
    let address = usable(address)?;
    let prefix: u8 = prefix
        .parse()
        .ok()
        .filter(|p| (1..=31).contains(p))
        .ok_or(format!("/{prefix} is not 1 to 31."))?;
    let router = usable(words.next().ok_or("The router's address is missing.")?)?;
    if router == address {
        return Err(format!("{router} is this machine and the router at once."));
    }
    let mask = u32::MAX << (32 - u32::from(prefix));
    if u32::from(router) & mask != u32::from(address) & mask {
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
        assert_eq!((fixed.address, fixed.prefix), (Ipv4Addr::new(192, 168, 1, 50), 24));
        assert_eq!(fixed.dns, [Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(1, 1, 1, 1)]);
        let short = typed_addresses("10.0.0.2/8 10.0.0.1").expect("addresses");
        assert_eq!(short.dns, [short.router], "the router is asked for names");
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, says) in [
            ("", "Nothing"),
            ("192.168.1.50 192.168.1.1", "no /PREFIX"),
            ("192.168.1.50/33 192.168.1.1", "not 1 to 31"),
            ("192.168.1.500/24 192.168.1.1", "no IPv4 address"),
            ("192.168.1.50/24", "router's address is missing"),
            ("192.168.1.50/24 192.168.2.1", "not in the network"),
            ("192.168.1.50/24 192.168.1.50", "at once"),
            ("127.0.0.1/8 127.0.0.2", "can't be"),
            ("192.168.1.50/24 192.168.1.1 dns", "no IPv4 address"),
        ] {
            let error = typed_addresses(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
