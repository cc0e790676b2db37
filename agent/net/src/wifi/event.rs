//! What wpa_supplicant tells by itself, and what it means for somebody who waits to be let in. Pure.

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Let in.
    Connected,
    /// The connection ended.
    Disconnected,
    /// The access point's answer shows that the password is wrong.
    WrongKey,
    /// No access point of that name answers.
    NotFound,
    /// The first step was refused, with the code of IEEE 802.11; `proof` when that was the proof of a WPA3 password.
    AuthRefused { code: u32, proof: bool },
    /// The second step was refused.
    AssocRefused { code: u32 },
    /// A scan is complete.
    Scanned,
    /// The radio could not scan now.
    ScanFailed,
    /// The rules of this country are kept now.
    Country(String),
    /// The program ends.
    Ending,
}

/// One message of the control socket, such as `<3>CTRL-EVENT-CONNECTED - Connection to ...`. None for what does not matter here.
pub(crate) fn event(message: &str) -> Option<Event> {
    let text = message
        .strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
        .map_or(message, |(_, text)| text);
    let mut words = text.split_whitespace();
    let name = words.next()?;
    let field = |wanted: &str| {
        let mut fields = text.split_whitespace().filter_map(|word| word.split_once('='));
        fields.find(|(key, _)| *key == wanted).map(|(_, value)| value)
    };
    let code = || field("status_code").and_then(|code| code.parse().ok()).unwrap_or(1);
    Some(match name {
        "CTRL-EVENT-CONNECTED" => Event::Connected,
        "CTRL-EVENT-DISCONNECTED" => Event::Disconnected,
        "CTRL-EVENT-SSID-TEMP-DISABLED" if field("reason") == Some("WRONG_KEY") => Event::WrongKey,
        "CTRL-EVENT-NETWORK-NOT-FOUND" => Event::NotFound,
        "CTRL-EVENT-AUTH-REJECT" => Event::AuthRefused {
            code: code(),
            proof: field("auth_type") == Some("3") && field("auth_transaction") == Some("2"),
        },
        "CTRL-EVENT-ASSOC-REJECT" => Event::AssocRefused { code: code() },
        "CTRL-EVENT-SCAN-RESULTS" => Event::Scanned,
        "CTRL-EVENT-SCAN-FAILED" => Event::ScanFailed,
        "CTRL-EVENT-REGDOM-CHANGE" => Event::Country(field("alpha2")?.to_owned()),
        "CTRL-EVENT-TERMINATING" => Event::Ending,
        _ => return None,
    })
}

/// Why nobody was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The password is wrong.
    WrongPassword,
    /// No access point of that name answers.
    NotFound,
    /// The access point refused, with this code of IEEE 802.11.
    Code(u32),
    /// Nothing clear within the time.
    Silence,
}

/// Follows the news of one try to join.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    not_found: u32,
    refused: u32,
}

/// So many whole scans (about 5 s each) must miss a network before it is said to be away: a beacon is easily missed.
const MISSES: u32 = 4;
/// A busy access point refuses once and takes the client at the next try.
const REFUSALS: u32 = 3;
/// How access points refuse a proof that does not fit: "unspecified" (hostapd, so most routers) or "challenge failure".
const WRONG_PROOF: [u32; 2] = [1, 15];

impl Joining {
    /// The outcome, when this news decides it.
    pub(crate) fn after(&mut self, event: &Event) -> Option<Result<(), Refusal>> {
        let refused = |refused: &mut u32, code| {
            *refused += 1;
            (*refused >= REFUSALS).then_some(Err(Refusal::Code(code)))
        };
        match event {
            Event::Connected => Some(Ok(())),
            Event::WrongKey => Some(Err(Refusal::WrongPassword)),
            Event::AuthRefused { code, proof: true } if WRONG_PROOF.contains(code) => Some(Err(Refusal::WrongPassword)),
            Event::NotFound => {
                self.not_found += 1;
                (self.not_found >= MISSES).then_some(Err(Refusal::NotFound))
            }
            Event::AuthRefused { code, .. } | Event::AssocRefused { code } => refused(&mut self.refused, *code),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(messages: &[&str]) -> Option<Result<(), Refusal>> {
        let mut joining = Joining::default();
        messages
            .iter()
            .filter_map(|message| event(message))
            .find_map(|event| joining.after(&event))
    }

    #[test]
    fn being_let_in_is_seen() {
        let news = [
            "<3>Trying to associate",
            "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]",
        ];
        assert_eq!(outcome(&news), Some(Ok(())));
    }

    #[test]
    fn a_wrong_password_is_told_from_other_refusals() {
        let wpa2 = "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"Hotel\" auth_failures=1 duration=10 reason=WRONG_KEY";
        assert_eq!(outcome(&[wpa2]), Some(Err(Refusal::WrongPassword)));
        for code in [1, 15] {
            let proof = format!(
                "<3>CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=2 status_code={code}"
            );
            assert_eq!(outcome(&[&proof]), Some(Err(Refusal::WrongPassword)));
        }
        let before = "<3>CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=1 status_code=1";
        assert_eq!(outcome(&[before]), None, "nothing was proved yet");
        let full = "<3>CTRL-EVENT-ASSOC-REJECT bssid=02:00:00:00:01:00 status_code=17";
        assert_eq!(outcome(&[full, full]), None, "a busy access point gets another try");
        assert_eq!(outcome(&[full, full, full]), Some(Err(Refusal::Code(17))));
    }

    #[test]
    fn a_network_is_away_only_when_several_scans_missed_it() {
        let missed = "<3>CTRL-EVENT-NETWORK-NOT-FOUND ";
        assert_eq!(outcome(&[missed; 3]), None);
        assert_eq!(outcome(&[missed; 4]), Some(Err(Refusal::NotFound)));
    }

    #[test]
    fn a_name_in_the_news_that_looks_like_a_field_is_survived() {
        let news = "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"x";
        assert_eq!(event(news), None);
        assert_eq!(event(""), None);
        assert_eq!(event("<"), None);
        assert_eq!(
            event("<3>CTRL-EVENT-REGDOM-CHANGE init=COUNTRY_IE type=COUNTRY alpha2=IT"),
            Some(Event::Country("IT".into()))
        );
    }
}
