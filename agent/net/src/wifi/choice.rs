//! What a person chose, as settings of wpa_supplicant. Pure.

use super::scan::{Security, Ssid};
use skykeep_core::Secret;

/// A network to join.
pub struct Choice {
    /// Its name.
    pub ssid: Ssid,
    /// How it is protected. None for a hidden network, about which nobody knows: WPA2 or WPA3 with a password, else open.
    pub security: Option<Security>,
    /// The password, for a network that has one.
    pub password: Option<Secret>,
}

/// What is wrong with a password, before the access point is bothered with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFault {
    /// WPA2 wants 8 signs.
    TooShort,
    /// WPA2 takes 63.
    TooLong,
    /// A sign that no keyboard gives.
    Unprintable,
}

impl PasswordFault {
    /// For the line under the question.
    pub fn text(self) -> &'static str {
        match self {
            PasswordFault::TooShort => "A Wi-Fi password has at least 8 signs.",
            PasswordFault::TooLong => "A Wi-Fi password has at most 63 signs.",
            PasswordFault::Unprintable => "That holds a sign that no Wi-Fi password has (an arrow key, perhaps).",
        }
    }
}

/// Looks at a password as it was typed. WPA3 alone has no limits of length, but is not known to be alone for a hidden network.
pub fn check_password(password: &Secret, security: Option<Security>) -> Result<(), PasswordFault> {
    let bytes = password.expose();
    if bytes.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) {
        return Err(PasswordFault::Unprintable);
    }
    let shortest = if security == Some(Security::Wpa3) { 1 } else { 8 };
    match bytes.len() {
        length if length < shortest => Err(PasswordFault::TooShort),
        64.. => Err(PasswordFault::TooLong),
        _ => Ok(()),
    }
}

/// The settings of the one network, each a pair of name and value. The values of `psk` and `sae_password` are secret.
pub(crate) fn settings(choice: &Choice) -> Vec<(&'static str, Secret)> {
    let plain = |text: &str| Secret::new(text.as_bytes().to_vec());
    let mut list = vec![("ssid", plain(&choice.ssid.hex()))];
    if choice.security.is_none() {
        // Asks for the name aloud: whoever hides a network makes its clients do so.
        list.push(("scan_ssid", plain("1")));
    }
    let security = match (choice.security, &choice.password) {
        (Some(security), _) => security,
        (None, Some(_)) => Security::Wpa2And3,
        (None, None) => Security::Open,
    };
    // Management frames are protected wherever the access point can: 1 is "if possible", 2 is "or not at all", as WPA3 demands.
    let (keys, protected) = match security {
        Security::Wpa2 => ("WPA-PSK WPA-PSK-SHA256", "1"),
        Security::Wpa2And3 => ("SAE WPA-PSK WPA-PSK-SHA256", "1"),
        Security::Wpa3 => ("SAE", "2"),
        Security::EnhancedOpen => ("OWE", "2"),
        Security::Open | Security::Enterprise | Security::Broken => ("NONE", "0"),
    };
    list.push(("key_mgmt", plain(keys)));
    list.push(("ieee80211w", plain(protected)));
    if let Some(password) = choice.password.as_ref().filter(|_| security.wants_password()) {
        list.push(("proto", plain("RSN")));
        list.push(("pairwise", plain("CCMP GCMP-256 CCMP-256 GCMP")));
        list.push(("group", plain("CCMP GCMP-256 CCMP-256 GCMP TKIP")));
        let mut quoted = Vec::with_capacity(password.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(password.expose());
        quoted.push(b'"');
        let name = if security == Security::Wpa3 {
            "sae_password"
        } else {
            "psk"
        };
        list.push((name, Secret::new(quoted)));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(security: Option<Security>, password: Option<&str>) -> Vec<String> {
        let choice = Choice {
            ssid: Ssid::typed("Hotel").expect("a name"),
            security,
            password: password.map(|text| Secret::from_string(text.to_owned())),
        };
        let settings = settings(&choice);
        settings
            .iter()
            .map(|(name, value)| format!("{name} {}", value.expose_str().expect("text")))
            .collect()
    }

    #[test]
    fn each_protection_has_its_settings() {
        let wpa2 = lines(Some(Security::Wpa2), Some("correct horse"));
        assert!(wpa2.contains(&"key_mgmt WPA-PSK WPA-PSK-SHA256".to_owned()), "{wpa2:?}");
        assert!(wpa2.contains(&"psk \"correct horse\"".to_owned()), "{wpa2:?}");
        let wpa3 = lines(Some(Security::Wpa3), Some("short"));
        assert!(
            wpa3.contains(&"sae_password \"short\"".to_owned()) && wpa3.contains(&"ieee80211w 2".to_owned()),
            "{wpa3:?}"
        );
        assert_eq!(
            lines(Some(Security::Open), None),
            ["ssid 486f74656c", "key_mgmt NONE", "ieee80211w 0"]
        );
    }

    #[test]
    fn a_hidden_network_is_called_by_its_name() {
        let hidden = lines(None, Some("correct horse"));
        assert!(hidden.contains(&"scan_ssid 1".to_owned()), "{hidden:?}");
        assert!(
            hidden.iter().any(|line| line.starts_with("key_mgmt SAE WPA-PSK")),
            "{hidden:?}"
        );
        assert!(lines(None, None).contains(&"key_mgmt NONE".to_owned()));
    }

    #[test]
    fn a_password_that_can_be_none_is_told_before_anybody_is_asked() {
        let check = |text: &str, security| check_password(&Secret::from_string(text.to_owned()), security);
        assert_eq!(check("1234567", None), Err(PasswordFault::TooShort));
        assert_eq!(check("1234567", Some(Security::Wpa3)), Ok(()));
        assert_eq!(check("12345678", Some(Security::Wpa2)), Ok(()));
        assert_eq!(
            check(&"x".repeat(64), Some(Security::Wpa2)),
            Err(PasswordFault::TooLong)
        );
        assert_eq!(check("12345678\x1b[A", None), Err(PasswordFault::Unprintable));
    }
}
