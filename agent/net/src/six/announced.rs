//! What a router announces beside addresses (RFC 8106, RFC 8781, RFC 8910), as the kernel hands it on after its own checks. Pure.

use skykeep_core::way::Nat64;
use std::net::Ipv6Addr;
use std::time::Duration;

/// Kind of the kernel's message: options of a router's announcement that are not its own business.
const NEW_USER_OPTION: u16 = 68;
/// Lengths of the two headers before the options.
const HEADERS: (usize, usize) = (16, 16);
const NAME_SERVERS: u8 = 25;
const PORTAL: u8 = 37;
const TRANSLATOR: u8 = 38;

/// One option of an announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Announced {
    /// These name servers, for so long; None: for ever. No time at all takes them back.
    Names(Vec<Ipv6Addr>, Option<Duration>),
    /// The interface of a captive portal.
    Portal(String),
    /// The prefix under which this network reaches IPv4; None: it is taken back.
    Translator(Option<Nat64>),
}

/// All that one packet of the kernel holds for the card with this index.
pub(super) fn read(mut packet: &[u8], index: u32) -> Vec<Announced> {
    let mut found = Vec::new();
    while let Some((message, rest)) = message(packet) {
        if let Some(options) = options(message, index) {
            found.extend(announced(options));
        }
        packet = rest;
    }
    found
}

/// The first message, and what follows it.
fn message(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(packet.get(..4)?.try_into().ok()?)).ok()?;
    let message = packet.get(..length).filter(|_| length >= HEADERS.0)?;
    Some((message, packet.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The options in a message: `struct nduseroptmsg` has the family, their length, and the card's index first.
fn options(message: &[u8], index: u32) -> Option<&[u8]> {
    let number = |at: usize| message.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
    let body = message.get(HEADERS.0..)?;
    let card = u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
    let length = usize::from(number(HEADERS.0 + 2)?);
    let ours = number(4)? == NEW_USER_OPTION && card == index;
    body.get(HEADERS.1..HEADERS.1 + length).filter(|_| ours)
}

fn announced(mut options: &[u8]) -> Vec<Announced> {
    let mut found = Vec::new();
    // Each option tells its length in eights of bytes.
    while let [kind, eights, ..] = options {
        let Some((option, rest)) = options
            .split_at_checked(usize::from(*eights) * 8)
            .filter(|_| *eights > 0)
        else {
            break;
        };
        found.extend(match *kind {
            NAME_SERVERS => names(option),
            PORTAL => option
                .get(2..)
                .and_then(crate::portal::announced)
                .map(Announced::Portal),
            TRANSLATOR => translator(option),
            _ => None,
        });
        options = rest;
    }
    found
}

fn names(option: &[u8]) -> Option<Announced> {
    let seconds = u32::from_be_bytes(option.get(4..8)?.try_into().ok()?);
    let sixteens = option.get(8..)?.chunks_exact(16);
    let servers: Vec<Ipv6Addr> = sixteens
        .filter_map(|bytes| <[u8; 16]>::try_from(bytes).ok())
        .map(Ipv6Addr::from)
        .filter(|server| !server.is_unspecified() && !server.is_multicast() && !server.is_loopback())
        .collect();
    let time = (seconds != u32::MAX).then(|| Duration::from_secs(seconds.into()));
    (!servers.is_empty()).then_some(Announced::Names(servers, time))
}

/// 13 bits of lifetime, 3 of the prefix's length, 12 bytes of prefix.
fn translator(option: &[u8]) -> Option<Announced> {
    let [_, 2, high, low, prefix @ ..] = option else {
        return None;
    };
    let mut octets = [0; 16];
    octets.iter_mut().zip(prefix).for_each(|(octet, byte)| *octet = *byte);
    let prefix = Nat64::announced(octets.into(), low & 7)?;
    let lasts = *high != 0 || low >> 3 != 0;
    Some(Announced::Translator(lasts.then_some(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(index: u32, options: &[u8]) -> Vec<u8> {
        let length = HEADERS.0 + HEADERS.1 + options.len();
        let mut bytes = u32::try_from(length).expect("short").to_ne_bytes().to_vec();
        bytes.extend(NEW_USER_OPTION.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([10, 0]);
        bytes.extend(u16::try_from(options.len()).expect("short").to_ne_bytes());
        bytes.extend(index.to_ne_bytes());
        bytes.extend([134, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(options);
        bytes
    }

    fn servers(seconds: u32) -> Vec<u8> {
        let mut option = vec![NAME_SERVERS, 3, 0, 0];
        option.extend(seconds.to_be_bytes());
        option.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53).octets());
        option
    }

    #[test]
    fn name_servers_and_their_time_are_read_for_this_card_only() {
        let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
        let with = |seconds, time| {
            let expected = vec![Announced::Names(vec![server], time)];
            assert_eq!(read(&packet(3, &servers(seconds)), 3), expected);
        };
        with(600, Some(Duration::from_secs(600)));
        with(0, Some(Duration::ZERO));
        with(u32::MAX, None);
        assert_eq!(read(&packet(4, &servers(600)), 3), []);
    }

    #[test]
    fn several_messages_and_options_are_read_and_a_portal_too() {
        let mut portal = vec![PORTAL, 5];
        portal.extend(b"https://portal.hotel.example/api");
        portal.resize(40, 0);
        let mut both = servers(60);
        both.extend(&portal);
        let mut packets = packet(3, &both);
        packets.extend(packet(3, &servers(0)));
        let found = read(&packets, 3);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[1], Announced::Portal("https://portal.hotel.example/api".into()));
    }

    #[test]
    fn the_prefix_of_a_translator_is_read_and_taken_back() {
        let option = |high, low| {
            let mut option = vec![TRANSLATOR, 2, high, low, 0, 0x64, 0xff, 0x9b];
            option.resize(16, 0);
            read(&packet(3, &option), 3)
        };
        let known = Nat64::announced("64:ff9b::".parse().expect("an address"), 0);
        assert_eq!(option(0x07, 0x08), [Announced::Translator(known)]);
        assert_eq!(option(0, 0), [Announced::Translator(None)]);
        assert_eq!(option(0x07, 0x0e), [], "a length that is none");
    }

    #[test]
    fn every_cut_off_or_twisted_packet_is_survived() {
        let bytes = packet(3, &servers(600));
        for length in 0..bytes.len() {
            let _ = read(&bytes[..length], 3);
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 255] {
                let mut twisted = bytes.clone();
                twisted[at] = value;
                let _ = read(&twisted, 3);
            }
        }
    }
}
