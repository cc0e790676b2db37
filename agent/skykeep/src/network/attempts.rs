//! The network, tried again and again in the background, as the person wishes it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use skykeep_core::Progress;
use skykeep_core::way::{Proxy, Way};
use skykeep_net::{Diagnosis, Disguise, Fixed, Need, Options, connect, signals};
use tokio::sync::watch;

/// Between a failure and the next try.
const PAUSE: Duration = Duration::from_secs(5);

/// How much earlier a later network's hosts may say it is.
const BACK: Duration = Duration::from_secs(120);

/// What the person chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// A Wi-Fi card that was let in; else cables, and phones over USB.
    pub radio: Option<String>,
    /// Another device's hardware address for a wired card.
    pub mac: Option<(String, [u8; 6])>,
    /// Typed addresses instead of DHCP.
    pub fixed: Option<Fixed>,
    /// The tag of a VLAN that the cables lead to.
    pub vlan: Option<u16>,
    /// Where a proxy is.
    pub proxy: Option<Proxy>,
    /// Counts the wishes to try at once.
    pub now: u32,
}

/// How it stands, for the wishes with this number ([`Wishes::now`]).
#[derive(Debug, Clone, Default)]
pub enum State {
    /// The first try goes on.
    #[default]
    Trying,
    /// The last try failed so; the next one goes on or is near.
    Failed(u32, Arc<Diagnosis>),
    /// The network is there, and this is the way out.
    Up(u32, Way),
}

impl Wishes {
    fn options(&self, disguise: Option<&Disguise>) -> Options {
        Options {
            disguise: disguise.cloned(),
            proxy: self.proxy.clone(),
            only: self.radio.clone(),
            mac: self.mac.clone(),
            fixed: self.fixed.clone(),
            vlan: self.vlan,
            ..Options::default()
        }
    }
}

/// Tries until it works, and again with each new wish. The network is there as long as this is not ended.
pub async fn go_on(
    mut need: Need,
    disguise: Option<Disguise>,
    mut wishes: watch::Receiver<Wishes>,
    state: watch::Sender<State>,
    progress: Progress,
) {
    let mut plugged = signals();
    loop {
        let mut wanted = wishes.borrow_and_update().clone();
        // Whoever chose Wi-Fi and then puts a cable or a phone in wants that.
        if wanted.radio.is_some() && signals().iter().any(|card| !plugged.contains(card)) {
            progress.note("a cable or phone was plugged in: it is used instead of Wi-Fi");
            wanted.radio = None;
        }
        let options = wanted.options(disguise.as_ref());
        let one = async {
            match connect(&options, &need, &progress).await {
                Ok((link, _)) => {
                    let _ = state.send(State::Up(wanted.now, link.way.clone()));
                    // No later network may turn the clock back by more than the hosts' answers differ.
                    need.not_before = SystemTime::now() - BACK;
                    // Its lease is kept from now on, until somebody wants something else.
                    link.lost().await;
                    progress.note(format!(
                        "{} has no signal any more: another way is looked for",
                        link.card
                    ));
                }
                Err(diagnosis) => {
                    let _ = state.send(State::Failed(wanted.now, Arc::from(diagnosis)));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        tokio::select! {
            () = one => {}
            changed = wishes.changed() => match changed {
                Ok(()) => plugged = signals(),
                Err(_) => return,
            },
        }
    }
}
