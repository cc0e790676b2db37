//! The list of name servers, in RAM.

use crate::error::NetError;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The name servers as this network's two halves tell them. Written down whenever one of them changes.
#[derive(Debug)]
pub(crate) struct Servers {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    four: Vec<Ipv4Addr>,
    six: Vec<Ipv6Addr>,
    /// The card that an address of one wire only belongs to.
    card: String,
}

impl Known {
    /// Both halves in turns: the system's resolver takes three, and one half may be broken.
    fn all(&self) -> Vec<IpAddr> {
        let most = self.four.len().max(self.six.len());
        let turn = |n: usize| {
            let four = self.four.get(n).copied().map(IpAddr::V4);
            four.into_iter().chain(self.six.get(n).copied().map(IpAddr::V6))
        };
        (0..most).flat_map(turn).take(3).collect()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for server in self.all() {
            // Writing to a String can't fail.
            let _ = match server {
                IpAddr::V6(six) if six.is_unicast_link_local() => writeln!(text, "nameserver {six}%{}", self.card),
                server => writeln!(text, "nameserver {server}"),
            };
        }
        // Two tries of three seconds each, so that a dead server is noticed.
        text.push_str("options timeout:3 attempts:2\n");
        text
    }
}

impl Servers {
    pub(crate) fn at(path: PathBuf) -> Self {
        Servers {
            path,
            known: Mutex::default(),
        }
    }

    /// Those that DHCP told, or a person typed.
    pub(crate) fn set_four(&self, servers: Vec<Ipv4Addr>) -> Result<(), NetError> {
        self.change(|known| known.four = servers)
    }

    /// Those that routers announced on this card's wire.
    pub(crate) fn set_six(&self, card: &str, servers: Vec<Ipv6Addr>) -> Result<(), NetError> {
        self.change(|known| (known.six, known.card) = (servers, card.to_owned()))
    }

    /// As they stand in the file.
    pub(crate) fn now(&self) -> Vec<IpAddr> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).all()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) -> Result<(), NetError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        std::fs::write(&self.path, known.text()).map_err(|e| NetError::Kernel {
            asked: format!("write {}", self.path.display()),
            answer: e.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_take_turns_and_an_address_of_one_wire_names_its_card() {
        let known = Known {
            four: vec![Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)],
            six: vec![Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::LOCALHOST],
            card: "eth0".into(),
        };
        assert_eq!(
            known.text(),
            "nameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\noptions timeout:3 attempts:2\n"
        );
        assert_eq!(Known::default().text(), "options timeout:3 attempts:2\n");
    }
}
