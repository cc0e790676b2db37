//! Which step of the way to the castle's hosts fails, on one screen.

use crate::card::{self, Card};
use crate::clock::Reached;
use crate::error::NetError;
use crate::names::Names;
use crate::portal::Verdict;
use crate::up::Options;
use skykeep_core::Explain;
use std::fmt::Write as _;
use std::net::IpAddr;

/// What was seen on the way. What was not reached is None.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Each card that counted: its name, whether it is a Wi-Fi card, and whether it has a signal.
    pub links: Vec<(String, bool, bool)>,
    /// Our address, its prefix and card, as one text.
    pub address: Option<String>,
    /// The card with that address.
    pub card: Option<String>,
    /// The same for IPv6, when this network has it beside IPv4.
    pub six: Option<String>,
    /// The router, and whether it answers.
    pub router: Option<(IpAddr, bool)>,
    /// The name servers.
    pub names: Option<Names>,
    /// How far the castle's hosts were reached.
    pub reached: Option<Reached>,
    /// The log-in page.
    pub portal: Option<Verdict>,
}

/// Why the network can't be used, and all that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was seen.
    pub facts: Facts,
    /// The one thing to mend first.
    pub error: NetError,
}

/// The cards as they are now.
pub(crate) fn links(options: &Options) -> Facts {
    let sys = &options.cards;
    let one = |wireless: bool| move |card: Card| (card.name, wireless, card.carrier);
    let wired = card::wired(sys).into_iter().map(one(false));
    let air = card::wireless(sys).into_iter().map(one(true));
    let counts = |link: &(String, bool, bool)| options.only.as_ref().is_none_or(|only| *only == link.0);
    Facts {
        links: wired.chain(air).filter(counts).collect(),
        ..Facts::default()
    }
}

/// How a step stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Bad,
    NotReached,
}

impl Facts {
    /// The nearest cause on the way: a portal or a lying name server explains why the hosts did not answer.
    pub(crate) fn clearer_than(&self, error: NetError) -> NetError {
        if !matches!(error, NetError::NoTime { .. }) {
            return error;
        }
        match (&self.router, &self.portal, &self.names) {
            (Some((router, false)), ..) => NetError::RouterSilent { router: *router },
            (_, Some(Verdict::Portal(page)), _) => NetError::Portal { page: page.clone() },
            (_, _, Some(Names::Lie(address))) => NetError::NamesLie { address: *address },
            (_, _, Some(Names::Silent)) => NetError::NamesSilent,
            _ => error,
        }
    }

    fn steps(&self) -> Vec<(&'static str, State, String)> {
        use State::{Bad, Good, NotReached};
        let link = |(name, wireless, signal): &(String, bool, bool)| match (signal, wireless) {
            (true, _) => format!("{name}: signal"),
            (false, true) => format!("{name}: not joined"),
            (false, false) => format!("{name}: no cable"),
        };
        let signal = self.links.iter().any(|(_, _, signal)| *signal);
        let links = if self.links.is_empty() {
            "no card".to_owned()
        } else {
            self.links.iter().map(link).collect::<Vec<_>>().join(", ")
        };
        let next = |reached: bool| if reached { Bad } else { NotReached };
        let address = match &self.address {
            Some(address) => (Good, address.clone()),
            None => (next(signal), "none".into()),
        };
        let route = match self.router {
            Some((router, true)) => (Good, format!("{router} answers")),
            Some((router, false)) => (Bad, format!("{router} does not answer")),
            None => (NotReached, String::new()),
        };
        let six = match &self.six {
            Some(six) => (Good, six.clone()),
            None if self.address.is_some() => (NotReached, "no router announced it".into()),
            None => (NotReached, String::new()),
        };
        let names = match &self.names {
            Some(Names::Work) => (Good, "answered".into()),
            Some(Names::Lie(address)) => (Bad, format!("{address} for a name that does not exist")),
            Some(Names::Unknown(name)) => (Bad, format!("{name} is not known")),
            Some(Names::Silent) => (Bad, "no answer".into()),
            None => (NotReached, String::new()),
        };
        let portal = match &self.portal {
            Some(Verdict::Open) => (Good, "no log-in page".into()),
            Some(Verdict::Portal(Some(page))) => (Bad, format!("log-in page {page}")),
            Some(Verdict::Portal(None)) => (Bad, "somebody else answers: a log-in page".into()),
            Some(Verdict::Unknown) => (NotReached, "can't be told: no answer".into()),
            None => (NotReached, String::new()),
        };
        let hosts = |least: Reached, good: &str, bad: &str| match self.reached {
            Some(reached) if reached > least => (Good, good.to_owned()),
            Some(reached) if reached == least => (Bad, bad.to_owned()),
            _ => (NotReached, String::new()),
        };
        let connection = hosts(
            Reached::Names,
            "the castle's hosts answer",
            "the castle's hosts do not answer",
        );
        let tls = hosts(
            Reached::Connection,
            "the castle's hosts proved who they are",
            "somebody else answers for the castle's hosts",
        );
        let clock = hosts(Reached::Tls, "", "too few hosts told the time");
        let with = |name: &'static str, (state, text): (State, String)| (name, state, text);
        vec![
            ("link", if signal { Good } else { Bad }, links),
            with("address", address),
            with("route", route),
            with("IPv6", six),
            with("names", names),
            with("portal", portal),
            with("hosts", connection),
            with("TLS", tls),
            with("clock", clock),
        ]
    }
}

impl Diagnosis {
    /// One screen of 80 columns: the steps, then what, why and what to do. No line is longer, the texts of strangers are cut.
    pub fn page(&self) -> String {
        let mut page = "The network, step by step:\n".to_owned();
        for (name, state, text) in self.facts.steps() {
            let mark = match state {
                State::Good => "ok",
                State::Bad => "!!",
                State::NotReached => "-",
            };
            let text: String = text.chars().take(62).collect();
            // Writing to a String can't fail.
            let _ = writeln!(page, "{}", format!("  {mark:<3} {name:<9} {text}").trim_end());
        }
        for (name, text) in [
            ("what:", self.error.what()),
            ("why:", self.error.why()),
            ("do:", self.error.remedy()),
        ] {
            wrapped(&mut page, name, &text);
        }
        page
    }
}

/// A part of the error, broken between words at 80 columns, six lines at most.
fn wrapped(page: &mut String, name: &str, text: &str) {
    const WIDTH: usize = 72;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word: String = word.chars().take(WIDTH).collect();
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = word,
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => *line = format!("{line} {word}"),
            _ => lines.push(word),
        }
    }
    for (number, line) in lines.iter().take(6).enumerate() {
        let _ = writeln!(page, "{:<6} {line}", if number == 0 { name } else { "" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wifi::Refusal;
    use std::net::Ipv4Addr;

    fn cable() -> Facts {
        Facts {
            links: vec![("eth0".into(), false, true), ("wlan0".into(), true, false)],
            address: Some("192.168.1.20/24 at eth0".into()),
            card: Some("eth0".into()),
            router: Some((Ipv4Addr::new(192, 168, 1, 1).into(), true)),
            ..Facts::default()
        }
    }

    fn page(facts: Facts, error: NetError) -> String {
        let page = Diagnosis {
            error: facts.clearer_than(error),
            facts,
        }
        .page();
        assert!(page.lines().count() <= 22, "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        page
    }

    fn no_time(reached: Reached, answer: &str) -> NetError {
        NetError::NoTime {
            answers: vec![
                format!("s3.eu-south-1.amazonaws.com: {answer}"),
                format!("api.cloudflare.com: {answer}"),
            ],
            reached,
        }
    }

    #[test]
    fn the_page_for_every_step_that_can_fail() {
        let mut pages = String::new();
        let mut show = |title: &str, facts: Facts, error: NetError| {
            pages.push_str(&format!("--- {title}\n{}\n", page(facts, error)));
        };
        show("no card", Facts::default(), NetError::NoCard);
        let unplugged = Facts {
            links: vec![("eth0".into(), false, false), ("wlan0".into(), true, false)],
            ..Facts::default()
        };
        show(
            "no cable",
            unplugged,
            NetError::NoCable {
                cards: vec!["eth0".into()],
            },
        );
        let refused = Facts {
            links: vec![("wlan0".into(), true, false)],
            ..Facts::default()
        };
        show(
            "Wi-Fi password",
            refused,
            NetError::Wifi {
                network: "Hotel".into(),
                refusal: Refusal::WrongPassword,
            },
        );
        let silent = Facts {
            address: None,
            router: None,
            card: None,
            ..cable()
        };
        show(
            "no address",
            silent,
            NetError::NoAddress {
                cards: vec!["eth0".into()],
                seconds: 30,
                last: "no answer at all".into(),
            },
        );
        let lost = || no_time(Reached::Nothing, "no answer in 30 s");
        show(
            "router",
            Facts {
                router: Some((Ipv4Addr::new(192, 168, 1, 1).into(), false)),
                names: Some(Names::Silent),
                portal: Some(Verdict::Unknown),
                ..cable()
            },
            lost(),
        );
        show(
            "names",
            Facts {
                names: Some(Names::Silent),
                portal: Some(Verdict::Unknown),
                ..cable()
            },
            lost(),
        );
        let liar = Names::Lie(Ipv4Addr::new(10, 0, 0, 1).into());
        show(
            "lying names",
            Facts {
                names: Some(liar.clone()),
                portal: Some(Verdict::Unknown),
                ..cable()
            },
            lost(),
        );
        let page = Verdict::Portal(Some("http://login.hotel.example/start".into()));
        show(
            "portal",
            Facts {
                names: Some(liar),
                portal: Some(page),
                ..cable()
            },
            lost(),
        );
        let fine = || Facts {
            names: Some(Names::Work),
            portal: Some(Verdict::Open),
            ..cable()
        };
        let at = |reached| Facts {
            reached: Some(reached),
            ..fine()
        };
        show(
            "hosts",
            at(Reached::Names),
            no_time(Reached::Names, "connection refused"),
        );
        show(
            "TLS",
            at(Reached::Connection),
            no_time(Reached::Connection, "invalid peer certificate: UnknownIssuer"),
        );
        show(
            "clock",
            at(Reached::Tls),
            no_time(Reached::Tls, "its answer has no Date"),
        );
        insta::assert_snapshot!(pages);
    }
}
