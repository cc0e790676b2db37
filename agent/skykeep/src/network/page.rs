//! What is asked about the network, on 80 columns and 24 lines, by letters. Pure.

use skykeep_net::wifi::Network;

/// The letters of networks: all but those that mean something else on the page.
const LETTERS: &[u8] = b"abdefgijklotuv";

/// A key on the list of Wi-Fi networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The network at this place of the list.
    Network(usize),
    /// A network that hides its name.
    Hidden,
    /// The next page of the list.
    More,
    /// Look again.
    Scan,
    /// No Wi-Fi.
    Without,
}

/// One page of the list, beginning at `from`.
pub fn list(networks: &[Network], from: usize) -> String {
    let mut page = "\nNo network cable has a signal. Wi-Fi networks here, the strongest first:\n".to_owned();
    if networks.is_empty() {
        page.push_str("  (none was found)\n");
    }
    for (letter, network) in LETTERS.iter().zip(networks.iter().skip(from)) {
        let name: String = network.ssid.shown().chars().take(34).collect();
        page.push_str(&format!(
            "  [{}] {name:<34} {:<14} {:>4} dBm  {}\n",
            char::from(*letter),
            network.security.name(),
            network.signal,
            "#".repeat(network.bars())
        ));
    }
    let more = networks.len() > from + LETTERS.len();
    let more = if more || from > 0 { "   [m] more" } else { "" };
    page.push_str(&format!(
        "  [h] a hidden network   [s] scan again   [c] cable or phone{more}\n"
    ));
    page
}

/// Where the page after `from` begins; after the last comes the first.
pub fn next(networks: usize, from: usize) -> usize {
    let next = from + LETTERS.len();
    if next < networks { next } else { 0 }
}

/// What a key means on the page that begins at `from`.
pub fn pick(key: u8, networks: usize, from: usize) -> Option<Pick> {
    match key {
        b'h' => Some(Pick::Hidden),
        b'm' => Some(Pick::More),
        b's' => Some(Pick::Scan),
        b'c' => Some(Pick::Without),
        _ => {
            let place = from + LETTERS.iter().position(|letter| *letter == key)?;
            (place < networks).then_some(Pick::Network(place))
        }
    }
}

/// A key under the page that says why there is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Try at once.
    Again,
    /// Choose a Wi-Fi network.
    WiFi,
    /// Use a cable or a phone.
    Cable,
    /// Take over the hardware address of a device that is logged in.
    Address,
    /// Type addresses.
    Typed,
    /// Type the tag of a VLAN.
    Tag,
    /// Type where a proxy is.
    Proxy,
    /// Forget the passphrase.
    Lock,
    /// Off.
    PowerOff,
}

/// What can be done, for a machine with or without Wi-Fi.
pub fn ways(wifi: bool) -> String {
    let wifi = if wifi { "  [w] choose a Wi-Fi network\n" } else { "" };
    format!(
        "It is tried again by itself, also when a cable or a phone is plugged in. Or:\n  [r] try again now\n{wifi}  \
         [c] use a cable, or a phone that shares its connection over USB\n  \
         [m] take over the hardware address of a device that is logged in\n  \
         [a] type addresses, for a network that gives none\n  \
         [t] type the tag of a VLAN, where the network's owner names one\n  \
         [h] type where a proxy is, for a network on which only that leads out\n  \
         [x] lock: forget the passphrase and start anew   [p] power off\n"
    )
}

/// What a key means there.
pub fn way(key: u8, wifi: bool) -> Option<Wish> {
    match key {
        b'r' => Some(Wish::Again),
        b'w' if wifi => Some(Wish::WiFi),
        b'c' => Some(Wish::Cable),
        b'm' => Some(Wish::Address),
        b'a' => Some(Wish::Typed),
        b't' => Some(Wish::Tag),
        b'h' => Some(Wish::Proxy),
        b'x' => Some(Wish::Lock),
        b'p' => Some(Wish::PowerOff),
        _ => None,
    }
}

/// How to find the address that is asked for.
pub const WHERE_THE_ADDRESS_IS: &str = "\nLog in with a phone or laptop on this very network. Then read its hardware (MAC) address for this network:\n\
     iPhone: Settings, Wi-Fi, (i) beside the network, \"Wi-Fi Address\". Android: Settings, Wi-Fi, the network,\n\
     \"MAC address\". Switch that device's Wi-Fi off: two machines with one address disturb each other.\n";

#[cfg(test)]
mod tests {
    use super::*;
    use skykeep_net::wifi::{Security, Ssid};

    fn network(name: &str, security: Security, signal: i32) -> Network {
        Network {
            ssid: Ssid::typed(name).expect("a name"),
            security,
            signal,
            points: 1,
        }
    }

    fn some() -> Vec<Network> {
        vec![
            network("Hotel Bellevue Guests", Security::Open, -48),
            network("Bellevue \u{1b}[31mBack Office", Security::Wpa2And3, -66),
            network("eduroam", Security::Enterprise, -71),
            network("Printer 5f", Security::Broken, -86),
        ]
    }

    #[test]
    fn the_list_as_it_is_shown() {
        insta::assert_snapshot!(format!("{}{}{}", list(&some(), 0), list(&[], 0), ways(true)));
    }

    #[test]
    fn every_line_of_a_crowded_place_fits_the_screen() {
        let many: Vec<Network> = (0..40)
            .map(|n| network(&"W".repeat(32), Security::Enterprise, -100 - n))
            .collect();
        for from in [0, 14, 28] {
            let page = list(&many, from);
            assert!(page.lines().count() <= 20, "{page}");
            assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        }
        assert!(ways(true).lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn each_letter_means_one_thing() {
        for key in LETTERS {
            assert!(!b"hmscqy".contains(key), "{}", char::from(*key));
        }
        assert_eq!(pick(b'b', 4, 0), Some(Pick::Network(1)));
        assert_eq!(pick(b'b', 40, 14), Some(Pick::Network(15)));
        assert_eq!(pick(b'g', 4, 0), None, "an empty line");
        assert_eq!(pick(b'h', 0, 0), Some(Pick::Hidden));
        assert_eq!((next(40, 0), next(40, 28), next(4, 0)), (14, 0, 0));
        assert_eq!(way(b'w', false), None);
        assert_eq!(way(b'w', true), Some(Wish::WiFi));
    }
}
