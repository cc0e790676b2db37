//! Choosing a Wi-Fi network at the keyboard, and joining it.

use std::sync::Arc;
use std::time::Duration;

use skykeep_core::{Deadline, Explain, Explained, Progress};
use skykeep_net::wifi::{self, Choice, Radio, Refusal, Ssid, check_password};
use skykeep_net::{Disguise, NetError};

use super::page::{self, Pick};
use crate::console::hold;
use crate::console::keys::{self, Chosen, choose};
use crate::console::prompt::{self, Answer};

/// How long a driver may take until its card is there.
const CARD: Duration = Duration::from_secs(8);

/// What came of it.
pub enum Outcome {
    /// This card is in.
    Joined(String),
    /// No Wi-Fi, then: the person wants it so, a cable came, or the card can't be used.
    Without,
    /// The machine is to go off.
    Off,
}

/// What came of one network.
enum Tried {
    In,
    /// Back to the list.
    Back,
    Off,
}

/// The Wi-Fi of this machine, once somebody wants it.
pub struct Air {
    country: Option<String>,
    disguise: Option<Disguise>,
    progress: Progress,
    radio: Option<Arc<Radio>>,
    /// Kept for coming back under another hardware address.
    choice: Option<Choice>,
    watcher: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Air {
    fn drop(&mut self) {
        self.unwatch();
    }
}

impl Air {
    pub fn new(country: Option<String>, disguise: Option<Disguise>, progress: Progress) -> Self {
        Air {
            country,
            disguise,
            progress,
            radio: None,
            choice: None,
            watcher: None,
        }
    }

    /// Shows what is in the air until the person is in, or does not want to be. `overtaken` ends the question.
    pub async fn choose(&mut self, patience: Duration, overtaken: impl Fn() -> bool) -> Result<Outcome, Explained> {
        self.unwatch();
        println!("Looking for Wi-Fi networks ...");
        let radio = match self.radio(None).await {
            Ok(radio) => radio,
            Err(error) => {
                println!("{}", explained(&error));
                return Ok(Outcome::Without);
            }
        };
        let (mut networks, mut from, mut scan) = (Vec::new(), 0, true);
        loop {
            if scan {
                match radio.scan().await {
                    Ok(found) => (networks, from) = (found, 0),
                    Err(error) => {
                        println!("{}", explained(&error));
                        self.radio = None;
                        return Ok(Outcome::Without);
                    }
                }
            }
            scan = false;
            let list = page::list(&networks, from);
            let question = keys::Choice {
                question: Some(&list),
                meaning: &|key| page::pick(key, networks.len(), from),
                patience,
                overtaken: &overtaken,
            };
            let (ssid, security) = match choose(&question) {
                Chosen::Off => return Ok(Outcome::Off),
                Chosen::Overtaken | Chosen::Key(Pick::Without) => return Ok(Outcome::Without),
                Chosen::Key(Pick::More) => {
                    from = page::next(networks.len(), from);
                    continue;
                }
                Chosen::Key(Pick::Scan) => {
                    scan = true;
                    continue;
                }
                Chosen::Key(Pick::Network(place)) => match networks.get(place) {
                    Some(network) if network.security.can_be_joined() => (network.ssid.clone(), Some(network.security)),
                    _ => {
                        println!("Skykeep can't join such a network: choose another one, or use a cable.");
                        continue;
                    }
                },
                Chosen::Key(Pick::Hidden) => {
                    match prompt::shown_line_within("Name of the network: ", Some(patience))? {
                        Answer::Line(name) => match name.expose_str().and_then(Ssid::typed) {
                            Some(ssid) => (ssid, None),
                            None => {
                                println!("A network's name has 1 to 32 bytes.");
                                continue;
                            }
                        },
                        Answer::End | Answer::Cancelled => continue,
                        Answer::TimeUp => return Ok(Outcome::Off),
                    }
                }
            };
            match self.into(&radio, ssid, security, patience).await? {
                Tried::In => return Ok(Outcome::Joined(radio.name.clone())),
                Tried::Back => scan = true,
                Tried::Off => return Ok(Outcome::Off),
            }
        }
    }

    /// Asks for the password, when there is one, until it fits or the person gives up with an empty line.
    async fn into(
        &mut self,
        radio: &Arc<Radio>,
        ssid: Ssid,
        security: Option<wifi::Security>,
        patience: Duration,
    ) -> Result<Tried, Explained> {
        loop {
            let mut password = None;
            if security.is_none_or(wifi::Security::wants_password) {
                let enter = if security.is_none() {
                    "Enter: it has none"
                } else {
                    "Enter: back"
                };
                let question = format!("Password of {} ({enter}): ", ssid.shown());
                let quiet = hold::question();
                let answer = prompt::secret_line_within(&question, Some(patience))?;
                drop(quiet);
                let typed = match answer {
                    Answer::Line(typed) => typed,
                    Answer::End | Answer::Cancelled => return Ok(Tried::Back),
                    Answer::TimeUp => return Ok(Tried::Off),
                };
                if typed.is_empty() && security.is_some() {
                    return Ok(Tried::Back);
                }
                if !typed.is_empty() {
                    if let Err(fault) = check_password(&typed, security) {
                        println!("{}", fault.text());
                        continue;
                    }
                    password = Some(typed);
                }
            } else {
                println!(
                    "Nobody has to prove anything to be in {}: everything but TLS can be read there.",
                    ssid.shown()
                );
            }
            let again = password.is_some();
            let choice = Choice {
                ssid: ssid.clone(),
                security,
                password,
            };
            println!("Joining {} ...", ssid.shown());
            match radio.join(&choice, &self.progress).await {
                Ok(Ok(())) => {
                    println!("{} let this machine in.", ssid.shown());
                    self.choice = Some(choice);
                    self.watch(radio.clone());
                    return Ok(Tried::In);
                }
                Ok(Err(refusal)) => {
                    let wrong = refusal == Refusal::WrongPassword;
                    let network = ssid.shown();
                    println!("{}", explained(&NetError::Wifi { network, refusal }));
                    if !(wrong && again) {
                        return Ok(Tried::Back);
                    }
                }
                Err(error) => {
                    println!("{}", explained(&error));
                    self.radio = None;
                    return Ok(Tried::Back);
                }
            }
        }
    }

    /// Comes back into the same network under another device's hardware address. The error is for the person.
    pub async fn come_back_as(&mut self, mac: [u8; 6]) -> Result<String, Explained> {
        self.unwatch();
        self.radio = None;
        let Some(choice) = self.choice.take() else {
            return Err(explained(&NetError::NoCard));
        };
        let radio = self.radio(Some(mac)).await.map_err(|e| explained(&e))?;
        let network = choice.ssid.shown();
        let outcome = radio.join(&choice, &self.progress).await.map_err(|e| explained(&e))?;
        self.choice = Some(choice);
        outcome.map_err(|refusal| explained(&NetError::Wifi { network, refusal }))?;
        self.watch(radio.clone());
        Ok(radio.name.clone())
    }

    async fn radio(&mut self, mac: Option<[u8; 6]>) -> Result<Arc<Radio>, NetError> {
        if let Some(radio) = &self.radio {
            return Ok(radio.clone());
        }
        let deadline = Deadline::after(CARD);
        while wifi::card().is_none() && !deadline.passed() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let radio = Arc::new(Radio::start(self.country.as_deref(), mac, self.disguise.as_ref(), &self.progress).await?);
        self.radio = Some(radio.clone());
        Ok(radio)
    }

    fn watch(&mut self, radio: Arc<Radio>) {
        let progress = self.progress.clone();
        self.watcher = Some(tokio::spawn(async move {
            let error = radio.watch(&progress).await;
            progress.note(error.to_string());
        }));
    }

    fn unwatch(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
    }
}

/// The three parts of an error, for the screen.
fn explained(error: &NetError) -> Explained {
    Explained {
        what: error.what(),
        why: error.why(),
        remedy: error.remedy(),
    }
}
