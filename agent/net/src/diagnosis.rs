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
    /// The card with that address: the real one, where it is behind a VLAN's tag.
    pub card: Option<String>,
    /// The same for IPv6, when this network has it beside IPv4.
    pub six: Option<String>,
    /// The router, and whether it answers.
    pub router: Option<(IpAddr, bool)>,
    /// The name servers.
    pub names: Option<Names>,
    /// How far the castle's hosts were reached.
    pub reached: Option<Reached>,
    /// A proxy that was to lead out, how far the hosts were reached through it, and what they or it answered.
    pub proxy: Option<(String, Reached, Vec<String>)>,
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
            _ if self.proxy.is_some() => self.proxy_leads_nowhere(error),
            (_, _, Some(Names::Lie(address))) => NetError::NamesLie { address: *address },
            (_, _, Some(Names::Silent)) => NetError::NamesSilent,
            _ => error,
        }
    }

    fn proxy_leads_nowhere(&self, error: NetError) -> NetError {
        match &self.proxy {
            Some((proxy, _, answers)) => NetError::Proxy {
                proxy: proxy.clone(),
                answers: answers.clone(),
            },
            None => error,
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
        let proxy = self.proxy.as_ref().map(|(proxy, reached, _)| match reached {
            Reached::Nothing => (Bad, format!("{proxy} has no address")),
            Reached::Names => (Bad, format!("{proxy} does not answer, or refuses")),
            Reached::Connection | Reached::Tls => (Good, format!("{proxy} answers")),
        });
        let with = |name: &'static str, (state, text): (State, String)| (name, state, text);
        let mut steps = vec![
            ("link", if signal { Good } else { Bad }, links),
            with("address", address),
            with("route", route),
            with("IPv6", six),
            with("names", names),
            with("portal", portal),
            with("hosts", connection),
            with("TLS", tls),
            with("clock", clock),
        ];
        if let Some(proxy) = proxy {
            steps.insert(6, with("proxy", proxy));
        }
        steps
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
mod tests;
