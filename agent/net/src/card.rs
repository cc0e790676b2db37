//! The network cards the kernel has, as /sys shows them.

use std::fs;
use std::path::Path;

/// One card.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
    /// A signal: on the cable, or of an access point that let us in. Always false while the card is down.
    pub(crate) carrier: bool,
    /// The real card beneath, by index and name, when this one stands for a VLAN's tag.
    pub(crate) beneath: Option<(u32, String)>,
}

impl Card {
    /// What the cable is in, by index and name.
    pub(crate) fn real(&self) -> (u32, String) {
        self.beneath.clone().unwrap_or_else(|| (self.index, self.name.clone()))
    }
}

/// All wired cards under `root` (/sys/class/net), by name.
pub(crate) fn wired(root: &Path) -> Vec<Card> {
    cards(root, false)
}

/// All Wi-Fi cards under `root`, by name.
pub(crate) fn wireless(root: &Path) -> Vec<Card> {
    cards(root, true)
}

fn cards(root: &Path, wireless: bool) -> Vec<Card> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut cards: Vec<Card> = entries.filter_map(|entry| read(&entry.path(), wireless)).collect();
    cards.sort();
    cards
}

fn read(folder: &Path, wireless: bool) -> Option<Card> {
    const ETHERNET: &str = "1";
    // A tunnel or bridge has no device; a Wi-Fi card needs more than a cable.
    let is_wireless = folder.join("wireless").exists() || folder.join("phy80211").exists();
    if !folder.join("device").exists() || is_wireless != wireless {
        return None;
    }
    let text = |name: &str| fs::read_to_string(folder.join(name)).map(|text| text.trim().to_owned());
    if text("type").ok()? != ETHERNET {
        return None;
    }
    Some(Card {
        name: folder.file_name()?.to_str()?.to_owned(),
        index: text("ifindex").ok()?.parse().ok()?,
        mac: mac(&text("address").ok()?)?,
        // Reading it is an error while the card is down.
        carrier: text("carrier").is_ok_and(|value| value == "1"),
        beneath: None,
    })
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// The hardware address of another device, as a person reads it off there: twelve hex digits, with `:`, `-`, `.` or nothing between. None when it is no
/// address that one device can have.
pub fn typed_mac(text: &str) -> Option<[u8; 6]> {
    let digits: Vec<char> = text.trim().chars().filter(|c| !":-. ".contains(*c)).collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok());
    let mac: [u8; 6] = pairs.collect::<Option<Vec<u8>>>()?.try_into().ok()?;
    let whole = digits.len() == 12 && digits.iter().all(char::is_ascii_hexdigit);
    let group = mac.first().is_none_or(|first| first & 1 == 1);
    (whole && !group && mac != [0; 6]).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wired_cards_of_real_devices_count() {
        let root = std::env::temp_dir().join(format!("skykeep-net-cards-{}", std::process::id()));
        let make = |name: &str, device: bool, wireless: bool, carrier: Option<&str>| {
            let folder = root.join(name);
            fs::create_dir_all(&folder).expect("folder");
            for (file, value) in [("type", "1\n"), ("ifindex", "2\n"), ("address", "52:54:00:5b:1c:0f\n")] {
                fs::write(folder.join(file), value).expect("file");
            }
            if device {
                fs::create_dir_all(folder.join("device")).expect("device");
            }
            if wireless {
                fs::create_dir_all(folder.join("wireless")).expect("wireless");
            }
            if let Some(value) = carrier {
                fs::write(folder.join("carrier"), value).expect("carrier");
            }
        };
        make("lo", false, false, Some("1\n"));
        make("wlan0", true, true, Some("1\n"));
        make("eth1", true, false, None);
        make("eth0", true, false, Some("1\n"));
        let cards = wired(&root);
        let seen: Vec<_> = cards.iter().map(|card| (card.name.as_str(), card.carrier)).collect();
        assert_eq!(seen, [("eth0", true), ("eth1", false)]);
        assert_eq!(cards[0].mac, [0x52, 0x54, 0, 0x5b, 0x1c, 0x0f]);
        let air: Vec<_> = wireless(&root).into_iter().map(|card| card.name).collect();
        assert_eq!(air, ["wlan0"]);
        fs::remove_dir_all(root).expect("clean up");
    }

    #[test]
    fn a_hardware_address_of_another_length_is_no_ethernet_card() {
        assert_eq!(mac("52:54:00"), None);
        assert_eq!(mac("zz:54:00:5b:1c:0f"), None);
    }

    #[test]
    fn a_typed_hardware_address_is_understood_in_every_usual_writing() {
        let phone = Some([0xa4, 0x83, 0xe7, 0x01, 0x0f, 0xfe]);
        for text in [
            "a4:83:e7:01:0f:fe",
            "A4-83-E7-01-0F-FE",
            "a483.e701.0ffe",
            " a483e7010ffe ",
        ] {
            assert_eq!(typed_mac(text), phone, "{text}");
        }
        for text in [
            "",
            "a4:83:e7:01:0f",
            "a5:83:e7:01:0f:fe",
            "00:00:00:00:00:00",
            "a4:83:e7:01:0f:fe:00",
            "+4:83:e7:01:0f:fe",
            "à4:83:e7:01:0f:fe",
        ] {
            assert_eq!(typed_mac(text), None, "{text}");
        }
    }
}
