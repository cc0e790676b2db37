//! The first card whose network leads out: by DHCP, or by IPv6 alone.

use crate::card::Card;
use crate::dhcp::{self, Lease, Socket};
use crate::error::NetError;
use crate::kernel::{self, Kernel};
use crate::six::{self, Six};
use crate::up::{Options, candidates};
use crate::vlan;
use skykeep_core::{Deadline, Progress};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// A network that works with IPv6 alone waits this long for a DHCP server, and an offer that leads nowhere for IPv6.
const OTHER_HALF: Duration = Duration::from_secs(4);

/// A card and what its network gives: one of the two at least.
pub(crate) struct Found {
    pub(crate) card: Card,
    pub(crate) four: Option<Lease>,
    pub(crate) six: Option<Six>,
}

/// What one card met.
enum Met {
    Four(Result<Lease, String>),
    Six(Six),
}

/// Everything that is asked, and what came of it so far.
struct Search<'a> {
    options: &'a Options,
    progress: &'a Progress,
    asking: JoinSet<(Card, Met)>,
    asked: Vec<String>,
    /// DHCP questions without an answer so far.
    open: usize,
    six: Option<(Card, Six, Deadline)>,
    /// An offer that leads nowhere.
    bare: Option<(Card, Lease, Deadline)>,
    last: String,
}

/// Switches every card on, and asks at each one that has a signal, all at once; cards and cables may come later.
pub(crate) async fn find(kernel: &Kernel, options: &Options, progress: &Progress) -> Result<Found, NetError> {
    let began = Deadline::after(options.card);
    let mut cable = None;
    let mut switched_on: BTreeMap<u32, Wanted> = BTreeMap::new();
    let mut search = Search {
        options,
        progress,
        asking: JoinSet::new(),
        asked: Vec::new(),
        open: 0,
        six: None,
        bare: None,
        last: "no answer at all".into(),
    };
    loop {
        let cards = candidates(options);
        for card in &cards {
            let wanted = match switched_on.get(&card.index) {
                Some(wanted) => *wanted,
                None => {
                    let wanted = switch_on(kernel, card, options, progress).await?;
                    *switched_on.entry(card.index).or_insert(wanted)
                }
            };
            let name = options
                .tag()
                .map_or_else(|| card.name.clone(), |tag| vlan::name(card, tag));
            if card.carrier && wanted.settled(card) && !search.asked.contains(&name) {
                search.asked.push(name);
                let card = match options.tag() {
                    Some(tag) => vlan::on(kernel, card, tag).await?,
                    None => card.clone(),
                };
                if options.fixed.is_some() {
                    return Ok(Found {
                        card,
                        four: None,
                        six: None,
                    });
                }
                search.ask(card);
            }
        }
        if cards.is_empty() {
            if began.passed() {
                return Err(NetError::NoCard);
            }
        } else if search.asked.is_empty() {
            let deadline = *cable.get_or_insert_with(|| Deadline::after(options.cable));
            if deadline.passed() {
                return Err(NetError::NoCable {
                    cards: cards.into_iter().map(|card| card.name).collect(),
                });
            }
        }
        if let Some(found) = search.step().await? {
            return Ok(found);
        }
    }
}

/// The hardware address that a card was given, and until when it may still show its old one.
#[derive(Clone, Copy)]
struct Wanted(Option<[u8; 6]>, Deadline);

impl Wanted {
    /// What was read before the card was switched on may be old.
    fn settled(&self, card: &Card) -> bool {
        self.0.is_none_or(|mac| mac == card.mac) || self.1.passed()
    }
}

async fn switch_on(kernel: &Kernel, card: &Card, options: &Options, progress: &Progress) -> Result<Wanted, NetError> {
    let mut wanted = options.chosen_mac(card);
    if let Some(mac) = wanted.filter(|mac| *mac != card.mac) {
        kernel.set_mac(card, mac).await?;
    } else if let Some(mac) = options.hiding_mac(card).filter(|_| wanted.is_none()) {
        match kernel.set_mac(card, mac).await {
            Ok(()) => wanted = Some(mac),
            Err(refused) => progress.note(format!("{} keeps its own hardware address: {refused}", card.name)),
        }
    }
    kernel::prepare(&card.name);
    kernel.remove_tagged(card.index).await?;
    kernel::six_without_tag(&card.name, options.tag().is_none());
    if options.tag().is_some() {
        kernel.clear(card.index).await?;
    }
    kernel.link_up(card.index, &card.name).await?;
    let tag = options.tag().map_or_else(String::new, |tag| format!(", VLAN {tag}"));
    progress.note(format!("network card {}{tag}", card.name));
    Ok(Wanted(wanted, Deadline::after(Duration::from_secs(3))))
}

impl Search<'_> {
    fn ask(&mut self, card: Card) {
        self.progress
            .note(format!("signal at {}, asking for an address", card.name));
        self.open += 1;
        let (own, deadline) = (card.clone(), Deadline::after(self.options.address));
        self.asking.spawn(async move {
            let result = match Socket::on(&own) {
                Ok(socket) => dhcp::ask(&socket, None, deadline).await,
                Err(e) => Err(e.to_string()),
            };
            (own, Met::Four(result))
        });
        let own = card;
        self.asking.spawn(async move {
            match six::find(&own).await {
                Ok(six) => (own, Met::Six(six)),
                // A kernel without IPv6.
                Err(_) => std::future::pending().await,
            }
        });
    }

    /// One answer, or a tenth of a second; then whether it is enough.
    async fn step(&mut self) -> Result<Option<Found>, NetError> {
        let answer = tokio::select! {
            Some(done) = self.asking.join_next(), if !self.asking.is_empty() => done.ok(),
            () = tokio::time::sleep(Duration::from_millis(100)) => None,
        };
        match answer {
            Some((card, Met::Four(result))) => {
                self.open = self.open.saturating_sub(1);
                match result {
                    Ok(lease) if lease.leads_out() => return Ok(Some(self.with_four(card, lease))),
                    Ok(lease) => self.bare = Some((card, lease, Deadline::after(OTHER_HALF))),
                    Err(last) => self.last = last,
                }
            }
            Some((card, Met::Six(six))) if self.six.is_none() => {
                self.six = Some((card, six, Deadline::after(OTHER_HALF)));
            }
            Some(_) | None => {}
        }
        if let Some((card, six, _)) = self.six.take_if(|(_, _, until)| until.passed() || self.open == 0) {
            return Ok(Some(Found {
                card,
                four: None,
                six: Some(six),
            }));
        }
        if let Some((card, lease, _)) = self.bare.take_if(|(_, _, until)| until.passed() && self.six.is_none()) {
            return Ok(Some(Found {
                card,
                four: Some(lease),
                six: None,
            }));
        }
        if !self.asked.is_empty() && self.open == 0 && self.six.is_none() && self.bare.is_none() {
            return Err(NetError::NoAddress {
                cards: self.asked.clone(),
                seconds: self.options.address.as_secs(),
                last: self.last.clone(),
            });
        }
        Ok(None)
    }

    fn with_four(&mut self, card: Card, lease: Lease) -> Found {
        let six = self
            .six
            .take()
            .filter(|(own, _, _)| *own == card)
            .map(|(_, six, _)| six);
        Found {
            card,
            four: Some(lease),
            six,
        }
    }
}
