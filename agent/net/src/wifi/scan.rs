//! The networks in the air, from what wpa_supplicant says about each access point. Pure; every name in it was chosen by a stranger.

use std::collections::BTreeMap;

/// How a network is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// Not at all.
    Open,
    /// Encrypted without a password (OWE, "Enhanced Open").
    EnhancedOpen,
    /// A password, WPA2.
    Wpa2,
    /// A password, WPA2 or WPA3, as the client can.
    Wpa2And3,
    /// A password, WPA3 only.
    Wpa3,
    /// A user name or certificate for each person (802.1X): Skykeep can't.
    Enterprise,
    /// WEP or the first WPA: broken long ago, refused.
    Broken,
}

impl Security {
    /// For the list, at most 14 letters.
    pub fn name(self) -> &'static str {
        match self {
            Security::Open => "open",
            Security::EnhancedOpen => "enhanced open",
            Security::Wpa2 => "WPA2",
            Security::Wpa2And3 => "WPA2/WPA3",
            Security::Wpa3 => "WPA3",
            Security::Enterprise => "802.1X (can't)",
            Security::Broken => "broken (can't)",
        }
    }

    /// Whether Skykeep can join such a network.
    pub fn can_be_joined(self) -> bool {
        !matches!(self, Security::Enterprise | Security::Broken)
    }

    /// Whether a password is asked for.
    pub fn wants_password(self) -> bool {
        matches!(self, Security::Wpa2 | Security::Wpa2And3 | Security::Wpa3)
    }

    /// From the flags of one access point, such as `[WPA2-PSK+SAE-CCMP][ESS]`.
    fn of_flags(flags: &str) -> Self {
        let groups: Vec<&str> = flags.split(['[', ']']).filter(|group| !group.is_empty()).collect();
        let modern = groups
            .iter()
            .filter(|group| group.starts_with("WPA2-") || group.starts_with("RSN-") || group.starts_with("WPA3-"));
        let keys: Vec<&str> = modern
            .filter_map(|group| group.split('-').nth(1))
            .flat_map(|keys| keys.split('+'))
            .collect();
        let has = |word: &str| keys.iter().any(|key| key.rsplit('/').next() == Some(word));
        match (has("PSK"), has("SAE")) {
            (true, true) => Security::Wpa2And3,
            (true, false) => Security::Wpa2,
            (false, true) => Security::Wpa3,
            (false, false) if has("OWE") => Security::EnhancedOpen,
            (false, false) if !keys.is_empty() => Security::Enterprise,
            (false, false) if groups.iter().any(|group| *group == "WEP" || group.starts_with("WPA-")) => {
                if groups.iter().any(|group| group.starts_with("WPA-EAP")) {
                    Security::Enterprise
                } else {
                    Security::Broken
                }
            }
            (false, false) => Security::Open,
        }
    }
}

/// A network's name: up to 32 bytes of anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ssid(Vec<u8>);

impl Ssid {
    /// As a person types it. None when it is empty or too long to be a name.
    pub fn typed(text: &str) -> Option<Self> {
        (1..=32).contains(&text.len()).then(|| Ssid(text.as_bytes().to_vec()))
    }

    /// For wpa_supplicant, which then can't mistake any sign in it.
    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// For a screen: Latin letters and ASCII as they are, everything else (also what would move the cursor or turn the writing round) as `\xNN`.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if matches!(c, ' '..='~' | '\u{c0}'..='\u{24f}') && c != '\\' {
                    text.push(c);
                } else {
                    let mut buffer = [0; 4];
                    text.extend(c.encode_utf8(&mut buffer).bytes().map(escape));
                }
            }
            text.extend(chunk.invalid().iter().copied().map(escape));
        }
        text
    }

    /// Undoes wpa_supplicant's writing: `\\`, `\"`, `\e`, `\n`, `\r`, `\t` and `\xNN`. None when there is no name (a hidden network).
    fn written(text: &str) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            if *first != b'\\' {
                bytes.push(*first);
                continue;
            }
            let (kind, tail) = rest.split_first()?;
            rest = tail;
            bytes.push(match kind {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'e' => 0x1b,
                b'x' => {
                    let (digits, tail) = rest.split_at_checked(2)?;
                    rest = tail;
                    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
                }
                other => *other,
            });
        }
        // A hidden network sends no name, or zeros in its place.
        let hidden = bytes.iter().all(|byte| *byte == 0);
        (!hidden && bytes.len() <= 32).then_some(Ssid(bytes))
    }
}

fn escape(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

/// One network, however many access points it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub ssid: Ssid,
    /// How it is protected. The same name with another protection is another network.
    pub security: Security,
    /// Of its strongest access point, dBm: -30 is beside it, -85 hardly works.
    pub signal: i32,
    /// How many access points.
    pub points: usize,
}

impl Network {
    /// The signal as 0 to 4 bars.
    pub fn bars(&self) -> usize {
        match self.signal {
            -55.. => 4,
            -67..-55 => 3,
            -75..-67 => 2,
            -83..-75 => 1,
            _ => 0,
        }
    }
}

/// One access point, from the reply to `BSS` (lines `key=value`): its number and, unless it hides its name, what it offers.
pub(crate) fn access_point(reply: &str) -> Option<(u32, Option<Network>)> {
    let fields: BTreeMap<&str, &str> = reply.lines().filter_map(|line| line.split_once('=')).collect();
    let number = fields.get("id")?.parse().ok()?;
    let network = || {
        Some(Network {
            ssid: Ssid::written(fields.get("ssid")?)?,
            security: Security::of_flags(fields.get("flags")?),
            signal: fields.get("level")?.parse().ok()?,
            points: 1,
        })
    };
    // Only networks of access points, not of phones among themselves.
    let infrastructure = fields.get("flags").is_some_and(|flags| flags.contains("[ESS]"));
    Some((number, network().filter(|_| infrastructure)))
}

/// Access points of one name and protection as one network, the strongest first.
pub(crate) fn networks(points: impl IntoIterator<Item = Network>) -> Vec<Network> {
    let mut found: BTreeMap<(Ssid, Security), Network> = BTreeMap::new();
    for point in points {
        let network = found
            .entry((point.ssid.clone(), point.security))
            .or_insert_with(|| Network {
                points: 0,
                ..point.clone()
            });
        network.points += point.points;
        network.signal = network.signal.max(point.signal);
    }
    let mut list: Vec<Network> = found.into_values().collect();
    list.sort_by_key(|network| -network.signal);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(ssid: &str, flags: &str, level: i32) -> Network {
        let reply = format!("id=3\nbssid=02:00:00:00:01:00\nfreq=2412\nlevel={level}\nflags={flags}\nssid={ssid}\n");
        access_point(&reply).expect("an access point").1.expect("a named one")
    }

    #[test]
    fn the_protection_is_read_from_the_flags() {
        for (flags, security) in [
            ("[ESS]", Security::Open),
            ("[WPS][ESS]", Security::Open),
            ("[WPA2-PSK-CCMP][ESS]", Security::Wpa2),
            ("[WPA-PSK-TKIP][WPA2-PSK-CCMP+TKIP][WPS][ESS]", Security::Wpa2),
            ("[WPA2-PSK+FT/PSK-CCMP][ESS]", Security::Wpa2),
            ("[WPA2-PSK+SAE-CCMP][SAE-H2E][ESS]", Security::Wpa2And3),
            ("[WPA2-SAE-CCMP][SAE-H2E][ESS]", Security::Wpa3),
            ("[WPA2-OWE-CCMP][ESS]", Security::EnhancedOpen),
            ("[WPA2-EAP+FT/EAP-CCMP][ESS]", Security::Enterprise),
            ("[WPA-EAP-TKIP][ESS]", Security::Enterprise),
            ("[WPA-PSK-TKIP][ESS]", Security::Broken),
            ("[WEP][ESS]", Security::Broken),
        ] {
            assert_eq!(Security::of_flags(flags), security, "{flags}");
        }
    }

    #[test]
    fn access_points_of_one_name_are_one_network_and_the_strongest_comes_first() {
        let list = networks([
            point("Hotel", "[ESS]", -70),
            point("Hotel", "[ESS]", -50),
            point("Hotel", "[WPA2-PSK-CCMP][ESS]", -60),
            point("Far", "[ESS]", -88),
        ]);
        let seen: Vec<_> = list
            .iter()
            .map(|n| (n.ssid.shown(), n.signal, n.points, n.bars()))
            .collect();
        assert_eq!(
            seen,
            [
                ("Hotel".to_owned(), -50, 2, 4),
                ("Hotel".to_owned(), -60, 1, 3),
                ("Far".to_owned(), -88, 1, 0)
            ]
        );
    }

    #[test]
    fn a_hidden_network_and_one_of_phones_is_no_line_in_the_list() {
        let reply = |ssid: &str, flags: &str| format!("id=0\nlevel=-40\nflags={flags}\nssid={ssid}\n");
        assert_eq!(access_point(&reply("", "[ESS]")), Some((0, None)));
        assert_eq!(access_point(&reply(r"\x00\x00", "[ESS]")), Some((0, None)));
        assert_eq!(access_point(&reply("phone", "[IBSS]")), Some((0, None)));
        assert_eq!(access_point("FAIL\n"), None);
    }

    #[test]
    fn a_name_can_neither_move_the_cursor_nor_turn_the_writing_round() {
        let name = Ssid::written(r#"a\e[2J\"\\\xe2\x80\xae\xffCafé"#).expect("a name");
        assert_eq!(name.shown(), r#"a\x1b[2J"\x5c\xe2\x80\xae\xffCafé"#);
        assert_eq!(Ssid::written(r"cut\x1"), None);
        assert_eq!(Ssid::written(r"cut\"), None);
        assert_eq!(Ssid::typed(&"x".repeat(33)), None);
        assert_eq!(Ssid::typed("Hi").expect("a name").hex(), "4869");
    }
}
