//! What can go wrong on the way to the network, in three parts.

use skykeep_core::Explain;

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
    /// Too few of the castle's hosts told the time.
    NoTime {
        /// One line for each host that did not.
        answers: Vec<String>,
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
            NetError::NoCard => "This machine shows no wired network card".into(),
            NetError::NoCable { .. } => "No network cable carries a signal".into(),
            NetError::NoAddress { seconds, .. } => format!("Nobody gave this machine a network address in {seconds} s"),
            NetError::NoRoute { card, lacks } => format!("The network at {card} gave an address without {lacks}"),
            NetError::Kernel { asked, .. } => format!("The kernel refused to {asked}"),
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
                format!("no DHCP server gave a lease at {}: {last}", cards.join(", "))
            }
            NetError::NoRoute { lacks, .. } => format!("the DHCP server's lease names no {lacks}"),
            NetError::Kernel { answer, .. } => answer.clone(),
            NetError::NoTime { answers } | NetError::TimesDiffer { answers } => answers.join("; "),
            NetError::TimeTooEarly { built, .. } => format!("this image was built later: {built}"),
        }
    }

    fn remedy(&self) -> String {
        match self {
            NetError::NoCard => "Plug in a USB network adapter, or use another machine.".into(),
            NetError::NoCable { .. } => "Plug the cable in at both ends, or try another socket or cable.".into(),
            NetError::NoAddress { .. } => "Use a socket behind an ordinary router, then start again.".into(),
            NetError::NoRoute { .. } => "Use a network that leads to the Internet, then start again.".into(),
            NetError::Kernel { .. } => {
                "Try another network card or machine; if it stays, report it with this text.".into()
            }
            NetError::NoTime { .. } => {
                "Check that this network reaches the Internet without a portal or proxy, then start again.".into()
            }
            NetError::TimesDiffer { .. } => "Somebody may be in between: use another network, then start again.".into(),
            NetError::TimeTooEarly { .. } => {
                "Somebody may be in between: use another network. Don't trust this one.".into()
            }
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, NetError::NoAddress { .. } | NetError::NoTime { .. })
    }
}

impl std::fmt::Display for NetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what(), self.why())
    }
}

impl std::error::Error for NetError {}
