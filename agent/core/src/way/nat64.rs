//! IPv4 addresses inside IPv6 ones (RFC 6052), and how to find this network's prefix (RFC 7050, RFC 8781). Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The prefix under which a network reaches IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat64 {
    prefix: Ipv6Addr,
    /// Bytes of the prefix: 4 to 8, or 12.
    length: usize,
}

/// `ipv4only.arpa` has these two IPv4 addresses and no other; a name server that translates puts them into its prefix.
pub const KNOWN_NAME: &str = "ipv4only.arpa";
const KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];
/// The most common first, which is RFC 8781's order of codes too.
const LENGTHS: [usize; 6] = [12, 8, 7, 6, 5, 4];
/// Always zero.
const GAP: usize = 8;

/// Where the four bytes of an IPv4 address lie behind a prefix.
fn places(length: usize) -> impl Iterator<Item = usize> {
    (length..16).filter(|place| *place != GAP).take(4)
}

impl Nat64 {
    /// The prefix in an answer for [`KNOWN_NAME`].
    pub fn of_known_name(answer: Ipv6Addr) -> Option<Self> {
        let length = LENGTHS
            .into_iter()
            .find(|length| extract(answer, *length).is_some_and(|four| KNOWN.contains(&four)))?;
        let mut octets = answer.octets();
        octets.iter_mut().skip(length).for_each(|byte| *byte = 0);
        Some(Nat64 {
            prefix: octets.into(),
            length,
        })
    }

    /// A prefix that a router announced, by its code for the length (RFC 8781).
    pub fn announced(prefix: Ipv6Addr, code: u8) -> Option<Self> {
        let length = *LENGTHS.get(usize::from(code))?;
        let clean = |prefix: Ipv6Addr| !prefix.is_unspecified() && !prefix.is_multicast();
        let mut octets = prefix.octets();
        octets.iter_mut().skip(length).for_each(|byte| *byte = 0);
        let prefix = Ipv6Addr::from(octets);
        clean(prefix).then_some(Nat64 { prefix, length })
    }

    /// An IPv4 address as it is reached here.
    pub fn embed(&self, four: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.prefix.octets();
        for (place, byte) in places(self.length).zip(four.octets()) {
            if let Some(octet) = octets.get_mut(place) {
                *octet = byte;
            }
        }
        octets.into()
    }
}

impl std::fmt::Display for Nat64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.prefix, self.length * 8)
    }
}

fn extract(six: Ipv6Addr, length: usize) -> Option<Ipv4Addr> {
    let octets = six.octets();
    let four: Vec<u8> = places(length).filter_map(|place| octets.get(place).copied()).collect();
    <[u8; 4]>::try_from(four).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 6052, 2.4.
    const EXAMPLES: [(&str, usize, &str); 6] = [
        ("2001:db8::", 4, "2001:db8:c000:221::"),
        ("2001:db8:100::", 5, "2001:db8:1c0:2:21::"),
        ("2001:db8:122::", 6, "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::", 7, "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::", 8, "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::", 12, "2001:db8:122:344::192.0.2.33"),
    ];

    #[test]
    fn addresses_are_put_in_as_the_standard_has_it() {
        for (prefix, length, expected) in EXAMPLES {
            let nat64 = Nat64 {
                prefix: prefix.parse().expect("a prefix"),
                length,
            };
            let expected: Ipv6Addr = expected.parse().expect("an address");
            assert_eq!(
                nat64.embed(Ipv4Addr::new(192, 0, 2, 33)),
                expected,
                "{prefix}/{}",
                length * 8
            );
        }
    }

    #[test]
    fn an_announced_prefix_has_the_length_of_its_code() {
        for (code, length) in [(0, 96), (1, 64), (2, 56), (3, 48), (4, 40), (5, 32)] {
            let all = "2001:db8:122:344:55:66:77:88".parse().expect("an address");
            let nat64 = Nat64::announced(all, code).expect("a prefix");
            assert!(nat64.to_string().ends_with(&format!("/{length}")), "{nat64}");
        }
        assert_eq!(Nat64::announced(Ipv6Addr::LOCALHOST, 6), None);
        assert_eq!(Nat64::announced(Ipv6Addr::UNSPECIFIED, 0), None);
    }

    #[test]
    fn the_prefix_is_found_in_the_known_answer_and_in_no_other() {
        for (prefix, length, _) in EXAMPLES {
            let nat64 = Nat64 {
                prefix: prefix.parse().expect("a prefix"),
                length,
            };
            for known in KNOWN {
                assert_eq!(Nat64::of_known_name(nat64.embed(known)), Some(nat64));
            }
            assert_eq!(Nat64::of_known_name(nat64.embed(Ipv4Addr::new(192, 0, 0, 172))), None);
        }
    }
}
