//! What the answers mean. Pure.

/// An address with a known answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) url: &'static str,
    expected: Expected,
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Status 204 and nothing else.
    Nothing,
    /// Status 200 and a text that has this in it.
    Text(&'static str),
}

/// Kept by four independent makers for their own devices.
pub(super) const QUESTIONS: [Question; 4] = [
    Question {
        url: "http://connectivitycheck.gstatic.com/generate_204",
        expected: Expected::Nothing,
    },
    Question {
        url: "http://detectportal.firefox.com/success.txt",
        expected: Expected::Text("success"),
    },
    Question {
        url: "http://captive.apple.com/hotspot-detect.html",
        expected: Expected::Text("Success"),
    },
    Question {
        url: "http://network-test.debian.org/nm",
        expected: Expected::Text("NetworkManager is online"),
    },
];

/// An answer, as far as it was read.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: String,
}

/// What one answer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// The answer that everybody gets on the open Internet.
    Right,
    /// Somebody else answered, and perhaps said where to log in.
    Other(Option<String>),
    /// No answer, or an error that proves nothing.
    Nothing,
}

/// What the portal's own interface says (RFC 8908).
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Interface {
    pub(super) captive: bool,
    pub(super) user_portal_url: Option<String>,
}

/// Whether a log-in page is in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is none.
    Open,
    /// There is one, perhaps at this address.
    Portal(Option<String>),
    /// Nobody answered: it can't be told.
    Unknown,
}

pub(super) fn seen(question: &Question, reply: &Reply) -> Seen {
    let right = match question.expected {
        Expected::Nothing => reply.status == 204,
        Expected::Text(text) => reply.status == 200 && reply.body.contains(text) && reply.body.len() < 200,
    };
    match reply.status {
        _ if right => Seen::Right,
        300..=399 => Seen::Other(reply.location.as_deref().and_then(address)),
        // 511 was made for exactly this.
        200..=299 | 511 => Seen::Other(None),
        _ => Seen::Nothing,
    }
}

/// One wrong answer is enough: some portals let one maker's question through so that its devices do not notice them.
pub(super) fn verdict(seen: &[Seen], interface: Option<&Interface>) -> Verdict {
    let told = interface
        .filter(|interface| interface.captive)
        .map(|interface| interface.user_portal_url.as_deref().and_then(address));
    let others: Vec<&Option<String>> = seen
        .iter()
        .filter_map(|seen| if let Seen::Other(page) = seen { Some(page) } else { None })
        .collect();
    match told {
        Some(page) => Verdict::Portal(page),
        None if !others.is_empty() => Verdict::Portal(others.into_iter().flatten().next().cloned()),
        None if seen.contains(&Seen::Right) => Verdict::Open,
        None => Verdict::Unknown,
    }
}

/// A web address that may stand on a screen: chosen by a stranger, so short and only of harmless signs. What follows `?` identifies this machine.
fn address(text: &str) -> Option<String> {
    let web = text.starts_with("http://") || text.starts_with("https://");
    let short = text.split(['?', '#']).next()?;
    (web && short.len() <= 60 && short.bytes().all(|byte| byte.is_ascii_graphic())).then(|| short.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, location: Option<&str>, body: &str) -> Reply {
        Reply {
            status,
            location: location.map(str::to_owned),
            body: body.into(),
        }
    }

    const LOGIN: &str = "<html><form action=/login>Room number, name: Success is one click away</form>";

    #[test]
    fn known_answers_are_right_and_a_log_in_page_is_not_even_when_it_holds_the_word() {
        let [google, firefox, apple, _] = &QUESTIONS;
        assert_eq!(seen(google, &reply(204, None, "")), Seen::Right);
        assert_eq!(seen(firefox, &reply(200, None, "success\n")), Seen::Right);
        assert_eq!(
            seen(apple, &reply(200, None, "<HTML><BODY>Success</BODY></HTML>")),
            Seen::Right
        );
        let page = format!("{LOGIN}{}", " ".repeat(200));
        for question in [google, firefox, apple] {
            assert_eq!(seen(question, &reply(200, None, &page)), Seen::Other(None));
            let moved = reply(302, Some("http://login.hotel.example/start?mac=a4:83:e7:01:0f:fe"), "");
            assert_eq!(
                seen(question, &moved),
                Seen::Other(Some("http://login.hotel.example/start".into()))
            );
            assert_eq!(
                seen(question, &reply(503, None, "")),
                Seen::Nothing,
                "a fault proves nothing"
            );
        }
        assert_eq!(seen(google, &reply(511, None, "")), Seen::Other(None));
    }

    #[test]
    fn one_wrong_answer_outweighs_the_right_ones() {
        let page = || Seen::Other(Some("http://login.hotel.example/".into()));
        assert_eq!(
            verdict(&[Seen::Right, page()], None),
            Verdict::Portal(Some("http://login.hotel.example/".into()))
        );
        assert_eq!(
            verdict(&[Seen::Other(None), Seen::Nothing], None),
            Verdict::Portal(None)
        );
        assert_eq!(verdict(&[Seen::Nothing, Seen::Right], None), Verdict::Open);
        assert_eq!(verdict(&[Seen::Nothing, Seen::Nothing], None), Verdict::Unknown);
    }

    #[test]
    fn the_portals_own_word_counts_first_and_its_yes_does_not_open_the_way() {
        let says = |text: &str| serde_json::from_str::<Interface>(text).expect("RFC 8908");
        let captive = says(r#"{"captive": true, "user-portal-url": "https://portal.example/x.html"}"#);
        assert_eq!(
            verdict(&[Seen::Nothing], Some(&captive)),
            Verdict::Portal(Some("https://portal.example/x.html".into()))
        );
        let free = says(r#"{"captive": false, "can-extend-session": true}"#);
        assert_eq!(verdict(&[Seen::Other(None)], Some(&free)), Verdict::Portal(None));
        assert_eq!(verdict(&[Seen::Nothing], Some(&free)), Verdict::Unknown);
    }

    #[test]
    fn an_address_that_could_trick_a_reader_is_not_shown() {
        assert_eq!(address("http://x/\u{1b}[2J"), None);
        assert_eq!(address("javascript:alert(1)"), None);
        assert_eq!(address(&format!("http://{}", "x".repeat(60))), None);
    }
}
