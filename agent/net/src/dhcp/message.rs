//! The messages, to bytes and back. Pure; a hostile answer is an error or ignored, never a panic.

use std::net::Ipv4Addr;
use std::time::Duration;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const PAD: u8 = 0;
const MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
const ASKED_ADDRESS: u8 = 50;
const LEASE_TIME: u8 = 51;
const KIND: u8 = 53;
const SERVER: u8 = 54;
const PARAMETERS: u8 = 55;
const RENEW_AFTER: u8 = 58;
const REBIND_AFTER: u8 = 59;
const MAX_SIZE: u8 = 57;
const CLIENT: u8 = 61;
/// RFC 8910: where a captive portal tells about itself.
const PORTAL: u8 = 114;
const END: u8 = 255;

/// Shorter leases are kept as if they had these seconds: nobody can make us ask all the time.
const SHORTEST: u32 = 10;
/// Where the options begin.
const HEADER: usize = 236;

/// What kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Discover,
    Offer,
    Request,
    Ack,
    Nak,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Discover => 1,
            Kind::Offer => 2,
            Kind::Request => 3,
            Kind::Ack => 5,
            Kind::Nak => 6,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Kind::Discover, Kind::Offer, Kind::Request, Kind::Ack, Kind::Nak]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// What a server gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) router: Option<Ipv4Addr>,
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) server: Ipv4Addr,
    /// None: for ever.
    pub(crate) time: Option<Duration>,
    /// When the server wants to be asked for more time (T1), and when anybody may be asked (T2).
    pub(crate) asks: [Option<Duration>; 2],
    /// The captive portal's own interface (an HTTPS address), when the network announces one.
    pub(crate) portal: Option<String>,
}

impl Lease {
    /// Whether it names a router and a name server.
    pub(crate) fn leads_out(&self) -> bool {
        self.router.is_some() && !self.dns.is_empty()
    }
}

/// What the client says.
pub(crate) enum Say<'a> {
    /// Who gives addresses? The one that was ours before is wished for.
    Discover(Option<Ipv4Addr>),
    /// I take this offer.
    Take(&'a Lease),
    /// I have this and want to keep it.
    Keep(&'a Lease),
}

/// The bytes of a client's message.
pub(crate) fn encode(say: &Say<'_>, xid: u32, mac: [u8; 6], seconds: u16) -> Vec<u8> {
    let mut out = vec![1, 1, 6, 0]; // request, Ethernet, 6 bytes of address, no relay
    out.extend(xid.to_be_bytes());
    out.extend(seconds.to_be_bytes());
    let (broadcast, own) = match say {
        // Without an address of our own only a broadcast reaches us.
        Say::Discover(_) | Say::Take(_) => (0x8000u16, Ipv4Addr::UNSPECIFIED),
        Say::Keep(lease) => (0, lease.address),
    };
    out.extend(broadcast.to_be_bytes());
    out.extend(own.octets());
    out.extend([0; 12]); // your, server's, relay's address
    out.extend(mac);
    out.extend([0; 10]); // rest of the hardware address
    out.extend([0; 192]); // server's name, boot file
    out.extend(COOKIE);
    let kind = if matches!(say, Say::Discover(_)) {
        Kind::Discover
    } else {
        Kind::Request
    };
    out.extend([KIND, 1, kind.code()]);
    // No host name: the network learns nothing it does not need.
    out.extend([CLIENT, 7, 1]);
    out.extend(mac);
    let wished = match say {
        Say::Discover(wished) => *wished,
        Say::Take(lease) => Some(lease.address),
        Say::Keep(_) => None,
    };
    if let Some(wished) = wished {
        out.extend([ASKED_ADDRESS, 4]);
        out.extend(wished.octets());
    }
    if let Say::Take(lease) = say {
        out.extend([SERVER, 4]);
        out.extend(lease.server.octets());
    }
    out.extend([MAX_SIZE, 2]);
    out.extend(1472u16.to_be_bytes());
    let wanted = [MASK, ROUTER, DNS, LEASE_TIME, RENEW_AFTER, REBIND_AFTER, PORTAL];
    out.extend([PARAMETERS, 7]);
    out.extend(wanted);
    out.push(END);
    // Old servers want the length of a BOOTP message.
    out.resize(out.len().max(300), PAD);
    out
}

/// A server's answer to our question `xid`, if these bytes are one. A refusal has no lease.
pub(crate) fn decode(bytes: &[u8], xid: u32, mac: [u8; 6]) -> Option<(Kind, Option<Lease>)> {
    let reply = bytes.first() == Some(&2);
    let ours = bytes.get(4..8) == Some(&xid.to_be_bytes()) && bytes.get(28..34) == Some(&mac);
    if !reply || !ours || bytes.get(HEADER..HEADER + 4) != Some(&COOKIE) {
        return None;
    }
    let options = bytes.get(HEADER + 4..)?;
    let kind = Kind::from_code(*option(options, KIND)?.first()?)?;
    if !matches!(kind, Kind::Offer | Kind::Ack) {
        return (kind == Kind::Nak).then_some((kind, None));
    }
    let address = addresses(bytes.get(16..20)?).first().copied()?;
    let mask = option(options, MASK)
        .map(addresses)
        .and_then(|list| list.first().copied());
    let seconds = |code: u8| {
        let value = option(options, code).and_then(|value| <[u8; 4]>::try_from(value).ok());
        value.map(u32::from_be_bytes).filter(|seconds| *seconds != u32::MAX)
    };
    let lease = Lease {
        address,
        prefix: prefix(mask)?,
        router: option(options, ROUTER)
            .map(addresses)
            .and_then(|list| list.first().copied()),
        dns: option(options, DNS).map(addresses).unwrap_or_default(),
        server: option(options, SERVER)
            .map(addresses)
            .and_then(|list| list.first().copied())?,
        time: seconds(LEASE_TIME).map(|s| Duration::from_secs(s.max(SHORTEST).into())),
        asks: [RENEW_AFTER, REBIND_AFTER].map(|code| seconds(code).map(|s| Duration::from_secs(s.into()))),
        portal: option(options, PORTAL).and_then(crate::portal::announced),
    };
    let usable =
        !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !address.is_broadcast();
    usable.then_some((kind, Some(lease)))
}

/// The value of one option. Pieces of a split one are not joined: none that we ask for is that long.
fn option(mut rest: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        rest = match rest {
            [PAD, tail @ ..] => tail,
            [code, length, tail @ ..] if *code != END => {
                let (value, tail) = tail.split_at_checked(usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                tail
            }
            _ => return None,
        };
    }
}

fn addresses(value: &[u8]) -> Vec<Ipv4Addr> {
    let fours = value.chunks_exact(4);
    fours
        .filter_map(|four| <[u8; 4]>::try_from(four).ok())
        .map(Ipv4Addr::from)
        .collect()
}

/// The length of a mask. None for one with holes; a missing one means that the address stands alone.
fn prefix(mask: Option<Ipv4Addr>) -> Option<u8> {
    let Some(mask) = mask else { return Some(32) };
    let bits = u32::from(mask);
    let ones = bits.leading_ones();
    (bits.count_ones() == ones).then(|| u8::try_from(ones).ok()).flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0, 0x5b, 0x1c, 0x0f];

    /// A server's message, as dnsmasq lays it out.
    pub(crate) fn from_server(kind: u8, xid: u32, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![2, 1, 6, 0];
        bytes.extend(xid.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend([203, 0, 113, 117]);
        bytes.extend([0; 8]);
        bytes.extend(MAC);
        bytes.extend([0; 202]);
        bytes.extend(COOKIE);
        bytes.extend([KIND, 1, kind, SERVER, 4, 203, 0, 113, 1]);
        bytes.extend(options);
        bytes.push(END);
        bytes
    }

    const FULL: &[u8] = &[
        MASK, 4, 255, 255, 255, 0, PAD, ROUTER, 4, 203, 0, 113, 1, DNS, 8, 203, 0, 113, 53, 203, 0, 113, 54,
        LEASE_TIME, 4, 0, 0, 14, 16,
    ];

    #[test]
    fn an_offer_is_read_whole() {
        let (kind, lease) = decode(&from_server(2, 7, FULL), 7, MAC).expect("an offer");
        assert_eq!(kind, Kind::Offer);
        let lease = lease.expect("a lease");
        assert_eq!((lease.address, lease.prefix), (Ipv4Addr::new(203, 0, 113, 117), 24));
        assert_eq!(lease.router, Some(Ipv4Addr::new(203, 0, 113, 1)));
        assert_eq!(
            lease.dns,
            [Ipv4Addr::new(203, 0, 113, 53), Ipv4Addr::new(203, 0, 113, 54)]
        );
        assert_eq!(lease.time, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn answers_to_others_are_not_ours() {
        let bytes = from_server(2, 7, FULL);
        assert!(decode(&bytes, 8, MAC).is_none());
        assert!(decode(&bytes, 7, [1; 6]).is_none());
    }

    #[test]
    fn a_refusal_is_told_without_a_lease() {
        assert_eq!(decode(&from_server(6, 7, &[]), 7, MAC), Some((Kind::Nak, None)));
    }

    #[test]
    fn a_lease_for_ever_has_no_time_and_a_mask_with_holes_is_refused() {
        let for_ever = [MASK, 4, 255, 0, 0, 0, LEASE_TIME, 4, 255, 255, 255, 255];
        let (_, lease) = decode(&from_server(5, 7, &for_ever), 7, MAC).expect("an answer");
        assert_eq!(lease.expect("a lease").time, None);
        assert!(decode(&from_server(5, 7, &[MASK, 4, 255, 0, 255, 0]), 7, MAC).is_none());
    }

    #[test]
    fn every_cut_off_or_twisted_answer_is_survived() {
        let bytes = from_server(5, 7, FULL);
        for length in 0..bytes.len() {
            let _ = decode(&bytes[..length], 7, MAC);
        }
        for at in HEADER..bytes.len() {
            let mut twisted = bytes.clone();
            twisted[at] = 255 - twisted[at];
            let _ = decode(&twisted, 7, MAC);
        }
    }

    #[test]
    fn an_announced_portal_is_kept_and_a_strange_one_is_not() {
        let with = |text: &[u8]| {
            let mut options = FULL.to_vec();
            options.extend([PORTAL, u8::try_from(text.len()).expect("short")]);
            options.extend(text);
            decode(&from_server(5, 7, &options), 7, MAC)
                .expect("an answer")
                .1
                .expect("a lease")
                .portal
        };
        assert_eq!(
            with(b"https://portal.hotel.example/api").as_deref(),
            Some("https://portal.hotel.example/api")
        );
        for strange in [
            &b"urn:ietf:params:capport:unrestricted"[..],
            b"http://x/",
            b"https://x/\x1b[2J",
            b"https://\xff",
            b"",
        ] {
            assert_eq!(with(strange), None);
        }
    }

    #[test]
    fn a_question_names_no_host_and_is_as_long_as_old_servers_want() {
        let bytes = encode(&Say::Discover(None), 7, MAC, 0);
        assert!(bytes.len() >= 300);
        let options = &bytes[HEADER + 4..];
        assert_eq!(option(options, KIND), Some(&[1][..]));
        assert_eq!(option(options, 12), None, "no host name");
        assert_eq!(bytes[10], 0x80, "asks for a broadcast answer");
    }
}
