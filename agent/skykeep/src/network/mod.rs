//! The network of a borrowed laptop: a cable without a word, Wi-Fi when there is no cable, and a way out for a person when neither works.

mod air;
mod attempts;
mod page;

use std::time::{Duration, Instant};

use skykeep_core::castle::Laptop;
use skykeep_core::way::Way;
use skykeep_core::{Deadline, Explained, Progress};
use skykeep_net::{Disguise, Need, signals, typed_addresses, typed_mac, typed_tag, wifi};
use tokio::sync::watch;

use crate::console::keys::{Choice, Chosen, Keys, choose};
use crate::console::prompt::{self, Answer};
use air::{Air, Outcome};
use attempts::{State, Wishes};
use page::Wish;

/// How long a cable may take to show a signal on a machine that has Wi-Fi too. Others wait for nothing.
const CABLE: Duration = Duration::from_secs(6);

/// What a person decided, or what came by itself.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The work goes on.
    GoOn,
    /// The passphrase is to be forgotten; the agent is started anew.
    Lock,
    /// The machine goes off.
    Off,
}

/// The network, tried in the background from now on. It is there as long as this lives.
pub struct Network {
    wishes: watch::Sender<Wishes>,
    state: watch::Receiver<State>,
    work: tokio::task::JoinHandle<()>,
    air: Air,
    patience: Duration,
}

impl Drop for Network {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Network {
    /// Begins with the cables. `patience`: how long a question stands unanswered.
    pub fn begin(need: Need, laptop: &Laptop, patience: Duration, progress: Progress) -> Self {
        let disguise = (!laptop.keep_mac).then(Disguise::default);
        let (wishes, wanted) = watch::channel(Wishes {
            proxy: laptop.proxy.clone(),
            vlan: laptop.vlan,
            ..Wishes::default()
        });
        let (tell, state) = watch::channel(State::default());
        Network {
            wishes,
            state,
            work: tokio::spawn(attempts::go_on(need, disguise.clone(), wanted, tell, progress.clone())),
            air: Air::new(laptop.wifi_country.clone(), disguise, progress),
            patience,
        }
    }

    /// Asks for a Wi-Fi network when this machine has Wi-Fi and no cable shows a signal. Every other machine goes on at once.
    pub async fn choose_wifi_without_a_cable(&mut self) -> Result<Next, Explained> {
        if !wifi::may_come() {
            return Ok(Next::GoOn);
        }
        let deadline = Deadline::after(CABLE);
        while !deadline.passed() {
            if !signals().is_empty() {
                return Ok(Next::GoOn);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.choose_wifi(|| !signals().is_empty()).await
    }

    async fn choose_wifi(&mut self, overtaken: impl Fn() -> bool) -> Result<Next, Explained> {
        match self.air.choose(self.patience, overtaken).await? {
            Outcome::Joined(card) => {
                self.wish(|wishes| {
                    wishes.radio = Some(card);
                    wishes.fixed = None;
                });
                Ok(Next::GoOn)
            }
            Outcome::Without => Ok(Next::GoOn),
            Outcome::Off => Ok(Next::Off),
        }
    }

    /// Waits until the network is there. When it fails it says which step, and lets the person help; the tries go on meanwhile.
    pub async fn settle(&mut self, keys: &Keys) -> Result<Next, Explained> {
        let mut shown = None;
        let mut last_key = Instant::now();
        loop {
            let state = self.state.borrow_and_update().clone();
            let now = self.wishes.borrow().now;
            let diagnosis = match state {
                State::Up(of, _) if of == now => return Ok(Next::GoOn),
                State::Failed(of, diagnosis) if of == now => diagnosis,
                // What is known is about an earlier wish.
                State::Trying | State::Up(..) | State::Failed(..) => {
                    if self.state.changed().await.is_err() {
                        return Ok(Next::Lock);
                    }
                    continue;
                }
            };
            let _keyboard = keys.for_questions();
            let wifi = wifi::may_come();
            let page = diagnosis.page();
            // The same failure once more is no news.
            let whole = format!("\n{page}{}", page::ways(wifi));
            let question = Some(whole.as_str()).filter(|_| shown.as_ref() != Some(&page));
            shown = Some(page);
            let news = || match &*self.state.borrow() {
                State::Up(..) => true,
                State::Failed(_, diagnosis) => shown.as_ref() != Some(&diagnosis.page()),
                State::Trying => false,
            };
            let left = self.patience.saturating_sub(last_key.elapsed());
            let way = match choose(&Choice {
                question,
                meaning: &|key| page::way(key, wifi),
                patience: left,
                overtaken: &news,
            }) {
                Chosen::Overtaken => continue,
                Chosen::Off | Chosen::Key(Wish::PowerOff) => return Ok(Next::Off),
                Chosen::Key(Wish::Lock) => return Ok(Next::Lock),
                Chosen::Key(way) => way,
            };
            // What comes of it is said anew.
            shown = None;
            if self.go(way, diagnosis.facts.card.clone()).await? == Next::Off {
                return Ok(Next::Off);
            }
            last_key = Instant::now();
        }
    }

    /// The way out, once the network is there.
    pub fn way(&self) -> Way {
        match &*self.state.borrow() {
            State::Up(_, way) => way.clone(),
            State::Trying | State::Failed(..) => Way::default(),
        }
    }

    /// One wish of the person; then the tries begin anew with it.
    async fn go(&mut self, way: Wish, card: Option<String>) -> Result<Next, Explained> {
        match way {
            Wish::WiFi => {
                if self.choose_wifi(|| false).await? == Next::Off {
                    return Ok(Next::Off);
                }
            }
            Wish::Cable => self.wish(|wishes| wishes.radio = None),
            Wish::Address => return self.take_over(card).await,
            Wish::Typed => match prompt::shown_line_within(
                "ADDRESS/PREFIX ROUTER NAMESERVER, as 192.168.1.50/24 192.168.1.1 9.9.9.9 (Enter: DHCP): ",
                Some(self.patience),
            )? {
                Answer::TimeUp => return Ok(Next::Off),
                Answer::End | Answer::Cancelled => {}
                Answer::Line(line) if line.is_empty() => self.wish(|wishes| wishes.fixed = None),
                Answer::Line(line) => match typed_addresses(line.expose_str().unwrap_or_default()) {
                    Ok(fixed) => self.wish(|wishes| wishes.fixed = Some(fixed)),
                    Err(why) => println!("{why}"),
                },
            },
            Wish::Tag => match prompt::shown_line_within("VLAN tag, 1 to 4094 (Enter: none): ", Some(self.patience))? {
                Answer::TimeUp => return Ok(Next::Off),
                Answer::End | Answer::Cancelled => {}
                Answer::Line(line) if line.is_empty() => self.wish(|wishes| wishes.vlan = None),
                Answer::Line(line) => match typed_tag(line.expose_str().unwrap_or_default()) {
                    Ok(tag) => self.wish(|wishes| wishes.vlan = Some(tag)),
                    Err(why) => println!("{why}"),
                },
            },
            Wish::Proxy => {
                match prompt::shown_line_within("Proxy, as http://HOST:PORT (Enter: none): ", Some(self.patience))? {
                    Answer::TimeUp => return Ok(Next::Off),
                    Answer::End | Answer::Cancelled => {}
                    Answer::Line(line) if line.is_empty() => self.wish(|wishes| wishes.proxy = None),
                    Answer::Line(line) => match line.expose_str().unwrap_or_default().parse() {
                        Ok(proxy) => self.wish(|wishes| wishes.proxy = Some(proxy)),
                        Err(why) => println!("{why}"),
                    },
                }
            }
            Wish::Again | Wish::Lock | Wish::PowerOff => self.wish(|_| {}),
        }
        Ok(Next::GoOn)
    }

    async fn take_over(&mut self, card: Option<String>) -> Result<Next, Explained> {
        println!("{}", page::WHERE_THE_ADDRESS_IS);
        let mac =
            match prompt::shown_line_within("Hardware address of that device (Enter: back): ", Some(self.patience))? {
                Answer::TimeUp => return Ok(Next::Off),
                Answer::End | Answer::Cancelled => return Ok(Next::GoOn),
                Answer::Line(line) if line.is_empty() => return Ok(Next::GoOn),
                Answer::Line(line) => typed_mac(line.expose_str().unwrap_or_default()),
            };
        let radio = self.wishes.borrow().radio.clone();
        match (mac, radio, card) {
            (None, ..) => {
                println!("That is no hardware address of one device: twelve digits 0-9 a-f, as a4:83:e7:01:0f:fe.")
            }
            (Some(mac), Some(_), _) => match self.air.come_back_as(mac).await {
                Ok(card) => self.wish(|wishes| wishes.radio = Some(card)),
                Err(error) => println!("{error}"),
            },
            (Some(mac), None, Some(card)) => self.wish(|wishes| wishes.mac = Some((card, mac))),
            (Some(_), None, None) => {
                println!("No card has an address yet: plug the cable in, or choose a Wi-Fi network first.")
            }
        }
        Ok(Next::GoOn)
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        self.wishes.send_modify(|wishes| {
            change(wishes);
            wishes.now += 1;
        });
    }
}
