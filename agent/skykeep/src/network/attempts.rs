//! The network, tried again and again in the background, as the person wishes it.

use std::sync::Arc;
use std::time::Duration;

use skykeep_core::Progress;
use skykeep_net::{Diagnosis, Fixed, Need, Options, connect, signals};
use tokio::sync::watch;

/// Between a failure and the next try.
const PAUSE: Duration = Duration::from_secs(5);

/// What the person chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// A Wi-Fi card that was let in; else cables, and phones over USB.
    pub radio: Option<String>,
    /// Another device's hardware address for a wired card.
    pub mac: Option<(String, [u8; 6])>,
    /// Typed addresses instead of DHCP.
    pub fixed: Option<Fixed>,
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
    /// The network is there.
    Up(u32),
}

impl Wishes {
    fn options(&self) -> Options {
        Options {
            only: self.radio.clone(),
            mac: self.mac.clone(),
            fixed: self.fixed.clone(),
            ..Options::default()
        }
    }
}

/// Tries until it works, and again with each new wish. The network is there as long as this is not ended.
pub async fn go_on(need: Need, mut wishes: watch::Receiver<Wishes>, state: watch::Sender<State>, progress: Progress) {
    let mut plugged = signals();
    loop {
        let mut wanted = wishes.borrow_and_update().clone();
        // Whoever chose Wi-Fi and then puts a cable or a phone in wants that.
        if wanted.radio.is_some() && signals().iter().any(|card| !plugged.contains(card)) {
            progress.note("a cable or phone was plugged in: it is used instead of Wi-Fi");
            wanted.radio = None;
        }
        let options = wanted.options();
        let one = async {
            match connect(&options, &need, &progress).await {
                Ok((link, _)) => {
                    let _ = state.send(State::Up(wanted.now));
                    // Its lease is kept from now on, until somebody wants something else.
                    let _kept = link;
                    std::future::pending().await
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
