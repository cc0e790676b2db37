//! What can go wrong on the way to the network, in three parts.

use crate::clock::Reached;
use crate::wifi::Refusal;
use skykeep_core::Explain;
use std::net::IpAddr;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetError {
    /// The kernel shows no wired network card.
    NoCard,
    /// There are cards, and none has a signal.
    NoCable {
        /// Their names.
        cards: Vec<String>,
    },
    /// A signal, but nobody gave an address.
    NoAddress {
        /// The cards that asked.
        cards: Vec<String>,
        /// How long they asked.
        seconds: u64,
        /// What the last one met.
        last: String,
    },
    /// An address, but the way out or the name servers are missing from it.
    NoRoute {
        /// The card.
        card: String,
        /// What the offer lacked.
        lacks: &'static str,
    },
    /// The kernel refused something.
    Kernel {
        /// What was asked of it.
        asked: String,
        /// Its answer.
        answer: String,
    },
    /// The program that drives the Wi-Fi card fails.
    Radio {
        /// How.
        why: String,
    },
    /// A Wi-Fi network does not let this machine in.
    Wifi {
        /// Its name, as it may be shown.
        network: String,
        /// Why.
        refusal: Refusal,
    },
    /// The router has an address and does not answer.
    RouterSilent {
        /// Its address.
        router: IpAddr,
    },
    /// No name server answers.
    NamesSilent,
    /// The name servers have an answer for everything.
    NamesLie {
        /// What they say of a name that does not exist.
        address: IpAddr,
    },
    /// A log-in page stands between this network and the Internet.
    Portal {
        /// Where, when it says so.
        page: Option<String>,
    },
    /// A proxy was to lead out, and does not.
    Proxy {
        /// Where it should be.
        proxy: String,
        /// One line for each host that was not reached through it.
        answers: Vec<String>,
    },
    /// Too few of the castle's hosts told the time.
    NoTime {
        /// One line for each host that did not.
        answers: Vec<String>,
        /// How far the best of them was reached.
        reached: Reached,
    },
    /// The hosts do not agree on the time.
    TimesDiffer {
        /// One line for each host.
        answers: Vec<String>,
    },
    /// The hosts tell a time before this image was built.
    TimeTooEarly {
        /// Told, as an HTTP date.
        told: String,
        /// Built, as an HTTP date.
        built: String,
    },
}

impl Explain for NetError {
    fn what(&self) -> String {
        match self {
            NetError::NoCard => "This machine shows no network card".into(),
            NetError::NoCable { .. } => "No network cable carries a signal".into(),
            NetError::NoAddress { seconds, .. } => format!("Nobody gave this machine a network address in {seconds} s"),
            NetError::NoRoute { card, lacks } => format!("The network at {card} gave an address without {lacks}"),
            NetError::Kernel { asked, .. } => format!("The kernel refused to {asked}"),
            NetError::Radio { .. } => "The Wi-Fi card can't be used".into(),
            NetError::Wifi { network, refusal } => match refusal {
                Refusal::WrongPassword => format!("The password of the Wi-Fi network {network} is wrong"),
                Refusal::NotFound => format!("The Wi-Fi network {network} is not in the air"),
                Refusal::Code(_) | Refusal::Silence => {
                    format!("The Wi-Fi network {network} does not let this machine in")
                }
            },
            NetError::RouterSilent { router } => format!("The way out of this network, {router}, is dead"),
            NetError::NamesSilent => "No name server of this network answers".into(),
            NetError::NamesLie { .. } => "This network's name servers lie".into(),
            NetError::Portal { .. } => {
                "This network wants somebody to log in on a web page first (captive portal)".into()
            }
            NetError::Proxy { proxy, .. } => format!("The proxy {proxy} does not lead out"),
            NetError::NoTime { .. } => "The time can't be learned from the castle's hosts".into(),
            NetError::TimesDiffer { .. } => "The castle's hosts tell different times".into(),
            NetError::TimeTooEarly { told, .. } => format!("The castle's hosts tell an impossible time: {told}"),
        }
    }

    fn why(&self) -> String {
        match self {
            NetError::NoCard => "the kernel found none, or the image has no driver for it".into(),
            NetError::NoCable { cards } => format!("there is no signal at {}", cards.join(", ")),
            NetError::NoAddress { cards, last, .. } => {
                format!(
                    "no DHCP server gave a lease at {}: {last}; and no router announced IPv6",
                    cards.join(", ")
                )
            }
            NetError::NoRoute { lacks, .. } => format!("the DHCP server's lease names no {lacks}"),
            NetError::Kernel { answer, .. } => answer.clone(),
            NetError::Radio { why } => format!("wpa_supplicant, which drives it: {why}"),
            NetError::Wifi { refusal, .. } => match refusal {
                Refusal::WrongPassword => "the access point could not agree on a key with it".into(),
                Refusal::NotFound => "four scans did not find it".into(),
                Refusal::Code(code) => format!("the access point refuses with code {code} of IEEE 802.11"),
                Refusal::Silence => "it began to talk and did not end in time".into(),
            },
            NetError::RouterSilent { .. } => "it gave no answer when its hardware address was asked for".into(),
            NetError::NamesSilent => "all of them kept silent for 3 s".into(),
            NetError::NamesLie { address } => format!("a name that does not exist has the address {address} there"),
            NetError::Portal { page: Some(page) } => format!("addresses with a well-known answer lead to {page}"),
            NetError::Portal { page: None } => {
                "addresses with a well-known answer are answered by somebody else".into()
            }
            NetError::NoTime { answers, .. } | NetError::TimesDiffer { answers } | NetError::Proxy { answers, .. } => {
                answers.join("; ")
            }
            NetError::TimeTooEarly { built, .. } => format!("this image was built later: {built}"),
        }
    }

    fn remedy(&self) -> String {
        match self {
            NetError::NoCard => "Plug in a USB network adapter or a phone that shares its connection over USB, or use another machine.".into(),
            NetError::NoCable { .. } => "Plug the cable in at both ends, or try another socket or cable.".into(),
            NetError::NoAddress { .. } => "Use a socket behind an ordinary router. Where the network's owner names a VLAN tag, type it.".into(),
            NetError::NoRoute { .. } => "Use a network that leads to the Internet, then start again.".into(),
            NetError::Kernel { .. } => {
                "Try another network card or machine; if it stays, report it with this text.".into()
            }
            NetError::Radio { .. } => "Use a cable, or a phone that shares its connection over USB.".into(),
            NetError::Wifi { refusal, .. } => match refusal {
                Refusal::WrongPassword => "Type it again; capitals count. Or choose another network.".into(),
                Refusal::NotFound => "Go nearer to the access point, then scan again. A hidden network's name must be typed exactly.".into(),
                Refusal::Code(_) | Refusal::Silence => "Try once more or nearer to the access point, or choose another network.".into(),
            },
            NetError::RouterSilent { .. } => "Use another socket or network; an address typed by hand may be wrong.".into(),
            NetError::NamesSilent => "Use another network, or type addresses with another name server.".into(),
            NetError::NamesLie { .. } => {
                "Behind it is often a log-in page. Use another network or a phone over USB, or take over the address of a device that is logged in.".into()
            }
            NetError::Portal { .. } => {
                "Log in with a phone or laptop, switch its Wi-Fi off, and let this machine take over its hardware address. Or share a phone's connection over USB.".into()
            }
            NetError::Proxy { .. } => {
                "Ask this network's owner for its address and port, and whether it wants a password (such a proxy can't be used); then type it.".into()
            }
            NetError::NoTime { .. } => {
                "Check that this network reaches the Internet. If only a proxy leads out here, type its address; a portal wants a log-in first.".into()
            }
            NetError::TimesDiffer { .. } => "Somebody may be in between: use another network, then start again.".into(),
            NetError::TimeTooEarly { .. } => {
                "Somebody may be in between: use another network. Don't trust this one.".into()
            }
        }
    }

    fn is_transient(&self) -> bool {
        matches!(
            self,
            NetError::NoAddress { .. }
                | NetError::NoTime { .. }
                | NetError::Proxy { .. }
                | NetError::RouterSilent { .. }
                | NetError::NamesSilent
        )
    }
}

impl std::fmt::Display for NetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what(), self.why())
    }
}

impl std::error::Error for NetError {}
