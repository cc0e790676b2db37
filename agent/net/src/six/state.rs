//! How the kernel's own IPv6 stands at a card.

use std::net::Ipv6Addr;

/// An address that leads out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Ours.
    pub(crate) address: Ipv6Addr,
    /// The length of its network's prefix.
    pub(crate) prefix: u8,
    /// The way out.
    pub(crate) router: Ipv6Addr,
}

/// None until the card has both an address that is proven to be ours alone, and a router.
pub(crate) fn standing(card: &str) -> Option<Standing> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let (address, prefix) = address(&read("/proc/net/if_inet6"), card)?;
    let router = router(&read("/proc/net/ipv6_route"), card)?;
    Some(Standing {
        address,
        prefix,
        router,
    })
}

fn parsed(digits: &str) -> Option<Ipv6Addr> {
    (digits.len() == 32)
        .then(|| u128::from_str_radix(digits, 16).ok())
        .flatten()
        .map(Ipv6Addr::from)
}

/// Lines of: address, index, prefix, scope, flags, name. A tentative, failed or ageing one does not count.
fn address(table: &str, card: &str) -> Option<(Ipv6Addr, u8)> {
    const GLOBAL: &str = "00";
    const UNUSABLE: u32 = 0x40 | 0x20 | 0x08;
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [digits, _, prefix, GLOBAL, flags, name] = words.as_slice() else {
            return None;
        };
        let usable = u32::from_str_radix(flags, 16).ok()? & UNUSABLE == 0;
        let prefix = u8::from_str_radix(prefix, 16).ok()?;
        (usable && *name == card)
            .then(|| parsed(digits))
            .flatten()
            .map(|address| (address, prefix))
    })
}

/// Lines of: destination, its prefix, source, its prefix, next hop, metric, two counters, flags, name.
fn router(table: &str, card: &str) -> Option<Ipv6Addr> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "00", _, _, hop, .., name] = words.as_slice() else {
            return None;
        };
        let router = parsed(hop).filter(|hop| !hop.is_unspecified())?;
        (*name == card).then_some(router)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_usable_address_of_this_card_counts() {
        let line = |scope: &str, flags: &str, name: &str| {
            format!("20010db800000000000000000000abcd 02 40 {scope} {flags} {name:>8}\n")
        };
        let ours = Some((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xabcd), 64));
        assert_eq!(address(&line("00", "00", "eth0"), "eth0"), ours);
        for (scope, flags, name) in [
            ("20", "80", "eth0"),
            ("00", "40", "eth0"),
            ("00", "08", "eth0"),
            ("00", "80", "eth1"),
        ] {
            assert_eq!(
                address(&line(scope, flags, name), "eth0"),
                None,
                "{scope} {flags} {name}"
            );
        }
        assert_eq!(address("rubbish\n\n", "eth0"), None);
    }

    #[test]
    fn the_router_is_the_next_hop_of_the_default_route() {
        let zero = "0".repeat(32);
        let table = format!(
            "{zero} 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n\
             {zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
        );
        assert_eq!(router(&table, "eth0"), Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)));
        assert_eq!(router(&table, "lo"), None);
        assert_eq!(router("", "eth0"), None);
    }
}
